//! The group's keys, each with its epoch. A rotation is: install the new one everywhere, use it, and drop the old one a
//! minute later, when nobody seals with it any more.

use std::{
    fmt,
    time::{Duration, Instant},
};

use chacha20poly1305::{KeyInit, XChaCha20Poly1305};
use zeroize::Zeroizing;

/// Keys a node holds at once: the current, the next, and two that still run out.
pub const MAX_KEYS: usize = 4;
/// How long a key that is no longer used still opens: every link has brought the news by then.
pub const OLD_KEY_OPENS: Duration = Duration::from_secs(60);

/// 32 secret bytes that every member of the site holds. They print as nothing and are wiped when dropped.
#[derive(Clone)]
pub struct GossipKey(Zeroizing<[u8; 32]>);

impl GossipKey {
    /// Takes fresh random bytes, or those that came over the link.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the link and the store only.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for GossipKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("GossipKey(..)")
    }
}

/// Why a ring does not take a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// Another key has this epoch already.
    #[error("epoch {0} has another key already")]
    Taken(u32),
    /// [`MAX_KEYS`] are held: rotations come faster than old keys run out.
    #[error("the ring holds {MAX_KEYS} keys already")]
    Full,
    /// The key to be used was never installed.
    #[error("there is no key of epoch {0}")]
    Unknown(u32),
}

/// All keys that open, and the one that seals.
#[derive(Default)]
pub struct KeyRing {
    keys: Vec<Held>,
    current: Option<u32>,
}

struct Held {
    epoch: u32,
    key: GossipKey,
    /// Ready to use. It wipes itself.
    cipher: XChaCha20Poly1305,
    /// When it stops to open.
    until: Option<Instant>,
}

impl KeyRing {
    /// From now on this key opens. The same key again is no mistake; it stays for good again.
    ///
    /// # Errors
    /// When the epoch has another key, or the ring is full.
    pub fn install(&mut self, now: Instant, epoch: u32, key: &GossipKey) -> Result<(), RingError> {
        self.drop_old(now);
        if let Some(held) = self.keys.iter_mut().find(|held| held.epoch == epoch) {
            if held.key.expose() != key.expose() {
                return Err(RingError::Taken(epoch));
            }
            held.until = None;
            return Ok(());
        }
        if self.keys.len() >= MAX_KEYS {
            return Err(RingError::Full);
        }
        self.keys.push(Held {
            epoch,
            key: key.clone(),
            cipher: XChaCha20Poly1305::new(key.expose().into()),
            until: None,
        });
        Ok(())
    }

    /// From now on this key seals. The one that did, and all older ones, open for another [`OLD_KEY_OPENS`].
    ///
    /// # Errors
    /// When it was not installed.
    pub fn use_epoch(&mut self, now: Instant, epoch: u32) -> Result<(), RingError> {
        if !self.keys.iter().any(|held| held.epoch == epoch) {
            return Err(RingError::Unknown(epoch));
        }
        for held in &mut self.keys {
            if held.epoch == epoch {
                held.until = None;
            } else if held.epoch < epoch {
                held.until.get_or_insert(now + OLD_KEY_OPENS);
            }
        }
        self.current = Some(epoch);
        Ok(())
    }

    /// Makes the ring equal to the one a hello brought: keys that are not in it are dropped at once.
    ///
    /// # Errors
    /// When it holds too many keys, or not the current one; then nothing changes.
    pub fn replace(
        &mut self,
        now: Instant,
        keys: &[(u32, GossipKey)],
        current: u32,
    ) -> Result<(), RingError> {
        let mut fresh = Self::default();
        for (epoch, key) in keys {
            fresh.install(now, *epoch, key)?;
        }
        fresh.use_epoch(now, current)?;
        *self = fresh;
        Ok(())
    }

    /// Wipes what has run out. Also done by [`KeyRing::install`]; a key that has run out opens nothing in any case.
    pub fn drop_old(&mut self, now: Instant) {
        self.keys.retain(|held| !held.is_over(now));
    }

    /// When [`KeyRing::drop_old`] has something to do.
    #[must_use]
    pub fn next_drop(&self) -> Option<Instant> {
        self.keys.iter().filter_map(|held| held.until).min()
    }

    /// The epoch that seals.
    #[must_use]
    pub fn epoch(&self) -> Option<u32> {
        self.current
    }

    pub(super) fn current(&self) -> Option<(u32, &XChaCha20Poly1305)> {
        let epoch = self.current?;
        let held = self.keys.iter().find(|held| held.epoch == epoch)?;
        Some((epoch, &held.cipher))
    }

    pub(super) fn find(&self, now: Instant, epoch: u32) -> Option<&XChaCha20Poly1305> {
        let mut open = self.keys.iter().filter(|held| !held.is_over(now));
        open.find(|held| held.epoch == epoch)
            .map(|held| &held.cipher)
    }
}

impl Held {
    fn is_over(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epochs: Vec<_> = self.keys.iter().map(|held| held.epoch).collect();
        out.debug_struct("KeyRing")
            .field("epochs", &epochs)
            .field("current", &self.current)
            .finish()
    }
}
