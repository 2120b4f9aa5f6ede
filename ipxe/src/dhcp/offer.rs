//! Answers: with boot information alone (proxy, and port 4011), or with an address (server).

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{
    Arrival, DhcpPort, Kind, Message, code,
    message::BROADCAST,
    vendor::{BootPart, boot_part},
    write::Writer,
};
use crate::{BootOffer, Lease, LeaseAnswer, LeaseVerb};

/// A datagram to send out of the interface, and the port, that the request came in by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The message.
    pub bytes: Vec<u8>,
    /// Its receiver; `255.255.255.255` is the request's own segment.
    pub to: SocketAddrV4,
}

/// Answers a boot client with boot information and no address. `None`: not a boot client, or nothing to say.
#[must_use]
pub fn boot_reply(
    request: &Message,
    at: &Arrival<'_>,
    kind: Kind,
    offer: &BootOffer,
) -> Option<Reply> {
    let boot = boot_part(&request.boot_client()?, offer, at)?;
    let mut writer = Writer::new(request, kind);
    if kind == Kind::Ack {
        writer.ciaddr(request.ciaddr);
    }
    writer.option(code::SERVER_ID, &at.address.octets());
    write_boot(&mut writer, request, at, &boot);
    Some(Reply {
        bytes: writer.finish(),
        to: destination(request, at),
    })
}

/// Answers with what the lease table said to `verb`, and with boot information for boot clients.
#[must_use]
pub fn lease_reply(
    request: &Message,
    at: &Arrival<'_>,
    verb: LeaseVerb,
    answer: &LeaseAnswer,
    offer: &BootOffer,
) -> Option<Reply> {
    let kind = match verb {
        LeaseVerb::Discover(_) => Kind::Offer,
        LeaseVerb::Select(_) | LeaseVerb::Confirm(_) | LeaseVerb::Inform(_) => Kind::Ack,
        LeaseVerb::Release(_) | LeaseVerb::Decline(_) => return None,
    };
    match (answer, verb) {
        (LeaseAnswer::Grant(lease), _) => Some(granted(request, at, (kind, verb), lease, offer)),
        (LeaseAnswer::Refuse, LeaseVerb::Select(_) | LeaseVerb::Confirm(_)) => {
            Some(refused(request, at))
        }
        (LeaseAnswer::Refuse | LeaseAnswer::Silent, _) => None,
    }
}

fn granted(
    request: &Message,
    at: &Arrival<'_>,
    (kind, verb): (Kind, LeaseVerb),
    lease: &Lease,
    offer: &BootOffer,
) -> Reply {
    let mut writer = Writer::new(request, kind);
    if kind == Kind::Ack {
        writer.ciaddr(request.ciaddr);
    }
    writer.option(code::SERVER_ID, &at.address.octets());
    if !matches!(verb, LeaseVerb::Inform(_)) {
        writer.yiaddr(lease.ip);
        write_times(&mut writer, lease.seconds);
    }
    writer.option(code::SUBNET_MASK, &mask(lease.prefix).octets());
    writer.maybe(code::ROUTERS, Some(&joined(&lease.routers)));
    writer.maybe(code::DNS, Some(&joined(&lease.dns)));
    let client = request.boot_client();
    if let Some(boot) = client.and_then(|c| boot_part(&c, offer, at)) {
        write_boot(&mut writer, request, at, &boot);
    }
    writer.maybe(code::DOMAIN, lease.domain.as_deref().map(str::as_bytes));
    writer.maybe(
        code::HOST_NAME,
        lease.hostname.as_deref().map(str::as_bytes),
    );
    writer.maybe(code::CLIENT_ID, request.options.raw(code::CLIENT_ID));
    Reply {
        bytes: writer.finish(),
        to: destination(request, at),
    }
}

/// A NAK goes to everybody on the client's segment: the client's address is what is wrong (RFC 2131 §4.3.2).
fn refused(request: &Message, at: &Arrival<'_>) -> Reply {
    let mut writer = Writer::new(request, Kind::Nak);
    writer.option(code::SERVER_ID, &at.address.octets());
    writer.maybe(code::CLIENT_ID, request.options.raw(code::CLIENT_ID));
    let to = if request.giaddr.is_unspecified() {
        SocketAddrV4::new(Ipv4Addr::BROADCAST, at.client_port)
    } else {
        writer.flags(request.flags | BROADCAST);
        SocketAddrV4::new(request.giaddr, at.relay_port)
    };
    Reply {
        bytes: writer.finish(),
        to,
    }
}

/// Boot server and file in the header and as options: some clients read only the one, some only the other (TRAPS 7).
fn write_boot(writer: &mut Writer, request: &Message, at: &Arrival<'_>, boot: &BootPart) {
    // iPXE takes a proxy's offer as complete only with both; without, it asks port 4011 and may give up (TRAPS 5).
    writer.siaddr(at.address);
    writer.file(&boot.file);
    writer.option(code::VENDOR_CLASS, boot.class.as_bytes());
    writer.maybe(code::BOOT_FILE, Some(boot.file.as_bytes()));
    writer.maybe(code::VENDOR, boot.vendor);
    if boot.by_tftp {
        writer.option(code::TFTP_SERVER, at.address.to_string().as_bytes());
    }
    writer.maybe(code::MACHINE_ID, request.options.raw(code::MACHINE_ID));
    writer.maybe(code::IPXE, boot.ipxe);
}

/// T1 is half the lease, T2 seven eighths (RFC 2131 §4.4.5).
fn write_times(writer: &mut Writer, seconds: u32) {
    let t2 = seconds - seconds / 8;
    writer.option(code::LEASE_SECONDS, &seconds.to_be_bytes());
    writer.option(code::RENEWAL_SECONDS, &(seconds / 2).to_be_bytes());
    writer.option(code::REBINDING_SECONDS, &t2.to_be_bytes());
}

/// RFC 2131 §4.1, less its last rule: a client without an address gets a broadcast, since we put nothing into ARP
/// tables and ROMs that cannot take a broadcast do not exist (TRAPS 11).
fn destination(request: &Message, at: &Arrival<'_>) -> SocketAddrV4 {
    if at.port == DhcpPort::Pxe && !at.from.ip().is_unspecified() {
        return at.from;
    }
    if !request.giaddr.is_unspecified() {
        return SocketAddrV4::new(request.giaddr, at.relay_port);
    }
    if !request.ciaddr.is_unspecified() {
        return SocketAddrV4::new(request.ciaddr, at.client_port);
    }
    SocketAddrV4::new(Ipv4Addr::BROADCAST, at.client_port)
}

fn mask(prefix: u8) -> Ipv4Addr {
    let host_bits = 32_u32.saturating_sub(u32::from(prefix));
    Ipv4Addr::from(u32::MAX.checked_shl(host_bits).unwrap_or(0))
}

fn joined(addresses: &[Ipv4Addr]) -> Vec<u8> {
    addresses.iter().flat_map(Ipv4Addr::octets).collect()
}
