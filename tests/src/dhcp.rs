//! DHCP messages as a station writes and reads them (RFC 2131 §2), for loads and for the stations of a story.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

/// Where a station without an address finds servers.
pub const SERVERS: &str = "255.255.255.255:67";
/// Message types of RFC 2132 §9.6.
pub const DISCOVER: u8 = 1;
/// A server's answer to it.
pub const OFFER: u8 = 2;
/// A station wants what was offered.
pub const REQUEST: u8 = 3;
/// It has it.
pub const ACK: u8 = 5;

const MAGIC: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
/// Where the options begin, behind the header and [`MAGIC`].
const OPTIONS: usize = 240;
/// BOOTP's size, octets: some servers take no shorter message.
const SHORTEST: usize = 300;
/// A reader looks this often whether it is over.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The clients' port on `eth0`, with room for thousands of answers.
///
/// # Errors
/// When there is no such interface, or the port is taken.
pub fn open() -> Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.bind_device(Some(b"eth0")).context("no eth0 here")?;
    socket.set_recv_buffer_size(8 << 20)?;
    socket.set_read_timeout(Some(LOOK_AGAIN))?;
    socket.bind(&"0.0.0.0:68".parse::<SocketAddr>()?.into())?;
    Ok(socket.into())
}

/// A message of this kind from a station, with these options as they are on the wire.
#[must_use]
pub fn request(mac: [u8; 6], xid: u32, kind: u8, options: &[u8]) -> Vec<u8> {
    let mut message = vec![0; OPTIONS - MAGIC.len()];
    message[..4].copy_from_slice(&[1, 1, 6, 0]);
    message[4..8].copy_from_slice(&xid.to_be_bytes());
    // No address yet: the answer has to be a broadcast.
    message[10] = 0x80;
    message[28..34].copy_from_slice(&mac);
    message.extend_from_slice(&MAGIC);
    message.extend_from_slice(&[53, 1, kind]);
    message.extend_from_slice(options);
    message.push(255);
    message.resize(message.len().max(SHORTEST), 0);
    message
}

/// The number by which an answer names its question.
#[must_use]
pub fn xid(message: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(message.get(4..8)?.try_into().ok()?))
}

/// The value of an option.
#[must_use]
pub fn option(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = message.get(OPTIONS..)?;
    loop {
        match *rest {
            [255, ..] | [] | [_] => return None,
            [0, ref after @ ..] => rest = after,
            [code, length, ref after @ ..] => {
                let value = after.get(..length.into())?;
                if code == wanted {
                    return Some(value);
                }
                rest = &after[length.into()..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_a_cut_message_is_survived() {
        let whole = request([2, 0, 0, 0, 0, 1], 7, DISCOVER, b"\x3c\x03PXE\x00\x0c\x01a");
        assert_eq!(xid(&whole), Some(7));
        assert_eq!(option(&whole, 53), Some(&[DISCOVER][..]));
        assert_eq!(option(&whole, 60), Some(&b"PXE"[..]));
        assert_eq!(option(&whole, 12), Some(&b"a"[..]), "behind a pad");
        assert_eq!(option(&whole, 54), None);
        assert!((0..247).all(|length| option(&whole[..length], 60).is_none()));
    }
}
