//! The bytes of a disk, from any offset, out of its chunks.

use std::{
    ops::Range,
    sync::{Arc, LazyLock},
};

use bytes::Bytes;
use image::{ChunkSize, Manifest, Piece};

use crate::{ChunkStore, Result, StoreError};

/// What holes are made of.
static ZEROS: LazyLock<Bytes> = LazyLock::new(|| Bytes::from_owner(vec![0; 1 << 20]));

/// A range of an image, as plain bytes: parts of at most a chunk, each checked against its id. Ends after the first error.
#[derive(Debug)]
pub struct Plain {
    store: ChunkStore,
    manifest: Arc<Manifest>,
    rest: Range<u64>,
}

impl Plain {
    /// The bytes `range` of the image; what lies past its end is left out.
    #[must_use]
    pub fn new(store: ChunkStore, manifest: Arc<Manifest>, range: Range<u64>) -> Self {
        let end = range.end.min(manifest.size());
        Self {
            store,
            rest: range.start.min(end)..end,
            manifest,
        }
    }

    fn part(&self) -> Result<Option<Bytes>> {
        let chunk = self.manifest.chunk_size().bytes();
        let piece = self.manifest.piece_at(self.rest.start / chunk);
        let Some(piece) = piece.filter(|_| !self.rest.is_empty()) else {
            return Ok(None);
        };
        let from = within(self.rest.start - piece.offset);
        let to = within((self.rest.end - piece.offset).min(piece.len.into()));
        match piece.id {
            None => Ok(Some(ZEROS.slice(..ZEROS.len().min(to - from)))),
            Some(_) => Ok(Some(self.chunk(piece)?.slice(from..to))),
        }
    }

    fn chunk(&self, piece: Piece) -> Result<Bytes> {
        let id = piece.id.expect("asked for data");
        let plain = self.store.get_plain(id)?.ok_or(StoreError::Missing {
            first: id,
            missing: 1,
        })?;
        if plain.len() == piece.len as usize {
            Ok(plain.into())
        } else {
            Err(StoreError::Damaged(id))
        }
    }
}

impl Iterator for Plain {
    type Item = Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let part = self.part().transpose();
        match &part {
            Some(Ok(bytes)) => self.rest.start += bytes.len() as u64,
            None | Some(Err(_)) => self.rest.start = self.rest.end,
        }
        part
    }
}

/// An offset within a chunk.
fn within(bytes: u64) -> usize {
    debug_assert!(bytes <= u64::from(ChunkSize::MAX));
    usize::try_from(bytes).expect("chunks fit into memory")
}
