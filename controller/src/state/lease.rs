//! DHCP addresses: pools, leases, reservations, and who gets what.
//!
//! Here are the records; `pool` says which addresses may be lent to whom, `offer` answers DISCOVER from memory, `take` are
//! the transitions that make a lease durable. A person's reservations are in `ops`.

mod offer;
mod pool;
mod take;

use std::net::Ipv4Addr;

use ipxe::MacAddr;
use serde::{Deserialize, Serialize};

use super::Timestamp;

pub use offer::{Holds, Offer, discover, settings};
pub use pool::is_ours;
pub use take::{Decline, Release, Take};

/// A subnet that Enforcer serves addresses on (server mode), from the config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subnet {
    /// Any address in it; masked by `prefix`.
    pub network: Ipv4Addr,
    /// Prefix length.
    pub prefix: u8,
    /// First and last address handed out.
    pub pool: (Ipv4Addr, Ipv4Addr),
    /// Option 3.
    pub routers: Vec<Ipv4Addr>,
    /// Option 6.
    pub dns: Vec<Ipv4Addr>,
    /// Option 15.
    pub domain: Option<String>,
    /// Lease time, seconds.
    pub lease_s: u32,
}

/// An address lent to a station; the key is the hardware address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Whose.
    pub mac: MacAddr,
    /// Which.
    pub ip: Ipv4Addr,
    /// Until when.
    pub expires: Timestamp,
    /// The name the client gave.
    #[serde(default)]
    pub hostname: Option<String>,
}

/// An address a person fixed for a station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Whose.
    pub mac: MacAddr,
    /// Which; need not be inside the pool, must be inside the subnet.
    pub ip: Ipv4Addr,
    /// Option 12 for it.
    #[serde(default)]
    pub hostname: Option<String>,
}

/// An address that a client declined because somebody else answered for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declined {
    /// Which.
    pub ip: Ipv4Addr,
    /// Not handed out before this.
    pub until: Timestamp,
}
