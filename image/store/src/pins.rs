//! What running sessions rely on: garbage collection takes none of it.
//!
//! A session remembers the ids it was told are there in a Bloom filter: 512 KiB whatever the image's size, and a wrong yes
//! only keeps some garbage until the next collection. While a collection runs, the pins of sessions that end are kept too:
//! the version such a session made may be too new for the roots that the collection was given.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use image::ChunkId;

/// 4 Mi bits: an image of 1 TiB (a million chunks) fills a quarter of them, at three bits each half.
const WORDS: usize = 1 << 16;
/// Bits set for each id, from three different parts of it: ids are hashes already.
const HASHES: usize = 3;

/// The ids one session relies on.
#[derive(Debug)]
pub(crate) struct Pins {
    words: Box<[AtomicU64]>,
}

impl Pins {
    fn new() -> Self {
        Self {
            words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub(crate) fn pin(&self, id: ChunkId) {
        for (word, bit) in bits(id) {
            self.words[word].fetch_or(bit, Ordering::Relaxed);
        }
    }

    fn holds(&self, id: ChunkId) -> bool {
        bits(id).all(|(word, bit)| self.words[word].load(Ordering::Relaxed) & bit != 0)
    }
}

/// Word and bit of each hash.
fn bits(id: ChunkId) -> impl Iterator<Item = (usize, u64)> {
    let bytes = *id.as_bytes();
    // Not the first bytes: the chunks of one shard, which are looked at together, share them.
    (1..=HASHES).map(move |part| {
        let hash = u32::from_le_bytes([
            bytes[4 * part],
            bytes[4 * part + 1],
            bytes[4 * part + 2],
            bytes[4 * part + 3],
        ]);
        (hash as usize >> 6 & (WORDS - 1), 1 << (hash & 63))
    })
}

/// All sessions' pins.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    pins: Vec<Arc<Pins>>,
    collecting: bool,
}

impl Registry {
    /// A new session's pins.
    pub(crate) fn open(&self) -> Arc<Pins> {
        let pins = Arc::new(Pins::new());
        self.lock().pins.push(Arc::clone(&pins));
        pins
    }

    /// The session has ended.
    pub(crate) fn close(&self, pins: &Arc<Pins>) {
        let mut inner = self.lock();
        if !inner.collecting {
            inner.pins.retain(|other| !Arc::ptr_eq(other, pins));
        }
    }

    /// From now to [`end`](Self::end) nobody's pins go away.
    pub(crate) fn begin(&self) {
        self.lock().collecting = true;
    }

    /// The collection is over: pins of sessions that ended meanwhile go.
    pub(crate) fn end(&self) {
        let mut inner = self.lock();
        inner.collecting = false;
        inner.pins.retain(|pins| Arc::strong_count(pins) > 1);
    }

    pub(crate) fn holds(&self, id: ChunkId) -> bool {
        self.lock().pins.iter().any(|pins| pins.holds(id))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here can be left half changed by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_pinned_is_held_and_a_million_pins_hold_few_others() {
        let registry = Registry::default();
        let pins = registry.open();
        let id = |n: u32| ChunkId::of(&n.to_le_bytes());
        (0..100_000).for_each(|n| pins.pin(id(n)));
        assert!((0..100_000).all(|n| registry.holds(id(n))));
        let wrong = (100_000..200_000)
            .filter(|n| registry.holds(id(*n)))
            .count();
        assert!(wrong < 200, "{wrong} of 100,000 held by chance");
        registry.close(&pins);
        assert!(!registry.holds(id(1)));
    }

    #[test]
    fn pins_outlive_their_session_while_a_collection_runs() {
        let registry = Registry::default();
        let id = ChunkId::of(b"x");
        let pins = registry.open();
        pins.pin(id);
        registry.begin();
        registry.close(&pins);
        drop(pins);
        assert!(registry.holds(id));
        registry.end();
        assert!(!registry.holds(id));
    }
}
