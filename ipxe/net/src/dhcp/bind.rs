//! Taking the ports: alone, or beside another DHCP server of this host without stealing its packets.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::socket::PortSocket;

/// Room for a full room's DISCOVERs while the authority thinks: about 1,500 datagrams (bytes).
const RECEIVE_BUFFER: usize = 1 << 20;

/// Why DHCP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DhcpBindError {
    /// Somebody has the port and does not share it.
    #[error("UDP port {port} is taken by another DHCP or PXE server on this host; {cure}")]
    Taken {
        /// Which port.
        port: u16,
        /// What to do.
        cure: &'static str,
    },
    /// The port is privileged.
    #[error(
        "UDP port {port} may only be opened by root; start Enforcer as root or give it CAP_NET_BIND_SERVICE"
    )]
    Forbidden {
        /// Which port.
        port: u16,
    },
    /// A configured interface does not exist.
    #[error("there is no network interface '{name}'; this host has: {known}")]
    NoInterface {
        /// As configured.
        name: String,
        /// Those that exist.
        known: String,
    },
    /// Anything else.
    #[error("opening UDP port {port}")]
    Io {
        /// Which port.
        port: u16,
        /// As the system says.
        source: io::Error,
    },
}

/// A port for us alone.
pub(super) fn alone(port: u16) -> Result<PortSocket, DhcpBindError> {
    open(Ipv4Addr::UNSPECIFIED, port, false).map_err(|e| explain(e, port))
}

/// The DHCP port in proxy mode, and whether another server has it, too.
///
/// Linux gives a broadcast to every socket of the port, but a unicast only to one: the most specific, else the newest.
/// So where another server is, we take `255.255.255.255:67`, which no unicast matches, and its clients' renewals stay
/// its own. Where none is, we take all addresses (relays can reach us) and allow sharing afterwards: a server that
/// starts later is the newer socket and gets the unicasts.
pub(super) fn beside_others(port: u16) -> Result<(PortSocket, bool), DhcpBindError> {
    match open(Ipv4Addr::UNSPECIFIED, port, false) {
        Ok(socket) => {
            let shared = socket.allow_sharing();
            shared.map_err(|e| explain(e, port))?;
            Ok((socket, false))
        }
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            let socket = broadcasts_to(port).map_err(|e| explain(e, port))?;
            Ok((socket, true))
        }
        Err(e) => Err(explain(e, port)),
    }
}

/// Broadcasts to a port that others may have, too.
pub(super) fn broadcasts_to(port: u16) -> io::Result<PortSocket> {
    open(Ipv4Addr::BROADCAST, port, true)
}

fn open(address: Ipv4Addr, port: u16, shared: bool) -> io::Result<PortSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(shared)?;
    socket.set_broadcast(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(SocketAddrV4::new(address, port)))?;
    PortSocket::new(socket)
}

fn explain(source: io::Error, port: u16) -> DhcpBindError {
    match source.kind() {
        io::ErrorKind::AddrInUse => DhcpBindError::Taken {
            port,
            cure: cure(port),
        },
        io::ErrorKind::PermissionDenied => DhcpBindError::Forbidden { port },
        _ => DhcpBindError::Io { port, source },
    }
}

fn cure(port: u16) -> &'static str {
    if port == 4011 {
        "stop its PXE service (in dnsmasq: the pxe-service and pxe-prompt lines)"
    } else {
        "stop it, or, when it is dnsmasq, let Enforcer be a proxy beside it (--dhcp proxy)"
    }
}
