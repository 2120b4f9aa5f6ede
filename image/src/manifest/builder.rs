//! A manifest being put together, in the order of the disk. Also what is parsed goes through here, so that no other order
//! and no run that touches another can be.

use super::{MAX_CHUNKS, Manifest, ManifestError, Run, check_size};
use crate::{ChunkId, ChunkSize};

/// Puts a manifest together, piece by piece, from the disk's start to its end.
#[derive(Debug, Clone)]
pub struct Builder {
    sector_size: u32,
    chunk_size: ChunkSize,
    runs: Vec<Run>,
    pub(super) next: u64,
}

impl Builder {
    /// An image without a piece yet.
    ///
    /// # Errors
    /// When disks have no such sectors.
    pub fn new(sector_size: u32, chunk_size: ChunkSize) -> Result<Self, ManifestError> {
        if !matches!(sector_size, 512 | 4096) {
            return Err(ManifestError::SectorSize(sector_size));
        }
        Ok(Self {
            sector_size,
            chunk_size,
            runs: Vec::new(),
            next: 0,
        })
    }

    /// The next piece; `None` for zeros.
    ///
    /// What is pushed past [`MAX_CHUNKS`] is not kept; [`finish`](Self::finish) then refuses.
    pub fn push(&mut self, id: Option<ChunkId>) {
        let index = self.next;
        self.next += 1;
        let (Some(id), true) = (id, index < MAX_CHUNKS) else {
            return;
        };
        match self.runs.last_mut().filter(|run| run.end() == index) {
            Some(run) => run.ids.push(id),
            None => self.runs.push(Run {
                first: u32::try_from(index).expect("below MAX_CHUNKS"),
                ids: vec![id],
            }),
        }
    }

    /// The next `count` pieces are zeros.
    pub fn push_holes(&mut self, count: u64) {
        self.next += count;
    }

    /// How many pieces there are.
    #[must_use]
    pub fn pieces_len(&self) -> u64 {
        self.next
    }

    /// The whole image has `size` bytes.
    ///
    /// # Errors
    /// When the pieces pushed are not as many as that takes, or the size is none a disk has.
    pub fn finish(self, size: u64) -> Result<Manifest, ManifestError> {
        check_size(size, self.sector_size, self.chunk_size)?;
        if size.div_ceil(self.chunk_size.bytes()) != self.next {
            return Err(ManifestError::Contradiction);
        }
        Ok(Manifest {
            size,
            sector_size: self.sector_size,
            chunk_size: self.chunk_size,
            runs: self.runs,
        })
    }
}
