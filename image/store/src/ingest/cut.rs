//! Cuts a disk's bytes into chunks: zeros are holes at once, the rest goes to worker threads that hash, pack and store.

use std::sync::LazyLock;

use image::{Builder, ChunkSize, MAX_CHUNKS, Manifest, ManifestError};

use super::{
    IngestError, IngestOptions, format,
    order::Order,
    workers::{Job, Workers},
};
use crate::{Put, Session};

/// What chunks are compared with: comparing with zeros is the quickest way to find a hole, whatever the optimisation.
static ZEROS: LazyLock<Vec<u8>> = LazyLock::new(|| vec![0; ChunkSize::MAX as usize]);

/// How much of what came was new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) new_bytes: u64,
    pub(super) known_bytes: u64,
    pub(super) stored_bytes: u64,
}

pub(super) struct Cutter {
    options: IngestOptions,
    workers: Workers,
    /// The chunk that is being filled; empty before the first byte of it.
    chunk: Vec<u8>,
    filled: usize,
    /// Bytes of all chunks before it.
    cut_bytes: u64,
    order: Option<Order>,
    tally: Tally,
}

impl Cutter {
    pub(super) fn new(session: &Session, options: IngestOptions) -> Result<Self, IngestError> {
        Ok(Self {
            workers: Workers::start(session, options.chunk_size)?,
            options,
            chunk: Vec::new(),
            filled: 0,
            cut_bytes: 0,
            order: None,
            tally: Tally::default(),
        })
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), IngestError> {
        while !bytes.is_empty() {
            let spare = self.spare()?;
            let len = spare.len().min(bytes.len());
            spare[..len].copy_from_slice(&bytes[..len]);
            self.advance(len)?;
            bytes = &bytes[len..];
        }
        Ok(())
    }

    /// Where the next bytes go; never empty. [`advance`](Self::advance) says how many it were.
    pub(super) fn spare(&mut self) -> Result<&mut [u8], IngestError> {
        if self.chunk.is_empty() {
            self.chunk = match self.workers.buffer() {
                Some(buffer) => buffer,
                None => self.wait_for_one()?,
            };
        }
        Ok(&mut self.chunk[self.filled..])
    }

    pub(super) fn advance(&mut self, len: usize) -> Result<(), IngestError> {
        self.filled += len;
        self.check_limit()?;
        if self.filled == self.chunk.len() {
            self.cut()
        } else {
            Ok(())
        }
    }

    fn size(&self) -> u64 {
        self.cut_bytes + self.filled as u64
    }

    fn check_limit(&self) -> Result<(), IngestError> {
        let limit_bytes = self.options.limit_bytes;
        match self.options.size_bytes {
            Some(said_bytes) if self.size() > said_bytes => Err(IngestError::Size {
                said_bytes,
                actual_bytes: self.size(),
            }),
            _ if self.size() > limit_bytes => Err(IngestError::TooLarge { limit_bytes }),
            _ => Ok(()),
        }
    }

    /// The chunk is full, or the last one.
    fn cut(&mut self) -> Result<(), IngestError> {
        if self.size() > MAX_CHUNKS * self.options.chunk_size.bytes() {
            return Err(ManifestError::TooLarge(self.size()).into());
        }
        let order = match &mut self.order {
            Some(order) => order,
            None => self
                .order
                .insert(begin(&self.options, &self.chunk[..self.filled])?),
        };
        if self.chunk[..self.filled] == ZEROS[..self.filled] {
            order.hole();
        } else {
            let ticket = order.waiting();
            let plain = std::mem::take(&mut self.chunk);
            self.workers.give(Job {
                ticket,
                plain,
                len: self.filled,
            });
        }
        self.cut_bytes += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    /// Waits until a worker is done with a chunk; returns its buffer.
    fn wait_for_one(&mut self) -> Result<Vec<u8>, IngestError> {
        let done = self.workers.wait()?;
        let (id, put) = done.result?;
        if let Some(order) = &mut self.order {
            order.done(done.ticket, id);
        }
        match put {
            Put::Known => self.tally.known_bytes += done.len as u64,
            Put::New { stored_bytes } => {
                self.tally.new_bytes += done.len as u64;
                self.tally.stored_bytes += stored_bytes;
            }
        }
        Ok(done.buffer)
    }

    /// That was all: the image.
    pub(super) fn finish(mut self) -> Result<(Manifest, Tally), IngestError> {
        let size = self.size();
        match self.options.size_bytes {
            Some(said_bytes) if said_bytes != size => {
                return Err(IngestError::Size {
                    said_bytes,
                    actual_bytes: size,
                });
            }
            _ if size == 0 => return Err(IngestError::Empty),
            _ => {}
        }
        if self.filled > 0 {
            self.cut()?;
        }
        while self.workers.busy() {
            self.wait_for_one()?;
        }
        let order = self.order.take().ok_or(IngestError::Empty)?;
        Ok((order.finish(size)?, self.tally))
    }
}

/// Looks at the image's first chunk: whether it is a disk, and what sectors it has.
fn begin(options: &IngestOptions, head: &[u8]) -> Result<Order, IngestError> {
    let foreign = format::foreign(&head[..head.len().min(format::FOREIGN_BYTES)]);
    if let (Some(kind), None) = (foreign, options.format) {
        return Err(IngestError::Foreign(kind));
    }
    let sector_size = format::sector_size(options.sector_size, head)?;
    Ok(Order::new(Builder::new(sector_size, options.chunk_size)?))
}
