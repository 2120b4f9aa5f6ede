//! A manifest as bytes, and the name that they give it.
//!
//! Bytes (all numbers little-endian): `ENFIMG1\n`, size `u64`, sector size `u32`, chunk size `u32`, number of runs `u32`;
//! then for each run the index of its first chunk `u32`, how many chunks `u32`, and their ids, 32 bytes each. What lies
//! between runs is a hole: it reads as zeros. Runs are ascending and do not touch, so one image has one manifest, and
//! the [digest](Manifest::digest) of its bytes names the image.

use super::{Builder, Manifest, ManifestError, check_size};
use crate::ChunkId;

pub(super) const MAGIC: &[u8; 8] = b"ENFIMG1\n";
pub(super) const HEAD: usize = 8 + 8 + 4 + 4 + 4;
pub(super) const RUN_HEAD: usize = 8;

/// Bytes of the manifest of so many chunks when all of them hold data: the most it can have.
pub(crate) fn most_bytes(chunks: u64) -> u64 {
    (HEAD + RUN_HEAD) as u64 + chunks.saturating_mul(32)
}

impl Manifest {
    /// The name of the image: BLAKE3 of [`encode`](Self::encode), as text of a chunk id.
    #[must_use]
    pub fn digest(&self) -> ChunkId {
        ChunkId::of(&self.encode())
    }

    /// The bytes of the manifest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let runs = u32::try_from(self.runs.len()).expect("fewer runs than chunks");
        let mut bytes = Vec::with_capacity(self.encoded_len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.size.to_le_bytes());
        bytes.extend_from_slice(&self.sector_size.to_le_bytes());
        bytes.extend_from_slice(&self.chunk_size.get().to_le_bytes());
        bytes.extend_from_slice(&runs.to_le_bytes());
        for run in &self.runs {
            let count = u32::try_from(run.ids.len()).expect("at most MAX_CHUNKS");
            bytes.extend_from_slice(&run.first.to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
            for id in &run.ids {
                bytes.extend_from_slice(id.as_bytes());
            }
        }
        bytes
    }

    pub(super) fn encoded_len(&self) -> usize {
        let ids: usize = self.runs.iter().map(|run| run.ids.len()).sum();
        HEAD + self.runs.len() * RUN_HEAD + ids * 32
    }

    /// Reads a manifest. Never takes more memory than a few times `bytes`.
    ///
    /// # Errors
    /// When the bytes are not exactly one manifest that [`encode`](Self::encode) could have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(ManifestError::Malformed)?;
        let size = u64::from_le_bytes(take(&mut rest)?);
        let sector_size = u32::from_le_bytes(take(&mut rest)?);
        let chunk_size = u32::from_le_bytes(take(&mut rest)?);
        let chunk_size = chunk_size
            .try_into()
            .map_err(|_| ManifestError::ChunkSize)?;
        let runs = u32::from_le_bytes(take(&mut rest)?);
        let mut builder = Builder::new(sector_size, chunk_size)?;
        check_size(size, sector_size, chunk_size)?;
        let end = size.div_ceil(chunk_size.bytes());
        for _ in 0..runs {
            let first = u32::from_le_bytes(take(&mut rest)?);
            let count = u32::from_le_bytes(take(&mut rest)?);
            let gap = u64::from(first).checked_sub(builder.next);
            let touches = gap == Some(0) && builder.next > 0;
            let past = u64::from(first) + u64::from(count) > end;
            let (Some(gap), false) = (gap, touches || past || count == 0) else {
                return Err(ManifestError::Contradiction);
            };
            builder.push_holes(gap);
            for _ in 0..count {
                builder.push(Some(ChunkId::from_bytes(take(&mut rest)?)));
            }
        }
        if !rest.is_empty() {
            return Err(ManifestError::Malformed);
        }
        builder.push_holes(end - builder.next);
        builder.finish(size)
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], ManifestError> {
    let (head, tail) = rest.split_first_chunk().ok_or(ManifestError::Malformed)?;
    *rest = tail;
    Ok(*head)
}
