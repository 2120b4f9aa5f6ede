//! A disk as a job sees it, and memory that a disk can read into directly.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The shape of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Its size, bytes.
    pub bytes: u64,
    /// Bytes of its sectors: offsets and lengths of everything asked of it are multiples.
    pub sector_size: u32,
}

/// A whole disk. Several threads use it at once, at different places.
pub trait Disk: Send + Sync {
    /// Its shape.
    fn geometry(&self) -> Geometry;

    /// Reads from the medium, not from any memory of this host.
    ///
    /// # Errors
    /// As the disk says.
    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes; on the medium for certain only after [`flush`](Self::flush).
    ///
    /// # Errors
    /// As the disk says.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes these bytes read as zeros, by telling the disk that they are unused where it promises zeros then, else by
    /// writing them.
    ///
    /// # Errors
    /// As the disk says.
    fn zero(&self, offset: u64, len: u64) -> io::Result<()>;

    /// Waits until everything that was written is on the medium.
    ///
    /// # Errors
    /// As the disk says.
    fn flush(&self) -> io::Result<()>;
}

/// Places in memory that every disk can transfer to directly: a page, and the largest sector there is.
pub(super) const ALIGN: usize = 4096;

/// Counts what the buffers of a job hold, so that a test can hold it to its budget.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Held>);

#[derive(Debug, Default)]
struct Held {
    now: AtomicU64,
    peak: AtomicU64,
}

impl Memory {
    /// The most bytes that were held at once.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// Bytes that somebody else holds for this job, until the guard goes.
    pub(super) fn hold(&self, bytes: usize) -> Holding {
        let bytes = bytes as u64;
        let now = self.0.now.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.0.peak.fetch_max(now, Ordering::Relaxed);
        Holding {
            memory: self.clone(),
            bytes,
        }
    }
}

/// See [`Memory::hold`].
#[derive(Debug)]
pub(super) struct Holding {
    memory: Memory,
    bytes: u64,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.memory.0.now.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes whose first lies at a multiple of [`ALIGN`]. Allocated once, used for many pieces.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
    _held: Holding,
}

impl Buffer {
    /// Zeros.
    pub(super) fn new(len: usize, memory: &Memory) -> Self {
        let bytes = vec![0; len + ALIGN];
        let start = bytes.as_ptr().align_offset(ALIGN);
        // `align_offset` may give up (it does only under an interpreter); then reads go through a copy.
        let start = if start < ALIGN { start } else { 0 };
        Self {
            _held: memory.hold(bytes.len()),
            bytes,
            start,
            len,
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// Compared with, instead of looking at each byte: comparing memory is what every library does fastest.
static ZEROS: [u8; ALIGN] = [0; ALIGN];

/// Whether all of it is zeros.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ALIGN).all(|page| *page == ZEROS[..page.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_counted() {
        let memory = Memory::default();
        let one = Buffer::new(10_000, &memory);
        assert_eq!((one.as_ptr().align_offset(ALIGN), one.len()), (0, 10_000));
        drop(one);
        let _two = Buffer::new(5_000, &memory);
        assert_eq!(memory.peak(), 10_000 + ALIGN as u64);
        assert_eq!(memory.0.now.load(Ordering::Relaxed), 5_000 + ALIGN as u64);
    }

    #[test]
    fn one_bit_anywhere_is_not_zero() {
        let mut bytes = vec![0; 10_000];
        assert!(is_zero(&bytes));
        for at in [0, 4095, 4096, 9_999] {
            bytes[at] = 0x10;
            assert!(!is_zero(&bytes), "{at}");
            bytes[at] = 0;
        }
    }
}
