//! A piece of a disk, named by what is in it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    hex,
    manifest::{MAX_MANIFEST_BYTES, most_bytes},
};

/// The name of a chunk: BLAKE3 of its bytes as they are on the disk, before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChunkId([u8; 32]);

impl ChunkId {
    /// The name of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// A name as it lies in a manifest.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// As it lies in a manifest.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

/// Text that is no chunk id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chunk id is 64 lower-case hexadecimal digits")]
pub struct NoChunkId;

impl FromStr for ChunkId {
    type Err = NoChunkId;

    fn from_str(text: &str) -> Result<Self, NoChunkId> {
        hex::read(text).map(Self).ok_or(NoChunkId)
    }
}

impl TryFrom<String> for ChunkId {
    type Error = NoChunkId;

    fn try_from(text: String) -> Result<Self, NoChunkId> {
        text.parse()
    }
}

impl From<ChunkId> for String {
    fn from(id: ChunkId) -> Self {
        id.to_string()
    }
}

/// Bytes in each chunk of an image but the last: a power of two from 64 KiB to 16 MiB, so that it is a multiple of every
/// sector size and small enough for a machine with 512 MiB to hold dozens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ChunkSize(u32);

impl ChunkSize {
    /// The smallest that is taken, bytes.
    pub const MIN: u32 = 64 << 10;
    /// The largest that is taken, bytes.
    pub const MAX: u32 = 16 << 20;

    /// Bytes.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// Bytes, for arithmetic with offsets.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.0)
    }

    /// The smallest, from this one on, in which a disk of so many bytes can be saved: its manifest is taken also when no
    /// byte is in a hole. `None`: the disk is too large for any.
    #[must_use]
    pub fn for_disk(self, bytes: u64) -> Option<Self> {
        let sizes = (0..8).map(|doubled| self.0 << doubled);
        let mut sizes = sizes.map_while(|bytes| Self::try_from(bytes).ok());
        sizes.find(|size| most_bytes(bytes.div_ceil(size.bytes())) <= MAX_MANIFEST_BYTES)
    }
}

impl Default for ChunkSize {
    /// 1 MiB: an ext4 system disk takes 1.03 times what `zstd -3` makes of the whole; below 256 KiB that is more than 1.1
    /// times, and chunks twice as large save 2 % but double what a small change costs (docs/BENCHMARKS.md).
    fn default() -> Self {
        Self(1 << 20)
    }
}

/// A number that is no chunk size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chunk size is a power of two from 65536 to 16777216, not {0}")]
pub struct NoChunkSize(u32);

impl TryFrom<u32> for ChunkSize {
    type Error = NoChunkSize;

    fn try_from(bytes: u32) -> Result<Self, NoChunkSize> {
        if bytes.is_power_of_two() && (Self::MIN..=Self::MAX).contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(NoChunkSize(bytes))
        }
    }
}

impl From<ChunkSize> for u32 {
    fn from(size: ChunkSize) -> Self {
        size.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_named_by_blake3_of_its_bytes() {
        let id = ChunkId::of(b"");
        let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(id.to_string(), text);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse::<ChunkId>(), Err(NoChunkId));
        assert!(text[1..].parse::<ChunkId>().is_err());
    }

    #[test]
    fn a_large_disk_is_saved_in_large_chunks_and_one_without_end_not_at_all() {
        let size = |bytes| ChunkSize::default().for_disk(bytes).map(ChunkSize::get);
        let (mib, tib) = (1 << 20, 1_u64 << 40);
        for (bytes, chunk) in [
            (512, Some(mib)),
            (tib - (2 << 20), Some(mib)),
            (tib, Some(2 * mib)),
            (2 * tib, Some(4 * mib)),
            (15 * tib, Some(16 * mib)),
            (16 * tib, None),
            (u64::MAX, None),
        ] {
            assert_eq!(size(bytes), chunk, "{bytes}");
        }
    }

    #[test]
    fn chunk_sizes_are_powers_of_two_within_limits() {
        for bytes in [0, 1, 4096, 3 << 19, 32 << 20] {
            assert!(ChunkSize::try_from(bytes).is_err(), "{bytes}");
        }
        assert_eq!(ChunkSize::try_from(64 << 10).map(u32::from), Ok(64 << 10));
    }
}
