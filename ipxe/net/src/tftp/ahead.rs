//! Bytes of a file that are read before the client asks for them.
//!
//! In lockstep a client waits for each block, so nothing may stand between its ACK and the next block but one send. The
//! disk is asked after a send, while the client is busy, for a few dozen blocks at once.

use ipxe::tftp::Window;

use crate::BootFile;

/// Bytes read at once: 22 blocks of 1468 bytes. 512 transfers together hold 16 MiB.
const AHEAD_BYTES: usize = 32 << 10;
/// Windows up to this many bytes are worth it; of larger ones each is one long read anyway.
const SMALL_WINDOW: usize = AHEAD_BYTES / 4;

/// The part of a file that was read last; nothing, for files that are in memory.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    bytes: Vec<u8>,
    /// Where in the file `bytes` begin.
    offset: u64,
}

impl Ahead {
    /// Fills `data` with the file's bytes from `offset`, when all of them were read before.
    pub(super) fn copy_to(&self, data: &mut [u8], offset: u64) -> bool {
        let found = self.slice(offset, data.len());
        found.inspect(|found| data.copy_from_slice(found)).is_some()
    }

    fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        self.bytes.get(start..start.checked_add(len)?)
    }

    /// After `sent` went out: reads on when the window behind it is not there yet. Never waits for the disk; what is not
    /// in the page cache is read when it is asked for.
    pub(super) fn prepare(&mut self, file: &BootFile, sent: &Window) {
        let next = sent.offset + sent.len as u64;
        let left = usize::try_from(file.size().saturating_sub(next)).unwrap_or(usize::MAX);
        let wanted = left.min(sent.count * sent.blksize);
        let is_slow = matches!(file, BootFile::Disk { .. }) && wanted <= SMALL_WINDOW;
        if !is_slow || wanted == 0 || self.slice(next, wanted).is_some() {
            return;
        }
        self.bytes.resize(left.min(AHEAD_BYTES), 0);
        self.offset = next;
        let read = file.read_cached(&mut self.bytes, next);
        self.bytes.truncate(read.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file(len: usize) -> (tempfile::NamedTempFile, BootFile, Vec<u8>) {
        let bytes: Vec<u8> = (0..len).map(|n| (n / 7 % 251) as u8).collect();
        let mut on_disk = tempfile::NamedTempFile::new().unwrap();
        on_disk.write_all(&bytes).unwrap();
        let file = BootFile::open(on_disk.path()).unwrap();
        (on_disk, file, bytes)
    }

    fn window(offset: usize, count: usize, size: usize) -> Window {
        let blksize = 1468;
        Window {
            first: 1,
            count,
            blksize,
            offset: offset as u64,
            len: (count * blksize).min(size - offset),
        }
    }

    #[test]
    fn what_comes_next_is_there_and_is_the_file() {
        let size = 100_000;
        let (_kept, file, bytes) = file(size);
        let mut ahead = Ahead::default();
        for offset in (0..size).step_by(1468) {
            let sent = window(offset, 1, size);
            let mut data = vec![0; sent.len];
            if ahead.copy_to(&mut data, sent.offset) {
                assert_eq!(data, bytes[offset..offset + sent.len], "at {offset}");
            } else {
                assert_eq!(offset, 0, "only the first block is not expected");
            }
            ahead.prepare(&file, &sent);
            assert!(ahead.bytes.capacity() <= AHEAD_BYTES);
        }
    }

    #[test]
    fn a_repeated_block_and_one_beyond_the_end_are_not_there() {
        let (_kept, file, _) = file(5000);
        let mut ahead = Ahead::default();
        ahead.prepare(&file, &window(0, 1, 5000));
        let mut data = [0; 1468];
        assert!(!ahead.copy_to(&mut data, 0));
        assert!(!ahead.copy_to(&mut data, 4000));
        assert!(!ahead.copy_to(&mut data, u64::MAX));
        assert!(ahead.copy_to(&mut data, 1468));
    }

    #[test]
    fn large_windows_and_files_in_memory_take_no_memory() {
        let (_kept, on_disk, bytes) = file(100_000);
        let mut ahead = Ahead::default();
        ahead.prepare(&on_disk, &window(0, 16, 100_000));
        ahead.prepare(&BootFile::Memory(bytes.into()), &window(0, 1, 100_000));
        assert_eq!(ahead.bytes.capacity(), 0);
    }
}
