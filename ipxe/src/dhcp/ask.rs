//! A client's question, for finding out who answers on a segment.

use super::{
    Kind, code,
    message::{BROADCAST, COOKIE, HEADER},
};
use crate::MacAddr;

/// BOOTP's message size; some servers drop shorter ones (RFC 1542 §2.1).
const LEAST_MESSAGE: usize = 300;

/// A DISCOVER of an ordinary station, no PXE client, that wants the answer broadcast (RFC 2131 §4.4.1).
#[must_use]
pub fn discover(xid: u32, mac: MacAddr) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
    bytes[4..8].copy_from_slice(&xid.to_be_bytes());
    bytes[10..12].copy_from_slice(&BROADCAST.to_be_bytes());
    bytes[28..34].copy_from_slice(&mac.0);
    bytes[236..].copy_from_slice(&COOKIE);
    bytes.extend([code::MESSAGE_TYPE, 1, Kind::Discover as u8, code::END]);
    bytes.resize(LEAST_MESSAGE, code::PAD);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhcp::Message;

    #[test]
    fn a_discover_is_read_as_one() {
        let mac = MacAddr([2, 0, 0, 0, 0, 7]);
        let read = Message::request(&discover(0x0102_0304, mac)).unwrap();
        assert_eq!(
            (read.kind, read.xid, read.mac),
            (Kind::Discover, 0x0102_0304, mac)
        );
        assert_eq!(read.flags, BROADCAST);
        assert_eq!(read.options.raw(code::VENDOR_CLASS), None);
    }
}
