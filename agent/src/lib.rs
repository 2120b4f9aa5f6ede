//! The Enforcer agent: it reads what a machine is made of, takes part in the mesh, obeys its controller's orders, and is
//! the one program of the management OS.

pub mod cmdline;
pub mod dispatch;
pub mod facts;
pub mod fingerprint;
pub mod hex;
pub mod journal;
pub mod keystore;
pub mod management;
