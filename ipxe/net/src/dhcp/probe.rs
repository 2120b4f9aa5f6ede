//! Asks a segment who gives addresses on it, as a station would that is new there. Nothing is taken: an offer that nobody
//! requests lapses.

use std::{
    io::{self, Read as _},
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

use ipxe::{
    MacAddr,
    dhcp::{self, Kind, Message},
};
use socket2::SockAddr;

use super::{DhcpPorts, raw, serve::LONGEST};

/// The question is sent this often; a fresh cable or a busy server may lose one.
const ASKED: u32 = 2;

/// A DHCP server that offered an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundServer {
    /// Its address: option 54, else the sender's.
    pub address: Ipv4Addr,
    /// Whether it offers booting, too.
    pub boots: bool,
}

/// The servers that answer on `interface` within `patience`. `xid` and `mac` are those of a station that there is not.
///
/// # Errors
/// `PermissionDenied` without root or `CAP_NET_RAW`; else as the system says.
pub fn probe(
    interface: &str,
    xid: u32,
    mac: MacAddr,
    patience: Duration,
) -> io::Result<Vec<FoundServer>> {
    let ports = DhcpPorts::default();
    let mut socket = raw::open(ports.client)?;
    socket.bind_device(Some(interface.as_bytes()))?;
    socket.set_broadcast(true)?;
    let from = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, ports.client);
    let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, ports.dhcp);
    let mut datagram = raw::wrap(from, to, &dhcp::discover(xid, mac));
    // No checksum (RFC 768): the system chooses the sender's address, which is part of it.
    datagram[6..8].fill(0);
    let mut found: Vec<FoundServer> = Vec::new();
    for _ in 0..ASKED {
        socket.send_to(&datagram, &SockAddr::from(to))?;
        let until = Instant::now() + patience / ASKED;
        while let Some(left) = until
            .checked_duration_since(Instant::now())
            .filter(|d| !d.is_zero())
        {
            socket.set_read_timeout(Some(left))?;
            let mut buffer = [0; LONGEST];
            let got = match socket.read(&mut buffer) {
                Ok(got) => got,
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ) =>
                {
                    break;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let server = offer(&buffer[..got], xid);
            found.extend(server.filter(|s| !found.contains(s)));
        }
    }
    Ok(found)
}

/// Who offered something in answer to our question.
fn offer(packet: &[u8], xid: u32) -> Option<FoundServer> {
    let (from, _, payload) = raw::unwrap(packet)?;
    let message = Message::reply(&packet[payload]).ok()?;
    let said = message.as_foreign_offer();
    (message.xid == xid && message.kind == Kind::Offer).then(|| FoundServer {
        address: said.server.unwrap_or(*from.ip()),
        boots: said.boots,
    })
}
