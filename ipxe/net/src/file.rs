//! A file that boot protocols serve: small ones from memory, big ones from the disk, none copied whole.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use bytes::Bytes;

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
        }
    }

    /// Fills `buffer` from `offset` (bytes); returns how many bytes there were, less than asked only at the end.
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
