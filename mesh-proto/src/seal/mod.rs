//! The envelope around every gossip datagram: XChaCha20-Poly1305 under a key that the whole site shares.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 4 | site tag: datagrams of a neighbour site are not ours to try |
//! | 4 | epoch of the key, big-endian |
//! | 8 | node id of the sender, big-endian |
//! | 16 | session: random, drawn when the sender's process starts |
//! | 8 | counter, big-endian; session and counter are the nonce |
//! | … | sealed [`Datagram`], and 16 bytes of tag over all of the above |
//!
//! It proves that the sender holds the group's key, and that a datagram is taken once. It does not prove *which* member
//! sent it: gossip is a hint and authorises nothing.

mod ring;
mod window;

use std::time::Instant;

use chacha20poly1305::{AeadInPlace, Tag, XNonce};
use sha2::{Digest, Sha256};

pub use ring::{GossipKey, KeyRing, MAX_KEYS, OLD_KEY_OPENS, RingError};
use window::Windows;

use crate::{
    codec::{Datagram, MAX_PACKET},
    identity::NodeId,
};

/// The only version there is.
const VERSION: u8 = 1;
const HEADER: usize = 1 + 4 + 4 + 8 + 24;
const TAG: usize = 16;
/// Bytes a sealed datagram has beside its content.
pub const SEAL_OVERHEAD: usize = HEADER + TAG;
/// The longest sealed datagram: a full packet, its kind, and the envelope. Below IPv6's smallest MTU with its headers.
pub const MAX_SEALED: usize = MAX_PACKET + 1 + SEAL_OVERHEAD;

/// A process's own random 16 bytes: half of every nonce it uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

/// Which site a datagram belongs to, in four bytes that need no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteTag([u8; 4]);

impl SiteTag {
    /// The tag of the site of this name.
    #[must_use]
    pub fn of(site: &str) -> Self {
        let digest = Sha256::new()
            .chain_update("enforcer-site/1")
            .chain_update(site)
            .finalize();
        Self([digest[0], digest[1], digest[2], digest[3]])
    }
}

/// Why a datagram was not opened. Nothing is answered to any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OpenError {
    /// Shorter than the envelope, or longer than any of ours.
    #[error("no sealed datagram has this length")]
    Length,
    /// Another format, or not ours at all.
    #[error("not a sealed datagram of version {VERSION}")]
    Version,
    /// A neighbour's.
    #[error("a datagram of another site")]
    Site,
    /// We do not hold this key: it was rotated and we missed it, or it is long gone. Dialling a controller brings the ring.
    #[error("sealed with the key of epoch {0}, which this node does not hold")]
    UnknownEpoch(u32),
    /// Not sealed by a holder of the key.
    #[error("forged, or damaged on the way")]
    Forged,
    /// Taken before, or too late to tell.
    #[error("replayed, or overtaken by more than a window")]
    Replayed,
    /// Our own datagram came back.
    #[error("sent by this node itself")]
    Ours,
    /// The content is of a kind we do not know: a newer release?
    #[error("sealed well, but of an unknown kind")]
    Kind,
}

/// Why a datagram could not be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no key yet: the first hello brings it.
    #[error("no gossip key yet")]
    NoKey,
    /// Longer than [`MAX_PACKET`].
    #[error("the packet is longer than {MAX_PACKET} bytes")]
    TooLong,
    /// 2⁶⁴ datagrams were sent, or the cipher refused: cannot be in practice.
    #[error("the cipher refused")]
    Cipher,
}

/// What was counted since the start, a number for each [`OpenError`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SealCounters {
    /// Datagrams that were opened.
    pub opened: u64,
    /// [`OpenError::Length`].
    pub length: u64,
    /// [`OpenError::Version`].
    pub version: u64,
    /// [`OpenError::Site`].
    pub site: u64,
    /// [`OpenError::UnknownEpoch`].
    pub unknown_epoch: u64,
    /// [`OpenError::Forged`].
    pub forged: u64,
    /// [`OpenError::Replayed`].
    pub replayed: u64,
    /// [`OpenError::Ours`].
    pub ours: u64,
    /// [`OpenError::Kind`].
    pub kind: u64,
}

impl SealCounters {
    fn count(&mut self, result: Result<(), OpenError>) {
        let counter = match result {
            Ok(()) => &mut self.opened,
            Err(OpenError::Length) => &mut self.length,
            Err(OpenError::Version) => &mut self.version,
            Err(OpenError::Site) => &mut self.site,
            Err(OpenError::UnknownEpoch(_)) => &mut self.unknown_epoch,
            Err(OpenError::Forged) => &mut self.forged,
            Err(OpenError::Replayed) => &mut self.replayed,
            Err(OpenError::Ours) => &mut self.ours,
            Err(OpenError::Kind) => &mut self.kind,
        };
        *counter += 1;
    }
}

/// A datagram out of its envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Who says to have sent it.
    pub sender: NodeId,
    /// What was in it.
    pub datagram: Datagram,
}

/// Seals what this process sends and opens what it receives.
pub struct Seal {
    site: SiteTag,
    node: NodeId,
    session: SessionId,
    counter: u64,
    /// The keys. The driver installs, uses and drops them as the link says.
    pub ring: KeyRing,
    windows: Windows,
    counters: SealCounters,
}

