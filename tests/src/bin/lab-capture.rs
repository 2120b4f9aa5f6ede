//! `lab-capture FILE [UDP-PORT…]`: writes what crosses the wire to a pcap file until it is ended.
//!
//! tcpdump gives up its user first, which an unprivileged user namespace forbids; so the lab has its own. Each frame is taken once: where it
//! comes into the bridge from a cable, or where the bridge's own host sends it. Without ports everything is kept, else only IPv4 UDP to or
//! from one of them.

use anyhow::{Context, Result};
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, socket,
};
use std::env;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes kept of each frame: all of the largest that segmentation offload makes, so that nobody can say a secret lay beyond.
const SNAP: usize = 1 << 16;
/// `PACKET_OUTGOING` of packet(7).
const OUTGOING: u8 = 4;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let path = args
        .next()
        .context("usage: lab-capture FILE [UDP-PORT...]")?;
    let ports = args
        .map(|port| port.parse())
        .collect::<Result<Vec<u16>, _>>()?;
    let mut file = File::create(path)?;
    file.write_all(&file_header())?;
    let bridge = if_nametoindex("br0").context("no bridge br0 here")? as usize;
    let loopback = if_nametoindex("lo").context("no lo here")? as usize;
    let all = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    );
    let all = all.context("a packet socket needs CAP_NET_RAW")?;
    println!("listening");
    let mut buffer = vec![0; SNAP];
    loop {
        let (length, from) = recvfrom::<LinkAddr>(all.as_raw_fd(), &mut buffer)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let Some(from) = from else { continue };
        let own = from.pkttype() == OUTGOING;
        let crosses = from.ifindex() != loopback && own == (from.ifindex() == bridge);
        if crosses && wanted(&buffer[..length], &ports) {
            let time = (u32::try_from(now.as_secs())?, now.subsec_micros());
            file.write_all(&record(&buffer[..length], time))?;
        }
    }
}

/// Whether the frame is IPv4 UDP to or from one of the ports; all are wanted when none is named.
fn wanted(frame: &[u8], ports: &[u16]) -> bool {
    if ports.is_empty() {
        return true;
    }
    let Some((ethernet, packet)) = frame.split_at_checked(14) else {
        return false;
    };
    let Some(first) = packet.first() else {
        return false;
    };
    let udp = ethernet[12..] == [0x08, 0x00] && packet.get(9) == Some(&17);
    let Some(header) = packet
        .get(usize::from(first & 0x0f) * 4..)
        .and_then(|rest| rest.first_chunk::<4>())
    else {
        return false;
    };
    let port = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    udp && (ports.contains(&port(0)) || ports.contains(&port(2)))
}

/// The classic pcap header: microseconds, version 2.4, Ethernet.
fn file_header() -> Vec<u8> {
    let mut header = 0xa1b2_c3d4u32.to_le_bytes().to_vec();
    header.extend([2, 0, 4, 0]);
    for field in [0u32, 0, SNAP as u32, 1] {
        header.extend(field.to_le_bytes());
    }
    header
}

fn record(frame: &[u8], (seconds, micros): (u32, u32)) -> Vec<u8> {
    let kept = &frame[..frame.len().min(SNAP)];
    let mut record = Vec::with_capacity(16 + kept.len());
    for field in [seconds, micros, kept.len() as u32, frame.len() as u32] {
        record.extend(field.to_le_bytes());
    }
    record.extend(kept);
    record
}

#[cfg(test)]
mod tests {
    use super::*;

    fn udp(source: u16, target: u16) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + 8];
        frame[12..15].copy_from_slice(&[0x08, 0x00, 0x45]);
        frame[14 + 9] = 17;
        frame[34..36].copy_from_slice(&source.to_be_bytes());
        frame[36..38].copy_from_slice(&target.to_be_bytes());
        frame
    }

    #[test]
    fn only_udp_of_a_named_port_is_wanted_and_short_frames_are_survived() {
        let ports = [67, 69];
        assert!(wanted(&udp(68, 67), &ports) && wanted(&udp(69, 4000), &ports));
        assert!(!wanted(&udp(68, 4011), &ports));
        assert!(wanted(b"", &[]));
        let dhcp = udp(68, 67);
        assert!((0..38).all(|length| !wanted(&dhcp[..length], &ports)));
        let mut tcp = dhcp;
        tcp[14 + 9] = 6;
        assert!(!wanted(&tcp, &ports));
    }
}
