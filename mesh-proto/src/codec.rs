//! The gossip's bytes. The only file that knows which library writes them: it is unmaintained, and the golden files in
//! `tests/golden` are what another one would have to reproduce. Numbers are little-endian with a short form for small
//! ones, structs are their fields in order, enums the variant's number first.
//!
//! Everything is decoded from at most [`MAX_PACKET`] bytes that the seal has already proved to come from a member.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::{Buf, BufMut};
use foca::{Header, Member};
use serde::{Serialize, de::DeserializeOwned};

use crate::{broadcast::FactsNote, identity::Identity, wan::SiteRow};

/// Largest packet of the membership protocol, before the seal. Must be equal on all nodes; with seal and UDP headers it
/// stays below IPv6's smallest MTU (1,280).
pub const MAX_PACKET: usize = 1_150;
/// One value on the wire: a header with three IPv6 identities is the largest and has 119 bytes.
const MAX_VALUE: usize = 128;

/// One row of a site's list: a name of 63 letters and eight IPv6 addresses have 246 bytes. A reader counts each number as
/// large as its type (the variant of an address as 4 bytes, a length as 8), and so 300 bytes.
const MAX_ROW: usize = 320;

type Format = Configuration<LittleEndian, Varint, Limit<MAX_VALUE>>;

fn format() -> Format {
    bincode::config::standard().with_limit::<MAX_VALUE>()
}

/// Why bytes were not taken, or not written.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Not what we would have written.
    #[error("the bytes are no such value: {0}")]
    Malformed(bincode::error::DecodeError),
    /// Larger than any value of ours: a mistake in this file's constants.
    #[error("the value is larger than {MAX_VALUE} bytes: {0}")]
    TooLarge(bincode::error::EncodeError),
    /// The packet is full; the next one takes it.
    #[error("no room left in the packet")]
    NoRoom,
}

/// What foca reads and writes its packets with.
#[derive(Debug, Clone, Copy, Default)]
pub struct WireCodec;

impl foca::Codec<Identity> for WireCodec {
    type Error = CodecError;

    fn encode_header(
        &mut self,
        header: &Header<Identity>,
        to: impl BufMut,
    ) -> Result<(), CodecError> {
        put(header, to)
    }

    fn decode_header(&mut self, from: impl Buf) -> Result<Header<Identity>, CodecError> {
        take(from)
    }

    fn encode_member(
        &mut self,
        member: &Member<Identity>,
        to: impl BufMut,
    ) -> Result<(), CodecError> {
        put(member, to)
    }

    fn decode_member(&mut self, from: impl Buf) -> Result<Member<Identity>, CodecError> {
        take(from)
    }
}

/// All or nothing: a packet that has no room for the value is left as it was.
fn put(value: &impl Serialize, mut to: impl BufMut) -> Result<(), CodecError> {
    let mut bytes = [0; MAX_VALUE];
    let len = bincode::serde::encode_into_slice(value, &mut bytes, format())
        .map_err(CodecError::TooLarge)?;
    if to.remaining_mut() < len {
        return Err(CodecError::NoRoom);
    }
    to.put_slice(&bytes[..len]);
    Ok(())
}

fn take<T: DeserializeOwned>(mut from: impl Buf) -> Result<T, CodecError> {
    let (value, len) =
        bincode::serde::decode_from_slice(from.chunk(), format()).map_err(CodecError::Malformed)?;
    from.advance(len);
    Ok(value)
}

/// Who sent a packet to whom and what for, without the updates behind it.
///
/// # Errors
/// When the packet does not start with a header.
pub fn header(packet: &[u8]) -> Result<Header<Identity>, CodecError> {
    take(packet)
}

/// Takes one value off the front of `rest`, which the header and the members of a packet are.
pub(crate) fn next<T: DeserializeOwned>(rest: &mut &[u8]) -> Result<T, CodecError> {
    take(rest)
}

/// An identity alone, as the digest of a view hashes it.
pub(crate) fn identity(identity: &Identity, to: &mut Vec<u8>) {
    put(identity, to).expect("an identity has at most 40 bytes and a vector grows");
}

impl SiteRow {
    /// Writes the row behind others.
    pub(crate) fn put(&self, to: &mut Vec<u8>) {
        let format = bincode::config::standard().with_limit::<MAX_ROW>();
        let row = bincode::serde::encode_to_vec(self, format);
        to.extend(row.expect("a name and eight addresses are what the limit is made of"));
    }

    /// Takes a row off the front of `rest`.
    pub(crate) fn take(rest: &mut &[u8]) -> Result<Self, CodecError> {
        let format = bincode::config::standard().with_limit::<MAX_ROW>();
        let (row, len) =
            bincode::serde::decode_from_slice(rest, format).map_err(CodecError::Malformed)?;
        *rest = &rest[len..];
        Ok(row)
    }
}

impl FactsNote {
    /// The note as gossip carries it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(self, &mut bytes).expect("a note has at most 35 bytes and a vector grows");
        bytes
    }

    /// Reads a note and nothing behind it.
    ///
    /// # Errors
    /// When the bytes are not exactly one note.
    pub fn from_bytes(mut bytes: &[u8]) -> Result<Self, CodecError> {
        let note = take(&mut bytes)?;
        if bytes.is_empty() {
            Ok(note)
        } else {
            Err(CodecError::Malformed(
                bincode::error::DecodeError::OtherString("bytes behind a note".into()),
            ))
        }
    }
}

/// What a sealed datagram holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datagram {
    /// A packet of the membership protocol, for [`Membership::handle_datagram`](crate::membership::Membership).
    Foca(Vec<u8>),
    /// "I have not heard you on your link for a while: dial again." From a controller to an agent.
    Knock,
}

const FOCA: u8 = 1;
const KNOCK: u8 = 2;

/// The sealed bytes are of no kind we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a datagram of an unknown kind")]
pub struct UnknownDatagram;

impl Datagram {
    /// The kind's number, then its content.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Foca(packet) => [&[FOCA], packet.as_slice()].concat(),
            Self::Knock => vec![KNOCK],
        }
    }

    /// Reads what [`Datagram::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the kind is unknown, or a knock has a tail.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, UnknownDatagram> {
        match bytes {
            [FOCA, packet @ ..] => Ok(Self::Foca(packet.to_vec())),
            [KNOCK] => Ok(Self::Knock),
            _ => Err(UnknownDatagram),
        }
    }
}
