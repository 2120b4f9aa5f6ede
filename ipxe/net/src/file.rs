//! A file that boot protocols serve: small ones from memory, big ones from the disk, none copied whole.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use crate::Arriving;
use bytes::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};

/// A readable file of known size; cloning shares it.
#[derive(Debug, Clone)]
pub enum BootFile {
    /// Held in memory (firmware, scripts).
    Memory(Bytes),
    /// An open file; `size` is its length in bytes when it was opened.
    Disk {
        /// Shared handle, read by position.
        file: Arc<File>,
        /// Length in bytes.
        size: u64,
    },
    /// One that is still on its way here.
    Arriving(Arriving),
}

impl BootFile {
    /// Opens a regular file.
    ///
    /// # Errors
    /// As `open` fails; `InvalidInput` when the path is no regular file.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(Self::Disk {
            file: Arc::new(file),
            size: meta.len(),
        })
    }

    /// Length in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Disk { size, .. } => *size,
            Self::Arriving(arriving) => arriving.size(),
        }
    }

    /// Waits until there is something behind `offset` that may be read; says up to where. Only what is still on its way has
    /// to be waited for.
    ///
    /// # Errors
    /// When it will never come, or is not what it should be.
    pub async fn readable_behind(&self, offset: u64) -> io::Result<u64> {
        match self {
            Self::Memory(_) | Self::Disk { .. } => Ok(self.size()),
            Self::Arriving(arriving) => arriving.readable_behind(offset).await,
        }
    }

    /// Fills `buffer` from `offset` (bytes); returns how many bytes there were, less than asked only at the end, or where what is
    /// still on its way ends for now.
    ///
    /// # Errors
    /// As the disk fails.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).map_or(bytes.len(), |o| o.min(bytes.len()));
                let n = buffer.len().min(bytes.len() - start);
                buffer[..n].copy_from_slice(&bytes[start..start + n]);
                Ok(n)
            }
            Self::Disk { file, .. } => read_full(file, buffer, offset),
            Self::Arriving(arriving) => {
                let there = usize::try_from(arriving.readable()?.saturating_sub(offset));
                let len = there.map_or(buffer.len(), |n| n.min(buffer.len()));
                if len == 0 && offset < arriving.size() && !buffer.is_empty() {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                read_full(&arriving.file, &mut buffer[..len], offset)
            }
        }
    }

    /// Reads what is in memory already, into `buffer`; returns how many bytes, at most as many as asked. `None` when the disk
    /// would have to be waited for, or the file system cannot say: then [`Self::read_at`] on a thread that may block.
    pub fn read_cached(&self, buffer: &mut [u8], offset: u64) -> Option<usize> {
        match self {
            Self::Memory(_) => self.read_at(buffer, offset).ok(),
            Self::Disk { file, .. } => {
                let into = &mut [IoSliceMut::new(buffer)];
                let read = preadv2(file, into, offset, ReadWriteFlags::NOWAIT);
                // 0 is the end of the file, which the caller did not expect: the other way tells why.
                read.ok().filter(|n| *n > 0)
            }
            Self::Arriving(_) => self.read_at(buffer, offset).ok().filter(|n| *n > 0),
        }
    }
}

fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_is_read_like_what_is_on_the_disk_and_beyond_the_end_there_is_nothing() {
        let path = std::env::temp_dir().join(format!("enforcer-cached-{}", std::process::id()));
        std::fs::write(&path, b"0123456789").unwrap();
        let file = BootFile::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (mut cached, mut read) = ([0; 4], [0; 4]);
        // Some file systems never promise not to wait; where they do, the bytes are the same.
        if let Some(n) = file.read_cached(&mut cached, 3) {
            file.read_at(&mut read, 3).unwrap();
            assert_eq!(cached[..n], read[..n]);
        }
        assert_eq!(file.read_cached(&mut cached, 10), None);
    }
}
