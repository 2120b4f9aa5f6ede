//! The Enforcer agent: it reads what a machine is made of, takes part in the mesh, obeys its controller's orders, and is
//! the one program of the management OS.

pub mod cidata;
pub mod cli;
pub mod cmdline;
pub mod daemon;
pub mod deploy;
pub mod dispatch;
pub mod effects;
pub mod facts;
pub mod fingerprint;
pub mod helper;
pub mod hex;
pub mod journal;
pub mod keystore;
pub mod management;
pub mod mesh;
pub mod randomness;

/// Where members gossip (DESIGN §2).
pub const GOSSIP_PORT: u16 = 4849;

/// This boot, as the kernel names it; commands are bound to it.
#[must_use]
pub fn boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}
