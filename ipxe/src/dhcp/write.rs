//! Writes a reply: fixed header, then options in the order given, as many as the client can take.
//!
//! Written by hand because option 82 must come last (RFC 3046 §2.2) and a reply must not outgrow the client's buffer;
//! tests read every reply back with another implementation.

use std::net::Ipv4Addr;

use super::{
    Kind, Message, code,
    message::{COOKIE, HEADER},
};

/// Every client takes a message of 576 octets with its IP and UDP headers (RFC 2131 §2).
const LEAST_MAX_SIZE: u16 = 576;
/// No reply is longer than an Ethernet frame carries unfragmented: ROMs do not reassemble.
const MOST_MAX_SIZE: u16 = 1500;
/// IPv4 header without options, and UDP header.
const IP_UDP: u16 = 28;
/// BOOTP's message size; some relays and ROMs drop shorter ones (RFC 1542 §2.1).
const LEAST_MESSAGE: usize = 300;

/// A reply being written.
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// Where the options must end, so that END still fits. Option 82 does not count: the relay takes it out again.
    room: usize,
    relay: Option<Vec<u8>>,
}

impl Writer {
    /// Starts a reply to `request`: its ids, flags, relay and station are echoed.
    pub(super) fn new(request: &Message, kind: Kind) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[..4].copy_from_slice(&[2, request.htype, 6, 0]);
        bytes[4..8].copy_from_slice(&request.xid.to_be_bytes());
        bytes[10..12].copy_from_slice(&request.flags.to_be_bytes());
        bytes[24..28].copy_from_slice(&request.giaddr.octets());
        bytes[28..34].copy_from_slice(&request.mac.0);
        bytes[236..].copy_from_slice(&COOKIE);
        let relay = request.options.raw(code::RELAY).map(encode_relay);
        let mut writer = Self {
            bytes,
            room: max_message(request) - 1,
            relay,
        };
        writer.option(code::MESSAGE_TYPE, &[kind as u8]);
        writer
    }

    pub(super) fn flags(&mut self, flags: u16) {
        self.bytes[10..12].copy_from_slice(&flags.to_be_bytes());
    }

    pub(super) fn ciaddr(&mut self, ip: Ipv4Addr) {
        self.bytes[12..16].copy_from_slice(&ip.octets());
    }

    pub(super) fn yiaddr(&mut self, ip: Ipv4Addr) {
        self.bytes[16..20].copy_from_slice(&ip.octets());
    }

    pub(super) fn siaddr(&mut self, ip: Ipv4Addr) {
        self.bytes[20..24].copy_from_slice(&ip.octets());
    }

    /// The header's boot file, when it fits with its closing zero; a longer name is in option 67 alone.
    pub(super) fn file(&mut self, name: &str) {
        if name.len() < 128 {
            self.bytes[108..108 + name.len()].copy_from_slice(name.as_bytes());
        }
    }

    /// Appends an option. One that does not fit is left out whole: callers put the important ones first.
    pub(super) fn option(&mut self, code: u8, value: &[u8]) {
        let mut encoded = Vec::with_capacity(value.len() + 2);
        encode(&mut encoded, code, value);
        if self.bytes.len() + encoded.len() <= self.room {
            self.bytes.extend_from_slice(&encoded);
        }
    }

    /// Like [`Writer::option`], for a value that may be absent; nothing is written for an empty one.
    pub(super) fn maybe(&mut self, code: u8, value: Option<&[u8]>) {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            self.option(code, value);
        }
    }

    /// Closes the reply: option 82, END, zeros up to BOOTP's size.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.extend(self.relay.unwrap_or_default());
        self.bytes.push(code::END);
        let padded = self.bytes.len().max(LEAST_MESSAGE);
        self.bytes.resize(padded, code::PAD);
        self.bytes
    }
}

/// The longest message that this client takes, without IP and UDP headers (option 57, within sane bounds).
fn max_message(request: &Message) -> usize {
    let said = request.options.number16(code::MAX_SIZE);
    let size = said.unwrap_or(0).clamp(LEAST_MAX_SIZE, MOST_MAX_SIZE);
    usize::from(size - IP_UDP)
}

/// Option 82 as it came, an empty one too.
fn encode_relay(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if value.is_empty() {
        return vec![code::RELAY, 0];
    }
    encode(&mut out, code::RELAY, value);
    out
}

/// An option in pieces of at most 255 octets (RFC 3396 §6).
fn encode(out: &mut Vec<u8>, code: u8, value: &[u8]) {
    for piece in value.chunks(255) {
        out.push(code);
        out.push(piece.len().try_into().unwrap_or(u8::MAX));
        out.extend_from_slice(piece);
    }
}
