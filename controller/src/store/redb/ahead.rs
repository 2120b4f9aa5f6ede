//! A file that is written ahead of what redb writes.
//!
//! redb doubles its file by length alone, so that its pages are holes until they are written. The first write of each page
//! then makes the filesystem keep a new block for it, and the sync that follows writes the filesystem's journal too: on
//! ext4 a fifth to three fifths more time for each sync (docs/BENCHMARKS.md). Zeros that were written some pages ahead
//! leave one such sync in many. A filesystem that copies on write has no profit, and pays with those zeros.

use std::{
    io,
    ops::Bound,
    sync::{Mutex, PoisonError},
};

use redb::{BackendError, StorageBackend};

/// What is written ahead at once (bytes): 64 of redb's pages.
const AHEAD: u64 = 256 << 10;

/// Storage whose new parts are zeroed in time.
#[derive(Debug)]
pub(super) struct Ahead<S> {
    storage: S,
    /// Behind this nothing was ever written, so that zeros change nothing there.
    untouched: Mutex<u64>,
}

impl<S: StorageBackend> Ahead<S> {
    /// What the storage has now is left as it is.
    pub(super) fn new(storage: S) -> io::Result<Self> {
        let untouched = Mutex::new(storage.len()?);
        Ok(Self { storage, untouched })
    }

    /// Zeros around what was just written at `offset..end`, part of which was `untouched`. That there is no room for them,
    /// or that the disk fails, is told by what is written or synced in earnest. Returns what is untouched then.
    fn fill(&self, untouched: u64, offset: u64, end: u64) -> u64 {
        // A larger hole is left one.
        let before = untouched.max(offset.saturating_sub(AHEAD));
        let behind = self.storage.len().unwrap_or(end).min(end + AHEAD);
        let zeroed = |from: u64, to: u64| {
            let len = to.saturating_sub(from).min(AHEAD);
            len == 0 || self.storage.write(from, &vec![0; len as usize]).is_ok()
        };
        zeroed(before, offset);
        if zeroed(end, behind) { behind } else { end }
    }
}

impl<S: StorageBackend> StorageBackend for Ahead<S> {
    fn len(&self) -> io::Result<u64> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.storage.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut untouched = self
            .untouched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.storage.set_len(len)?;
        *untouched = len.min(*untouched);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut untouched = self
            .untouched
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let end = offset + data.len() as u64;
        let written = self.storage.write(offset, data);
        if end > *untouched {
            // A write that failed may have written a part.
            *untouched = match written {
                Ok(()) => self.fill(*untouched, offset, end),
                Err(_) => end,
            };
        }
        written
    }

    fn close(&self) -> io::Result<()> {
        self.storage.close()
    }

    fn try_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(from, to)
    }

    fn try_lock_shared_range(
        &self,
        from: Bound<u64>,
        to: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(from, to)
    }

    fn lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(from, to)
    }

    fn lock_shared_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(from, to)
    }

    fn unlock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(from, to)
    }

    fn query_lock_range(&self, from: Bound<u64>, to: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(from, to)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::MetadataExt as _,
    };

    use redb::backends::FileBackend;

    use super::*;
    use crate::store::fault::{Disk, Faults};

    const PAGE: u64 = 4096;
    const MIB: u64 = 1 << 20;

    /// A file of a MiB's length with something in its first page, and the same ahead.
    fn file() -> (tempfile::TempDir, File, Ahead<FileBackend>) {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create_new(folder.path().join("ahead")).unwrap();
        let path = folder.path().join("ahead");
        let again = File::options().read(true).write(true).open(path).unwrap();
        let ahead = Ahead::new(FileBackend::new(again).unwrap()).unwrap();
        ahead.set_len(MIB).unwrap();
        (folder, file, ahead)
    }

    fn kept(file: &File) -> u64 {
        file.metadata().unwrap().blocks() * 512
    }

    #[test]
    fn pages_are_kept_blocks_of_the_filesystem_before_they_are_written() {
        let (_folder, file, ahead) = file();
        assert_eq!(kept(&file), 0);
        let mut grown = 0;
        for page in 0..MIB / PAGE {
            let before = kept(&file);
            ahead.write(page * PAGE, &[7; PAGE as usize]).unwrap();
            ahead.sync_data().unwrap();
            grown += u64::from(kept(&file) > before);
        }
        assert_eq!(kept(&file), MIB);
        assert!(grown <= MIB / AHEAD, "{grown} writes took new blocks");
    }

    #[test]
    fn what_was_written_is_never_zeroed() {
        let (folder, _file, ahead) = file();
        let page = [7; PAGE as usize];
        // Far ahead, then before it, then behind what was zeroed; then shorter, and longer again.
        for offset in [MIB / 2, PAGE, MIB / 2 + AHEAD + PAGE, 0, MIB - PAGE] {
            ahead.write(offset, &page).unwrap();
        }
        ahead.set_len(MIB / 2 + PAGE).unwrap();
        ahead.set_len(MIB).unwrap();
        ahead.write(MIB / 2 + 3 * PAGE, &page).unwrap();
        let all = fs::read(folder.path().join("ahead")).unwrap();
        let found = (0..MIB / PAGE).filter(|at| all[(at * PAGE) as usize] == 7);
        let half = MIB / 2 / PAGE;
        assert_eq!(found.collect::<Vec<_>>(), [0, 1, half, half + 3]);
        assert!(all.iter().all(|byte| [0, 7].contains(byte)));
    }

    #[test]
    fn without_room_for_zeros_what_fits_is_written() {
        let disk = Disk::default();
        let ahead = Ahead::new(disk.clone()).unwrap();
        ahead.set_len(MIB).unwrap();
        disk.set_faults(Faults {
            capacity: Some(3 * PAGE),
            ..Faults::default()
        });
        for page in 0..3 {
            ahead.write(page * PAGE, &[7; PAGE as usize]).unwrap();
        }
        let full = ahead.write(3 * PAGE, &[7; PAGE as usize]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    }
}
