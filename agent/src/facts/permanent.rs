//! Burned-in hardware addresses as the kernel's rtnetlink tells them (`IFLA_PERM_ADDRESS`, Linux 5.6): the one way that
//! needs no `ioctl`. One question, a dump of all links; what cannot be read is absent.

use std::collections::BTreeMap;
use std::time::Duration;

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `struct nlmsghdr` of `<linux/netlink.h>`: length, type, flags, sequence, port.
const HEADER_BYTES: usize = 16;
/// `struct ifinfomsg` of `<linux/rtnetlink.h>`.
const INTERFACE_BYTES: usize = 16;
/// `NLMSG_DONE`.
const DONE: u16 = 3;
/// `RTM_NEWLINK`.
const NEW_LINK: u16 = 16;
/// `RTM_GETLINK`.
const GET_LINK: u16 = 18;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_DUMP: u16 = 0x301;
/// `IFLA_IFNAME`.
const NAME: u16 = 3;
/// `IFLA_PERM_ADDRESS`.
const PERMANENT: u16 = 54;
/// The kernel fills at most this much at a time.
const RECEIVE_BYTES: usize = 32 << 10;
/// Rounds of a dump that are read: thousands of interfaces.
const ROUNDS: usize = 256;
/// The kernel answers at once; a sandbox may not answer at all.
const PATIENCE: Duration = Duration::from_millis(500);

/// Interface name to address, for every interface with an Ethernet address of its own.
pub(super) fn addresses() -> BTreeMap<String, String> {
    dump().unwrap_or_default()
}

fn dump() -> rustix::io::Result<BTreeMap<String, String>> {
    let socket = net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // The default is NETLINK_ROUTE.
        None,
    )?;
    net::sockopt::set_socket_timeout(&socket, net::sockopt::Timeout::Recv, Some(PATIENCE))?;
    net::send(&socket, &question(), SendFlags::empty())?;
    let mut found = BTreeMap::new();
    let mut buffer = vec![0; RECEIVE_BYTES];
    for _ in 0..ROUNDS {
        let (length, _) = net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if length == 0 || read(&buffer[..length.min(RECEIVE_BYTES)], &mut found) {
            break;
        }
    }
    Ok(found)
}

fn question() -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + INTERFACE_BYTES).expect("32 bytes");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(GET_LINK.to_ne_bytes());
    bytes.extend(REQUEST_DUMP.to_ne_bytes());
    bytes.resize(HEADER_BYTES + INTERFACE_BYTES, 0);
    bytes
}

/// Reads one datagram of the dump; true when it was the last.
fn read(mut datagram: &[u8], found: &mut BTreeMap<String, String>) -> bool {
    while let Some((kind, body, rest)) = next_message(datagram) {
        match kind {
            NEW_LINK => found.extend(link(body)),
            DONE => return true,
            _ => {}
        }
        datagram = rest;
    }
    false
}

fn next_message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    let body = bytes.get(HEADER_BYTES..length)?;
    Some((kind, body, bytes.get(aligned(length)..).unwrap_or_default()))
}

fn link(body: &[u8]) -> Option<(String, String)> {
    let mut attributes = body.get(INTERFACE_BYTES..)?;
    let (mut name, mut address) = (None, None);
    while let Some((kind, value, rest)) = next_attribute(attributes) {
        match kind {
            NAME => {
                name = std::str::from_utf8(value)
                    .ok()
                    .map(|n| n.trim_end_matches('\0'));
            }
            // Six bytes are Ethernet; InfiniBand has twenty. All zero is the kernel's "none".
            PERMANENT if value.len() == 6 && value.iter().any(|byte| *byte != 0) => {
                address = Some(value);
            }
            _ => {}
        }
        attributes = rest;
    }
    let octets: Vec<String> = address?.iter().map(|byte| format!("{byte:02x}")).collect();
    Some((name?.to_owned(), octets.join(":")))
}

fn next_attribute(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    // The upper two bits are flags (NLA_F_NESTED, NLA_F_NET_BYTEORDER).
    let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?) & 0x3fff;
    let value = bytes.get(4..length)?;
    Some((
        kind,
        value,
        bytes.get(aligned(length)..).unwrap_or_default(),
    ))
}

/// Netlink pads everything to four bytes.
fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(value.len() + 4)
            .unwrap()
            .to_ne_bytes()
            .to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn message(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        let body = [vec![0; INTERFACE_BYTES], attributes.concat()].concat();
        let length = u32::try_from(HEADER_BYTES + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(HEADER_BYTES, 0);
        bytes.extend(body);
        bytes
    }

    fn sample() -> Vec<u8> {
        let mac = [0x52, 0x54, 0, 0x77, 0, 0x0a];
        [
            message(
                NEW_LINK,
                &[attribute(NAME, b"lo\0"), attribute(PERMANENT, &[0; 6])],
            ),
            message(
                NEW_LINK,
                &[attribute(NAME, b"ib0\0"), attribute(PERMANENT, &[1; 20])],
            ),
            message(
                NEW_LINK,
                &[
                    attribute(NAME, b"eth0\0"),
                    attribute(1, &[9; 6]),
                    attribute(PERMANENT, &mac),
                ],
            ),
            message(DONE, &[]),
        ]
        .concat()
    }

    #[test]
    fn only_ethernet_addresses_of_their_own_are_taken() {
        let mut found = BTreeMap::new();
        assert!(read(&sample(), &mut found), "the end is seen");
        let want = BTreeMap::from([("eth0".to_owned(), "52:54:00:77:00:0a".to_owned())]);
        assert_eq!(found, want);
    }

    #[test]
    fn a_torn_answer_is_no_panic_and_ends() {
        let whole = sample();
        for cut in 0..whole.len() {
            read(&whole[..cut], &mut BTreeMap::new());
        }
        assert!(
            !read(&[0; 64], &mut BTreeMap::new()),
            "a length of zero must not loop"
        );
        assert_eq!(link(&[0; 64]), None);
    }

    #[test]
    fn the_kernel_of_this_host_understands_the_question() {
        assert!(dump().is_ok());
    }
}
