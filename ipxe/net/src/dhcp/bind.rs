//! Taking the ports for ourselves, or listening in on them without taking anything from another server.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::{
    raw,
    socket::{How, PortSocket},
};

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
        "UDP port {port} may only be opened by root; start Enforcer as root or give it CAP_NET_BIND_SERVICE and CAP_NET_RAW"
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
    let open = || {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        let address = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
        socket.bind(&SockAddr::from(address))?;
        finish(socket, port, How::Bound)
    };
    open().map_err(|e| explain(e, port))
}

/// Copies of what comes to a port, whoever has it, before or after us.
///
/// Binding the port beside another server would not do. dnsmasq without `bind-interfaces` does not share it, and would
/// fail to start after us; where it does share, Linux gives each unicast to one socket only, and a renewal that
/// reaches us instead is lost.
pub(super) fn listening_in(port: u16) -> Result<PortSocket, DhcpBindError> {
    let open = || finish(raw::open(port)?, port, How::Raw);
    open().map_err(|e| explain(e, port))
}

/// As [`listening_in`], without what this host itself broadcasts.
pub(super) fn listening_to_others(port: u16) -> Result<PortSocket, DhcpBindError> {
    let open = || finish(raw::open_to_others(port)?, port, How::Raw);
    open().map_err(|e| explain(e, port))
}

fn finish(socket: Socket, port: u16, how: How) -> io::Result<PortSocket> {
    socket.set_broadcast(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.set_nonblocking(true)?;
    PortSocket::new(socket, port, how)
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
