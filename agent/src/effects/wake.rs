//! Magic packets (AMD, "Magic Packet Technology", 1995): six bytes of ones, then the sleeper's address sixteen times,
//! anywhere in a frame; UDP port 9 broadcast is the custom.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use mesh_proto::facts::Nic;
use socket2::{Domain, Protocol, Socket, Type};

/// The discard port.
const PORT: u16 = 9;
/// Broadcasts are never repeated by the network, and a sleeping card listens with half an ear.
const COPIES: usize = 3;

pub(super) fn magic_packet(mac: [u8; 6]) -> Vec<u8> {
    [vec![0xff; 6], mac.repeat(16)].concat()
}

pub(super) fn send(mac: [u8; 6], nics: &[Nic]) -> io::Result<()> {
    let packet = magic_packet(mac);
    // A broadcast leaves by the default route's card alone, unless the socket is bound to a card.
    let mut outcome = Err(io::Error::new(
        io::ErrorKind::NotConnected,
        "no network card is connected",
    ));
    for nic in nics.iter().filter(|nic| nic.link) {
        let sent = send_by(&nic.name, &packet);
        if outcome.is_err() {
            outcome = sent;
        }
    }
    outcome
}

fn send_by(card: &str, packet: &[u8]) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind_device(Some(card.as_bytes()))?;
    socket.set_broadcast(true)?;
    let all = SocketAddrV4::new(Ipv4Addr::BROADCAST, PORT);
    for _ in 0..COPIES {
        socket.send_to(packet, &all.into())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_is_ones_and_sixteen_addresses() {
        let packet = magic_packet([0x52, 0x54, 0, 0x77, 0, 1]);
        assert_eq!((packet.len(), &packet[..6]), (102, &[0xff; 6][..]));
        assert!(
            packet[6..]
                .chunks(6)
                .all(|part| part == [0x52, 0x54, 0, 0x77, 0, 1])
        );
    }

    #[test]
    fn without_a_connected_card_it_is_an_error() {
        assert!(send([2; 6], &[]).is_err());
    }
}
