//! How much the store may hold, and how much it holds.

use crate::{
    Result, StoreError,
    folder::{Folder, len_of, list},
};

/// What the store may take. The default takes whatever the disk has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of chunks it may hold; `None`: as many as the disk has room for.
    pub quota_bytes: Option<u64>,
    /// Bytes of the disk that stay free for others (the database).
    pub reserve_bytes: u64,
}

/// What the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all chunk files.
    pub stored_bytes: u64,
    /// How many chunks.
    pub chunks: u64,
    /// Bytes free on the disk, the reserve included.
    pub free_bytes: u64,
    /// The limits in force.
    pub limits: Limits,
}

/// The chunk files there are. The store counts them on the first question (a million take some seconds), not on opening.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Held {
    pub(crate) bytes: u64,
    pub(crate) chunks: u64,
}

impl Held {
    /// Counts the files. Nobody may add or take one meanwhile.
    pub(crate) fn count(folder: &Folder) -> Result<Self> {
        let mut held = Self::default();
        let shards = (0..=u8::MAX).map(|shard| folder.shard(shard));
        for dir in shards.chain([folder.root().join("fresh")]) {
            for path in list(&dir)? {
                if let Some(bytes) = len_of(&path)? {
                    held.add(bytes);
                }
            }
        }
        Ok(held)
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.chunks += 1;
    }

    pub(crate) fn take(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.chunks = self.chunks.saturating_sub(1);
    }
}

impl Limits {
    /// There is room for `bytes` more beside `used_bytes` and with `free_bytes` free on the disk.
    pub(crate) fn check(&self, bytes: u64, used_bytes: u64, free_bytes: u64) -> Result<()> {
        if let Some(quota_bytes) = self.quota_bytes
            && used_bytes.saturating_add(bytes) > quota_bytes
        {
            return Err(StoreError::Quota {
                used_bytes,
                quota_bytes,
            });
        }
        let reserve_bytes = self.reserve_bytes;
        if free_bytes < reserve_bytes.saturating_add(bytes) {
            return Err(StoreError::Full {
                free_bytes,
                reserve_bytes,
            });
        }
        Ok(())
    }
}
