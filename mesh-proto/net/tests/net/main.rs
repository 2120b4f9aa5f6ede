//! Links, enrolment and gossip over real sockets on loopback: what they promise, and what strangers may not do.
#![expect(clippy::unwrap_used, reason = "what a test stands on cannot fail")]

#[macro_use]
mod support;

mod beside;
mod certificates;
mod enrol;
mod gossip;
mod life;
mod link;
mod peer_time;
mod peers;
mod strangers;
mod transfer;
