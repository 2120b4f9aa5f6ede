//! Broadcasts as Ethernet frames, past this host's own IP.
//!
//! What is broadcast through IP is handed back to this host as well (`ip_mc_output` in Linux), copied, routed and checked
//! against each socket: half of what a DHCP answer cost. A frame goes to the wire alone. Other DHCP servers send so too.

use std::{
    io::{self, IoSlice},
    net::SocketAddrV4,
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, sendmsg, socket};

use super::raw;

/// Length of an Ethernet header (octets).
const ETHERNET: usize = 14;
/// Length of an IPv4 header without options (octets).
const IP: usize = 20;
/// `ARPHRD_ETHER`: interfaces whose frames have this header, bridges and VLANs among them.
const IS_ETHERNET: u16 = 1;

/// An Ethernet interface, by its index and its station's address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire(LinkAddr);

impl Wire {
    /// `None`: frames of another kind leave by it.
    pub(super) fn new(link: LinkAddr) -> Option<Self> {
        (link.hatype() == IS_ETHERNET && link.halen() == 6).then_some(Self(link))
    }

    /// The interface's index.
    pub(super) fn index(self) -> Option<u32> {
        u32::try_from(self.0.ifindex()).ok()
    }
}

/// A packet socket that hears nothing.
#[derive(Debug)]
pub(super) struct Frames(OwnedFd);

impl Frames {
    /// Needs `CAP_NET_RAW`.
    pub(super) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        Ok(Self(socket))
    }

    /// Broadcasts a UDP datagram on a wire.
    ///
    /// # Errors
    /// What the system says: no room, no carrier, too long for a frame. Nothing was sent then.
    pub(super) fn send(
        &self,
        payload: &[u8],
        from: SocketAddrV4,
        to: SocketAddrV4,
        wire: Wire,
    ) -> io::Result<()> {
        let datagram = raw::wrap(from, to, payload);
        let header = header(from, to, datagram.len(), wire.0.addr().unwrap_or_default());
        let parts = [IoSlice::new(&header), IoSlice::new(&datagram)];
        let fd = self.0.as_raw_fd();
        sendmsg(fd, &parts, &[], MsgFlags::empty(), Some(&wire.0))?;
        Ok(())
    }
}

/// The headers of Ethernet and IPv4 (RFC 894, RFC 791) before a datagram of this length: to everybody, not to be fragmented.
fn header(
    from: SocketAddrV4,
    to: SocketAddrV4,
    datagram: usize,
    station: [u8; 6],
) -> [u8; ETHERNET + IP] {
    let mut header = [0; ETHERNET + IP];
    header[..6].fill(0xff);
    header[6..12].copy_from_slice(&station);
    header[12..14].copy_from_slice(&[0x08, 0x00]);
    let ip = &mut header[ETHERNET..];
    ip[0] = 0x45;
    // Longer ones fit no frame: the system refuses them.
    let length = u16::try_from(IP + datagram).unwrap_or(u16::MAX);
    ip[2..4].copy_from_slice(&length.to_be_bytes());
    ip[6] = 0x40;
    ip[8..10].copy_from_slice(&[64, raw::UDP_PROTOCOL]);
    ip[12..16].copy_from_slice(&from.ip().octets());
    ip[16..20].copy_from_slice(&to.ip().octets());
    let sum = raw::folded(raw::words(ip));
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    /// What Linux itself wrote before a datagram of 13 octets from port 67 to 255.255.255.255, port 68.
    const CAPTURED: [u8; ETHERNET + IP] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x00, 0x45, 0x00, 0x00, 0x21,
        0x9b, 0x7a, 0x40, 0x00, 0x40, 0x11, 0x95, 0x04, 10, 77, 0, 1, 0xff, 0xff, 0xff, 0xff,
    ];

    #[test]
    fn headers_are_those_of_the_system_but_for_the_identification() {
        let from = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 67);
        let to = SocketAddrV4::new(Ipv4Addr::BROADCAST, 68);
        let mut header = header(from, to, 13, [2, 0, 0, 0, 0, 1]);
        assert_eq!(raw::folded(raw::words(&header[ETHERNET..])), 0);
        // What is not to be fragmented needs none (RFC 6864 §4.1).
        assert_eq!(header[18..20], [0, 0]);
        header[18..20].copy_from_slice(&CAPTURED[18..20]);
        header[24..26].fill(0);
        let sum = raw::folded(raw::words(&header[ETHERNET..]));
        header[24..26].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(header, CAPTURED);
    }
}
