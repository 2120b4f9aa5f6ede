//! The sockets of a server: UDP, and TCP of the same number.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

use tokio::net::TcpListener;

use super::{ServeError, bulk};

/// Tries to find a number that is free for UDP and TCP.
const ANY_PORT: u32 = 16;
/// Kernel buffer of the socket: all agents of a room may speak at once after a power cut, and the default of 208 KiB
/// overflows then.
const SOCKET_BUFFER: usize = 2 << 20;

pub(super) fn taken(protocol: &'static str, addr: SocketAddr) -> impl Fn(io::Error) -> ServeError {
    move |source| ServeError::Bind {
        protocol,
        addr,
        source,
    }
}

/// The sockets, of one number. When any will do (port 0), the other protocol may have the first choice taken.
pub(super) fn sockets(
    listen: SocketAddr,
    beside: bool,
) -> Result<(UdpSocket, Option<TcpListener>), ServeError> {
    let mut tries = if listen.port() == 0 { ANY_PORT } else { 1 };
    loop {
        tries -= 1;
        let socket = crate::transport::socket(listen, SOCKET_BUFFER);
        let socket = socket.map_err(taken("UDP", listen))?;
        let at = socket.local_addr().map_err(taken("UDP", listen))?;
        if !beside {
            return Ok((socket, None));
        }
        match bulk::listen(at) {
            Ok(listener) => return Ok((socket, Some(listener))),
            Err(_) if tries > 0 => {}
            Err(source) => return Err(taken("TCP", at)(source)),
        }
    }
}
