//! Drivers around [`ipxe`]: the DHCP, TFTP and boot-HTTP sockets.
//!
//! They parse, ask a [`BootAuthority`] and answer; what a machine may boot is decided behind that trait, so that the
//! controller and a helper agent serve a segment in the same way.

mod arriving;
mod authority;
pub mod dhcp;
mod file;
mod http;
mod quota;
mod tftp;

pub use arriving::{Arrivals, Arriving, HELD_BACK};
pub use authority::{BootAuthority, BootNote, ScriptAsk, TftpEnd};
pub use file::BootFile;
pub use http::{
    BootHttp, CallbackReply, HttpAuthority, NonceAsk, NonceReceived, NonceReply, ReceivedFiles,
};
pub use ipxe::{BootOffer, Lease, LeaseAnswer, LeaseAsk, LeaseVerb};
pub use quota::Quota;
pub use tftp::TftpServer;
