//! Pure core of network boot: who asks, what to offer, what to run, how a TFTP transfer goes.
//!
//! No clock, socket or file: bytes and `now` come in, values go out. The sockets are in `ipxe-net`, the decisions about
//! machines in the controller.

pub mod dhcp;
mod firmware;
pub mod http;
mod lease;
mod mac;
mod plan;
mod render;
mod script;
pub mod tftp;

pub use firmware::{Arch, BootOffer, Firmware, PxeClient};
pub use lease::{Lease, LeaseAnswer, LeaseAsk, LeaseVerb};
pub use mac::{MacAddr, ParseMacError};
pub use plan::{BootPlan, ConfigBoot, FileRef, KernelBoot, LocalBoot};
pub use render::{Surroundings, general_script, render};
pub use script::{Script, UnsafeValue, check_text};