impl Seal {
    /// `session` must be fresh random bytes in every process: with the counter, which starts at zero, it makes the nonces
    /// that must never repeat under one key.
    #[must_use]
    pub fn new(site: SiteTag, node: NodeId, session: SessionId) -> Self {
        Self {
            site,
            node,
            session,
            counter: 0,
            ring: KeyRing::default(),
            windows: Windows::default(),
            counters: SealCounters::default(),
        }
    }

    /// A datagram as it goes to the socket.
    ///
    /// # Errors
    /// Without a key, or when it is too long.
    pub fn seal(&mut self, datagram: &Datagram) -> Result<Vec<u8>, SealError> {
        let content = datagram.to_bytes();
        if content.len() > MAX_PACKET + 1 {
            return Err(SealError::TooLong);
        }
        let (epoch, cipher) = self.ring.current().ok_or(SealError::NoKey)?;
        // Counted before it is used: whatever happens next, this nonce is spent.
        let counter = self.counter;
        self.counter = counter.checked_add(1).ok_or(SealError::Cipher)?;
        let header = Header {
            site: self.site,
            epoch,
            sender: self.node,
            session: self.session,
            counter,
        };
        let mut bytes = Vec::with_capacity(HEADER + content.len() + TAG);
        bytes.extend(header.to_bytes());
        bytes.extend(content);
        let (aad, sealed) = bytes.split_at_mut(HEADER);
        let tag = cipher
            .encrypt_in_place_detached(&header.nonce(), aad, sealed)
            .map_err(|_| SealError::Cipher)?;
        bytes.extend(tag);
        Ok(bytes)
    }

    /// What the socket received. Whatever is refused is counted and changes nothing else.
    ///
    /// # Errors
    /// When it is not a fresh datagram of a holder of one of our keys.
    pub fn open(&mut self, now: Instant, bytes: &[u8]) -> Result<Opened, OpenError> {
        let opened = self.try_open(now, bytes);
        self.counters
            .count(opened.as_ref().map(|_| ()).map_err(|error| *error));
        opened
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> SealCounters {
        self.counters
    }

    fn try_open(&mut self, now: Instant, bytes: &[u8]) -> Result<Opened, OpenError> {
        if bytes.len() <= SEAL_OVERHEAD || bytes.len() > MAX_SEALED {
            return Err(OpenError::Length);
        }
        let (aad, sealed) = bytes.split_at(HEADER);
        let header = Header::from_bytes(aad)?;
        if header.site != self.site {
            return Err(OpenError::Site);
        }
        if (header.sender, header.session) == (self.node, self.session) {
            return Err(OpenError::Ours);
        }
        let cipher = self.ring.find(now, header.epoch);
        let cipher = cipher.ok_or(OpenError::UnknownEpoch(header.epoch))?;
        // Cheap, and before the cipher: a replay is the one forgery that costs nothing to make.
        if !self.windows.is_fresh(&header) {
            return Err(OpenError::Replayed);
        }
        let (content, tag) = sealed.split_at(sealed.len() - TAG);
        let mut content = content.to_vec();
        cipher
            .decrypt_in_place_detached(&header.nonce(), aad, &mut content, Tag::from_slice(tag))
            .map_err(|_| OpenError::Forged)?;
        self.windows.take(now, &header);
        let datagram = Datagram::from_bytes(&content).map_err(|_| OpenError::Kind)?;
        Ok(Opened {
            sender: header.sender,
            datagram,
        })
    }
}

/// The part that is not encrypted, but authenticated.
#[derive(Debug, Clone, Copy)]
struct Header {
    site: SiteTag,
    epoch: u32,
    sender: NodeId,
    session: SessionId,
    counter: u64,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [VERSION; HEADER];
        bytes[1..5].copy_from_slice(&self.site.0);
        bytes[5..9].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[9..17].copy_from_slice(&self.sender.0.to_be_bytes());
        bytes[17..33].copy_from_slice(&self.session.0);
        bytes[33..].copy_from_slice(&self.counter.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, OpenError> {
        let (version, rest) = bytes.split_first().ok_or(OpenError::Length)?;
        if *version != VERSION {
            return Err(OpenError::Version);
        }
        let mut rest = rest;
        Ok(Self {
            site: SiteTag(next(&mut rest)?),
            epoch: u32::from_be_bytes(next(&mut rest)?),
            sender: NodeId(u64::from_be_bytes(next(&mut rest)?)),
            session: SessionId(next(&mut rest)?),
            counter: u64::from_be_bytes(next(&mut rest)?),
        })
    }

    fn nonce(&self) -> XNonce {
        let mut nonce = XNonce::default();
        nonce[..16].copy_from_slice(&self.session.0);
        nonce[16..].copy_from_slice(&self.counter.to_be_bytes());
        nonce
    }
}

fn next<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], OpenError> {
    let (field, after) = rest.split_first_chunk().ok_or(OpenError::Length)?;
    *rest = after;
    Ok(*field)
}

#[cfg(test)]
mod tests;
