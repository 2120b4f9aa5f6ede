//! Garbage collection: manifests that no version names, and chunks that no such manifest names, go.
//!
//! Safe against everything that runs beside it: sessions' pins are frozen *before* the caller reads which versions there are,
//! so what a session brings in is either among the roots or pinned. Killed at any point it has removed garbage only.

use std::{collections::HashSet, fs, path::Path, sync::PoisonError};

use image::ChunkId;

use crate::{
    ChunkStore, Result, StoreError,
    folder::{id_of, len_of, list},
    store::Inner,
};

/// Ids marked at a time: 8 MiB of marks. A larger store is swept in several rounds, some shards in each.
const MARKS: u64 = 1 << 20;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests.
    pub manifests: u64,
    /// Chunks.
    pub chunks: u64,
    /// Bytes of the chunks' files.
    pub bytes: u64,
}

impl ChunkStore {
    /// Removes what nobody needs. `roots` is called once and must give the digests of the manifests of **all** versions that
    /// are written down at that moment.
    ///
    /// # Errors
    /// When a manifest among the roots is missing or damaged: nothing is removed then, for it cannot be known what it needs.
    /// Or when the folder cannot be read or written.
    pub fn collect<I: IntoIterator<Item = ChunkId>>(
        &self,
        roots: impl FnOnce() -> I,
    ) -> Result<Collected> {
        let _one_at_a_time = self
            .inner
            .collecting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let _frozen = Frozen::new(&self.inner);
        let roots: HashSet<_> = roots().into_iter().collect();
        let rounds = Rounds::plan(self, &roots)?;
        // What is fresh and pinned by nobody any more is swept with the rest.
        self.inner.settle()?;
        let mut collected = Collected::default();
        for path in list(&self.inner.folder.manifests())? {
            if id_of(&path).is_some_and(|digest| !roots.contains(&digest)) {
                collected.manifests += u64::from(self.inner.remove_unpinned(&path)?.is_some());
            }
        }
        for shards in rounds.shards() {
            let marks = rounds.mark(self, &roots, shards.clone())?;
            for shard in shards {
                self.sweep(shard, &marks, &mut collected)?;
            }
        }
        Ok(collected)
    }

    fn sweep(&self, shard: u8, marks: &[u64], collected: &mut Collected) -> Result<()> {
        for path in list(&self.inner.folder.shard(shard))? {
            if id_of(&path).is_some_and(|id| marks.binary_search(&mark_of(id)).is_err())
                && let Some(bytes) = self.inner.remove_unpinned(&path)?
            {
                collected.chunks += 1;
                collected.bytes += bytes;
            }
        }
        Ok(())
    }
}

/// While it lives no session's pins go away.
struct Frozen<'a>(&'a Inner);

impl<'a> Frozen<'a> {
    fn new(inner: &'a Inner) -> Self {
        inner.registry.begin();
        Self(inner)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.registry.end();
    }
}

impl Inner {
    /// Removes a file named by an id that no session relies on: its bytes, or `None` when it stays.
    fn remove_unpinned(&self, path: &Path) -> Result<Option<u64>> {
        // Sessions pin and look under the same lock: whoever was told that it is there has pinned it.
        let mut books = self.books();
        if id_of(path).is_none_or(|id| self.registry.holds(id)) {
            return Ok(None);
        }
        let Some(bytes) = len_of(path)? else {
            return Ok(None);
        };
        fs::remove_file(path).map_err(StoreError::io("removing", path))?;
        if path.parent() != Some(&self.folder.manifests()) {
            books.taken(bytes);
        }
        Ok(Some(bytes))
    }
}

/// In how many rounds the shards are swept, so that the marks of one fit into memory.
struct Rounds {
    shards_each: usize,
}

impl Rounds {
    /// Reads every root once: a missing or damaged one ends the collection before anything is removed.
    fn plan(store: &ChunkStore, roots: &HashSet<ChunkId>) -> Result<Self> {
        let mut ids = 0;
        for root in roots {
            ids += store.manifest(*root)?.data_len();
        }
        let rounds = ids.div_ceil(MARKS).clamp(1, 256).next_power_of_two();
        let shards_each = 256 / usize::try_from(rounds).expect("at most 256");
        Ok(Self { shards_each })
    }

    fn shards(&self) -> impl Iterator<Item = std::ops::RangeInclusive<u8>> + use<> {
        let each = self.shards_each;
        (0..256).step_by(each).map(move |first| {
            let shard = |n: usize| u8::try_from(n).expect("below 256");
            shard(first)..=shard(first + each - 1)
        })
    }

    /// The marks of all chunks of these shards that a root needs, sorted.
    fn mark(
        &self,
        store: &ChunkStore,
        roots: &HashSet<ChunkId>,
        shards: std::ops::RangeInclusive<u8>,
    ) -> Result<Vec<u64>> {
        let mut marks = Vec::new();
        for root in roots {
            let manifest = store.manifest(*root)?;
            let ids = manifest.data().filter_map(|piece| piece.id);
            marks.extend(
                ids.filter(|id| shards.contains(&id.as_bytes()[0]))
                    .map(mark_of),
            );
            // Versions of one image share most chunks.
            marks.sort_unstable();
            marks.dedup();
        }
        Ok(marks)
    }
}

/// Eight bytes of an id: that two chunks share them is unlikely, and would only keep one too many.
fn mark_of(id: ChunkId) -> u64 {
    let bytes = id.as_bytes();
    u64::from_be_bytes(*bytes.first_chunk().expect("an id has 32 bytes"))
}
