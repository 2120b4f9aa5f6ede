//! DHCP as a boot server speaks it: lenient eyes for requests, a strict hand for replies.
//!
//! [`Message`] reads what ROMs send; [`turn()`] says whether it is ours to answer and what must be asked first;
//! [`boot_reply`] and [`lease_reply`] write the answer and say where it goes. No socket, no clock, no lease table here.

mod ask;
mod client;
pub mod code;
mod error;
mod message;
mod offer;
mod options;
mod turn;
mod vendor;
mod write;

pub use ask::discover;
pub use error::DhcpError;
pub use message::{ForeignOffer, Kind, Message};
pub use offer::{Reply, boot_reply, lease_reply};
pub use options::Options;
pub use turn::{Arrival, DhcpMode, DhcpPort, Turn, turn};
