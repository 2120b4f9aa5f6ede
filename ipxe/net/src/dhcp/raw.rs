//! UDP by hand, for listening in on a port that another program of this host may own.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    ops::Range,
};

use socket2::{Domain, Protocol, SockFilter, Socket, Type};

/// Length of a UDP header (octets).
const UDP: usize = 8;
/// UDP's number in IPv4 headers.
pub(super) const UDP_PROTOCOL: u8 = 17;

/// Where Linux tells a filter how a packet came (`SKF_AD_OFF + SKF_AD_PKTTYPE`), and the copy of one's own broadcast.
const HOW_IT_CAME: u32 = 0xffff_f004;
const LOOPED_BACK: u32 = 5;

/// A raw socket that gets a copy of every UDP datagram to `port`, broadcast or unicast, and takes none away.
pub(super) fn open(port: u16) -> io::Result<Socket> {
    hearing(&to_port(port))
}

/// The same without what this host itself broadcasts: as a server that is every second answer of our own.
pub(super) fn open_to_others(port: u16) -> io::Result<Socket> {
    let mut filter = vec![
        SockFilter::new(0x30, 0, 0, HOW_IT_CAME),
        SockFilter::new(0x15, 0, 1, LOOPED_BACK),
        SockFilter::new(0x06, 0, 0, 0),
    ];
    filter.extend(to_port(port));
    hearing(&filter)
}

/// Classic BPF: X = length of the IP header; accept when the half-word behind it at 2 is the port.
fn to_port(port: u16) -> [SockFilter; 5] {
    [
        SockFilter::new(0xb1, 0, 0, 0),
        SockFilter::new(0x48, 0, 0, 2),
        SockFilter::new(0x15, 0, 1, u32::from(port)),
        SockFilter::new(0x06, 0, 0, 0xffff),
        SockFilter::new(0x06, 0, 0, 0),
    ]
}

fn hearing(filter: &[SockFilter]) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::UDP))?;
    socket.attach_filter(filter)?;
    Ok(socket)
}

/// Sender, destination port, and where the payload is, of an IPv4 packet with a UDP datagram.
pub(super) fn unwrap(packet: &[u8]) -> Option<(SocketAddrV4, u16, Range<usize>)> {
    let header = usize::from(packet.first()? & 15) * 4;
    let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
    let udp = packet.get(header..header + UDP)?;
    let number = |at: usize| u16::from_be_bytes([udp[at], udp[at + 1]]);
    let payload = header + UDP..header + usize::from(number(4));
    packet.get(payload.clone())?;
    let from = SocketAddrV4::new(Ipv4Addr::from(source), number(0));
    Some((from, number(2), payload))
}

/// A UDP datagram with its header and checksum; the system adds the IP header.
pub(super) fn wrap(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len() + UDP).unwrap_or(u16::MAX);
    let mut datagram = Vec::with_capacity(payload.len() + UDP);
    for field in [from.port(), to.port(), len, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend(payload);
    let sum = checksum(*from.ip(), *to.ip(), &datagram);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    datagram
}

/// RFC 768: over the pseudo header and the datagram; a zero is sent as all ones.
fn checksum(from: Ipv4Addr, to: Ipv4Addr, datagram: &[u8]) -> u16 {
    let pseudo = words(&from.octets()) + words(&to.octets()) + u64::from(UDP_PROTOCOL);
    match folded(pseudo + datagram.len() as u64 + words(datagram)) {
        0 => 0xffff,
        sum => sum,
    }
}

/// The sum of big-endian words, to be folded to 16 bits; those of 32 bits fold to the same as their halves (RFC 1071 §2).
pub(super) fn words(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]);
    words.map(|word| u64::from(u32::from_be_bytes(*word))).sum()
}

/// The Internet checksum of a sum (RFC 1071).
pub(super) fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), 67);
    const TO: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::BROADCAST, 68);

    #[test]
    fn a_wrapped_datagram_is_unwrapped_again_and_sums_to_nothing() {
        for payload in [&b"odd"[..], b"even", b""] {
            let datagram = wrap(FROM, TO, payload);
            assert!([0, 0xffff].contains(&checksum(*FROM.ip(), *TO.ip(), &datagram)));
            let mut packet = vec![0x45];
            packet.extend([0; 11]);
            packet.extend(FROM.ip().octets());
            packet.extend(TO.ip().octets());
            packet.extend(datagram);
            let (from, port, range) = unwrap(&packet).unwrap();
            assert_eq!((from, port, &packet[range]), (FROM, 68, payload));
            assert_eq!(unwrap(&packet[..packet.len() - 1]).map(|u| u.1), None);
        }
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        let mut packet = [0; 40];
        packet[0] = 0x45;
        for udp_length in [0, 7, 21, 0xffff_u16] {
            packet[24..26].copy_from_slice(&udp_length.to_be_bytes());
            assert_eq!(unwrap(&packet), None, "{udp_length}");
        }
        packet[0] = 0x4f;
        assert_eq!(unwrap(&packet), None);
        assert_eq!(unwrap(&[]), None);
    }
}
