//! An image as one zstd stream, put together from frames that are there: nothing is compressed for a download.
//!
//! Each chunk is a frame: as stored; or, of a chunk that did not shrink, made of raw blocks; or, for a hole, of blocks that
//! repeat a zero. RFC 8878 (3.1) lets frames follow each other, and `zstd -d` writes their contents one after the other.
//!
//! The length is known beforehand and the bytes are the same each time for as long as the version exists (chunks of a version
//! never change their file), so ranges of the stream can be asked for, and a broken download goes on where it stopped.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use image::{ChunkId, Manifest, Piece, parcel::Form};

use crate::{
    ChunkStore, Result, StoreError,
    pack::{self, read_head},
};

/// Largest block of a zstd frame (RFC 8878, 3.1.1.2.3).
const BLOCK_BYTES: usize = 128 << 10;
/// Magic number, frame header descriptor, and four bytes of content size.
const FRAME_HEAD_BYTES: usize = 4 + 1 + 4;
/// Head of a block.
const BLOCK_HEAD_BYTES: usize = 3;

/// A range of an image's zstd stream. Ends after the first error.
#[derive(Debug)]
pub struct ZstdStream {
    store: ChunkStore,
    manifest: Arc<Manifest>,
    /// Where each frame ends.
    ends: Arc<[u64]>,
    rest: Range<u64>,
}

impl ZstdStream {
    /// The whole stream. Looks at each chunk's file once.
    ///
    /// # Errors
    /// When a chunk is missing or cannot be read.
    pub fn new(store: ChunkStore, manifest: Arc<Manifest>) -> Result<Self> {
        let mut end = 0;
        let ends: Arc<[u64]> = manifest
            .pieces()
            .map(|piece| {
                end += frame_len(&store, piece)?;
                Ok(end)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            store,
            manifest,
            ends,
            rest: 0..end,
        })
    }

    /// Bytes of the whole stream.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Names exactly these bytes, for an ETag: another store may have packed the same image differently.
    #[must_use]
    pub fn tag(&self) -> ChunkId {
        let mut bytes = self.manifest.digest().as_bytes().to_vec();
        self.ends
            .iter()
            .for_each(|end| bytes.extend_from_slice(&end.to_le_bytes()));
        ChunkId::of(&bytes)
    }

    /// Only these bytes of the stream; what lies past its end is left out.
    #[must_use]
    pub fn range(self, range: Range<u64>) -> Self {
        let end = range.end.min(self.total_bytes());
        Self {
            rest: range.start.min(end)..end,
            ..self
        }
    }

    fn part(&self) -> Result<Option<Bytes>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let index = self.ends.partition_point(|end| *end <= self.rest.start);
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        let piece = self
            .manifest
            .piece_at(index as u64)
            .expect("as many pieces as frames");
        let frame = self.frame(piece)?;
        let to = (self.rest.end - start).min(frame.len() as u64);
        let within = |bytes: u64| usize::try_from(bytes).expect("a frame fits into memory");
        Ok(Some(
            frame.slice(within(self.rest.start - start)..within(to)),
        ))
    }

    fn frame(&self, piece: Piece) -> Result<Bytes> {
        let Some(id) = piece.id else {
            return Ok(frame_of_zeros(piece.len).into());
        };
        let packed = self.store.get(id)?.ok_or(StoreError::Missing {
            first: id,
            missing: 1,
        })?;
        match packed.form {
            Form::Zstd => Ok(packed.content.into()),
            Form::Raw | Form::Missing => Ok(frame_of_raw(&packed.content).into()),
        }
    }
}

impl Iterator for ZstdStream {
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

fn frame_len(store: &ChunkStore, piece: Piece) -> Result<u64> {
    let blocks = (piece.len as usize).div_ceil(BLOCK_BYTES);
    let own = FRAME_HEAD_BYTES + blocks * BLOCK_HEAD_BYTES;
    let Some(id) = piece.id else {
        return Ok((own + blocks) as u64);
    };
    let missing = StoreError::Missing {
        first: id,
        missing: 1,
    };
    let Some((file, head)) = store.inner.open_chunk(id)? else {
        return Err(missing);
    };
    match read_head(id, &head)?.0 {
        Form::Raw | Form::Missing => Ok((own + piece.len as usize) as u64),
        Form::Zstd => {
            let path = store.inner.folder.chunk(id);
            let len = file
                .metadata()
                .map_err(StoreError::io("looking at", path))?
                .len();
            Ok(len - pack::HEAD_BYTES as u64)
        }
    }
}

/// The head of a frame that says how long it is: single segment, four bytes of size (RFC 8878, 3.1.1.1).
fn frame_head(len: u32, capacity: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + capacity);
    frame.extend_from_slice(&[0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000]);
    frame.extend_from_slice(&len.to_le_bytes());
    frame
}

/// The head of a block: size, type (0 raw, 1 one byte repeated), and whether it is the last (RFC 8878, 3.1.1.2).
fn block_head(len: usize, kind: u32, last: bool) -> [u8; BLOCK_HEAD_BYTES] {
    let size = u32::try_from(len).expect("at most a block");
    let [a, b, c, _] = (size << 3 | kind << 1 | u32::from(last)).to_le_bytes();
    [a, b, c]
}

fn frame_of_zeros(len: u32) -> Vec<u8> {
    let mut frame = frame_head(len, 0);
    let mut rest = len as usize;
    while rest > 0 {
        let block = rest.min(BLOCK_BYTES);
        rest -= block;
        frame.extend_from_slice(&block_head(block, 1, rest == 0));
        frame.push(0);
    }
    frame
}

fn frame_of_raw(plain: &[u8]) -> Vec<u8> {
    let len = u32::try_from(plain.len()).expect("at most a chunk");
    let mut frame = frame_head(len, plain.len() + plain.len() / 1024);
    let mut blocks = plain.chunks(BLOCK_BYTES).peekable();
    while let Some(block) = blocks.next() {
        frame.extend_from_slice(&block_head(block.len(), 0, blocks.peek().is_none()));
        frame.extend_from_slice(block);
    }
    frame
}
