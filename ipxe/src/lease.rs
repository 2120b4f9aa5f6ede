//! Addresses: what a DHCP client wants of its lease, and what the lease table says. The table itself is not here.

use std::net::Ipv4Addr;

use crate::MacAddr;

/// A question about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseAsk {
    /// The lease key.
    pub mac: MacAddr,
    /// What the client wants done.
    pub verb: LeaseVerb,
    /// An address on the client's subnet: the relay's (giaddr, or option 82 sub-option 5), else our interface's own.
    pub subnet: Ipv4Addr,
    /// Option 12 as far as it is a plain host name.
    pub hostname: Option<String>,
}

/// The client messages of RFC 2131 that touch a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseVerb {
    /// DISCOVER; the address asked for in option 50, if any.
    Discover(Option<Ipv4Addr>),
    /// REQUEST after our offer (option 54 = us).
    Select(Ipv4Addr),
    /// REQUEST without option 54: INIT-REBOOT (from option 50), RENEWING or REBINDING (from ciaddr).
    Confirm(Ipv4Addr),
    /// RELEASE of ciaddr.
    Release(Ipv4Addr),
    /// DECLINE: somebody else uses this address.
    Decline(Ipv4Addr),
    /// INFORM from this address, which the client has by other means: the settings of its subnet (the grant's `ip` and
    /// `seconds` are ignored); leases nothing.
    Inform(Ipv4Addr),
}

/// What the lease table says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// Offer or acknowledge this.
    Grant(Lease),
    /// The address is one of our pools' but not this client's: NAK.
    Refuse,
    /// Not ours to answer, or nothing left.
    Silent,
}

/// An address and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The address.
    pub ip: Ipv4Addr,
    /// Prefix length of its subnet.
    pub prefix: u8,
    /// Option 3; empty: none.
    pub routers: Vec<Ipv4Addr>,
    /// Option 6; empty: none.
    pub dns: Vec<Ipv4Addr>,
    /// Option 15.
    pub domain: Option<String>,
    /// Option 12 for the client.
    pub hostname: Option<String>,
    /// Lease time in seconds; T1 and T2 are half and seven eighths of it.
    pub seconds: u32,
}
