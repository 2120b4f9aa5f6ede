//! When fresh chunks are durable: synced together, a few dozen megabytes at once, beside who brings the next ones.

use std::{
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use image::ChunkId;

use crate::{Result, store::Inner};

/// After so many bytes of new chunks they are synced: what a crash can cost an upload that has to be sent again.
pub const SETTLE_BYTES: u64 = 64 << 20;
/// While a sync runs as much again may come; who brings more waits for it. A disk that is slower than the wire holds the
/// wire back here, and not when the kernel has no memory left for what is to be written.
const UNSETTLED_BYTES: u64 = 2 * SETTLE_BYTES;

/// Who settles.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    /// Held by who moves fresh chunks into their place.
    names: Mutex<Names>,
    /// A thread does that beside those who bring chunks.
    beside: AtomicBool,
}

/// Whether the names of chunks that were moved into their place are on the medium.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Names {
    #[default]
    Durable,
    /// Moved, and not synced since.
    Moved,
}

impl Inner {
    /// A chunk came, and so many bytes are fresh now.
    pub(crate) fn settle_some(self: &Arc<Self>, fresh_bytes: u64) -> Result<()> {
        match fresh_bytes {
            0..SETTLE_BYTES => Ok(()),
            SETTLE_BYTES..UNSETTLED_BYTES => self.settle_beside(),
            UNSETTLED_BYTES.. => self.settle(),
        }
    }

    /// Settles on a thread of its own, unless one does already: who brings chunks hashes and packs the next ones while the
    /// disk writes.
    fn settle_beside(self: &Arc<Self>) -> Result<()> {
        if self.settling.beside.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let inner = Arc::clone(self);
        let work = move || {
            // Chunks that were lost are missing when somebody saves what needs them.
            let _lost = inner.settle();
            inner.settling.beside.store(false, Ordering::Release);
        };
        let thread = thread::Builder::new().name("image-settle".into());
        if thread.spawn(work).is_err() {
            self.settling.beside.store(false, Ordering::Release);
            return self.settle();
        }
        Ok(())
    }

    pub(crate) fn settle(&self) -> Result<()> {
        let mut names = self
            .settling
            .names
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.settle_locked(&mut names)
    }

    /// First the bytes, then the names: a chunk in its place is whole, whenever the power goes. The second sync makes the
    /// names durable; until it returns nothing that needs them is acknowledged.
    fn settle_locked(&self, names: &mut Names) -> Result<()> {
        let ids: Vec<_> = self.books().fresh.keys().copied().collect();
        if ids.is_empty() && *names == Names::Durable {
            return Ok(());
        }
        if let Err(error) = self.folder.sync() {
            self.give_up(&ids);
            return Err(error);
        }
        *names = Names::Moved;
        for id in ids {
            let mut books = self.books();
            self.folder
                .rename(&self.folder.fresh(id), &self.folder.chunk(id))?;
            books.no_longer_fresh(id);
        }
        self.folder.sync()?;
        *names = Names::Durable;
        Ok(())
    }

    /// After a sync that failed nobody knows what of these is on the medium, and Linux says so only once: the next sync would
    /// seem to have written them. So the store no longer has them; whoever needs them brings them again.
    fn give_up(&self, ids: &[ChunkId]) {
        let mut books = self.books();
        for id in ids {
            let _emptied_on_opening = fs::remove_file(self.folder.fresh(*id));
            let bytes = books.no_longer_fresh(*id);
            books.taken(bytes);
        }
        books.losses += 1;
    }

    /// How often fresh chunks were given up since the store was opened.
    pub(crate) fn losses(&self) -> u64 {
        self.books().losses
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, time::Duration};

    use image::{Builder, ChunkSize, Manifest};

    use super::*;
    use crate::{ChunkStore, Limits, Put, StoreError};

    /// What never comes fails a test instead of hanging it.
    const PATIENCE: Duration = Duration::from_secs(60);
    const CHUNK: [u8; 512] = [7; 512];

    fn store() -> (tempfile::TempDir, ChunkStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = ChunkStore::open(folder.path(), Limits::default()).unwrap();
        (folder, store)
    }

    fn manifest(id: ChunkId) -> Manifest {
        let mut builder = Builder::new(512, ChunkSize::default()).unwrap();
        builder.push(Some(id));
        builder.finish(512).unwrap()
    }

    #[test]
    fn chunks_of_a_sync_that_failed_are_missing_and_are_brought_again() {
        let (_folder, store) = store();
        let (session, id) = (store.session(), ChunkId::of(&CHUNK));
        assert_eq!(store.usage().unwrap().chunks, 0);
        session.put(id, &CHUNK).unwrap();
        *store.inner.folder.broken.lock().unwrap() = true;
        assert!(store.sync().is_err());
        *store.inner.folder.broken.lock().unwrap() = false;
        // Linux would say that all is well now.
        store.sync().unwrap();
        assert_eq!(session.has(&[id]).unwrap(), [false]);
        assert_eq!(store.usage().unwrap().stored_bytes, 0);
        let refused = session.save(&manifest(id));
        assert!(
            matches!(refused, Err(StoreError::Missing { .. })),
            "{refused:?}"
        );
        assert!(matches!(session.put(id, &CHUNK), Ok(Put::New { .. })));
        session.save(&manifest(id)).unwrap();
    }

    #[test]
    fn names_that_could_not_be_synced_are_synced_before_anything_is_saved() {
        let (_folder, store) = store();
        let (session, id) = (store.session(), ChunkId::of(&CHUNK));
        session.put(id, &CHUNK).unwrap();
        store.sync().unwrap();
        *store.inner.settling.names.lock().unwrap() = Names::Moved;
        *store.inner.folder.broken.lock().unwrap() = true;
        assert!(session.save(&manifest(id)).is_err());
        *store.inner.folder.broken.lock().unwrap() = false;
        session.save(&manifest(id)).unwrap();
        assert_eq!(*store.inner.settling.names.lock().unwrap(), Names::Durable);
    }

    #[test]
    fn who_brings_chunks_does_not_wait_for_a_sync_until_as_much_again_has_come() {
        let (_folder, store) = store();
        store.session().put(ChunkId::of(&CHUNK), &CHUNK).unwrap();
        let busy = store.inner.folder.broken.lock().unwrap();
        let (tell, told) = channel();
        let inner = Arc::clone(&store.inner);
        let bringing = thread::spawn(move || {
            for fresh_bytes in [0, SETTLE_BYTES, SETTLE_BYTES + 1] {
                inner.settle_some(fresh_bytes).unwrap();
                tell.send(()).unwrap();
            }
            inner.settle_some(UNSETTLED_BYTES).unwrap();
            inner.books().fresh.len()
        });
        for _ in 0..3 {
            told.recv_timeout(PATIENCE).unwrap();
        }
        assert!(!bringing.is_finished());
        drop(busy);
        assert_eq!(
            bringing.join().unwrap(),
            0,
            "it waited until all was durable"
        );
    }
}
