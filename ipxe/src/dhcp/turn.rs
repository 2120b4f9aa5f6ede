//! Whose turn it is: what a message means to us in our mode and on this port, before anything is looked up.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{Kind, Message, code};
use crate::{LeaseAsk, LeaseVerb};

/// How we stand to the addresses of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhcpMode {
    /// Another server leases addresses; we add boot information and never refuse anything.
    Proxy,
    /// We lease addresses.
    Server,
}

/// The port of ours that a message came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhcpPort {
    /// 67: DHCP.
    Dhcp,
    /// 4011: PXE's own, asked by unicast once the client has an address.
    Pxe,
}

/// Where and how a message arrived.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// How we serve.
    pub mode: DhcpMode,
    /// Our port.
    pub port: DhcpPort,
    /// The sender, as the socket saw it.
    pub from: SocketAddrV4,
    /// Our address on the interface it came in by: server id, siaddr and host of every URL.
    pub address: Ipv4Addr,
    /// All our addresses: a client may name any of them as its server.
    pub ours: &'a [Ipv4Addr],
    /// Port of boot HTTP.
    pub http_port: u16,
    /// Where clients listen: 68, except in tests.
    pub client_port: u16,
    /// Where relays listen: 67, except in tests.
    pub relay_port: u16,
}

/// What to do with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// Not ours to answer.
    Ignore,
    /// Answer boot clients with boot information alone, as a message of this kind.
    Boot(Kind),
    /// Ask the lease table first.
    Lease(LeaseAsk),
}

/// Says what `message` means here.
#[must_use]
pub fn turn(message: &Message, at: &Arrival<'_>) -> Turn {
    if !message.mac.is_station() {
        return Turn::Ignore;
    }
    match (at.port, at.mode) {
        // RFC-less PXE: the client speaks to us alone, whatever option 54 says; some ROMs INFORM instead.
        (DhcpPort::Pxe, _) => match message.kind {
            Kind::Discover => Turn::Boot(Kind::Offer),
            Kind::Request | Kind::Inform => Turn::Boot(Kind::Ack),
            Kind::Offer | Kind::Ack | Kind::Nak | Kind::Decline | Kind::Release => Turn::Ignore,
        },
        (DhcpPort::Dhcp, DhcpMode::Proxy) => proxy_turn(message, at),
        (DhcpPort::Dhcp, DhcpMode::Server) => server_turn(message, at),
    }
}

/// A REQUEST that names our address and wants one is for the DHCP server that shares this host: a second ACK, without
/// an address, would cross its own.
fn proxy_turn(message: &Message, at: &Arrival<'_>) -> Turn {
    let wants_address = message.options.address(code::REQUESTED_ADDRESS).is_some();
    match message.kind {
        Kind::Discover => Turn::Boot(Kind::Offer),
        Kind::Request if !wants_address && is_ours(message.server_id(), at) => {
            Turn::Boot(Kind::Ack)
        }
        _ => Turn::Ignore,
    }
}

fn server_turn(message: &Message, at: &Arrival<'_>) -> Turn {
    let Some(verb) = lease_verb(message, at) else {
        return Turn::Ignore;
    };
    Turn::Lease(LeaseAsk {
        mac: message.mac,
        verb,
        subnet: message.relay_subnet().unwrap_or(at.address),
        hostname: message.host_name(),
    })
}

/// RFC 2131 §4.3.
fn lease_verb(message: &Message, at: &Arrival<'_>) -> Option<LeaseVerb> {
    let wanted = message.options.address(code::REQUESTED_ADDRESS);
    let used = Some(message.ciaddr).filter(|ip| !ip.is_unspecified());
    let server = message.server_id();
    let for_us = server.is_none() || is_ours(server, at);
    match message.kind {
        Kind::Discover => Some(LeaseVerb::Discover(wanted)),
        Kind::Request if !for_us => None,
        Kind::Request if server.is_some() => wanted.or(used).map(LeaseVerb::Select),
        Kind::Request => used.or(wanted).map(LeaseVerb::Confirm),
        Kind::Release if for_us => used.map(LeaseVerb::Release),
        Kind::Decline if for_us => wanted.map(LeaseVerb::Decline),
        Kind::Inform => used.map(LeaseVerb::Inform),
        Kind::Release | Kind::Decline | Kind::Offer | Kind::Ack | Kind::Nak => None,
    }
}

fn is_ours(server: Option<Ipv4Addr>, at: &Arrival<'_>) -> bool {
    server.is_some_and(|ip| ip == at.address || at.ours.contains(&ip))
}
