//! Bytes pushed by one thread and read by another.

use std::{
    io::{self, BufRead, Read},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

/// Blocks on their way: enough that the reader seldom waits, little beside a decoder's window.
const BLOCKS: usize = 4;
/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 256 << 10;

/// The writing end. Dropping it without [`end`](Self::end) is a reader's error, not its end of file.
pub(super) struct Pusher(SyncSender<Option<Vec<u8>>>);

/// The reading end.
pub(super) struct Feed {
    blocks: Receiver<Option<Vec<u8>>>,
    block: Vec<u8>,
    at: usize,
    ended: bool,
}

/// A pipe of both.
pub(super) fn pipe() -> (Pusher, Feed) {
    let (sender, blocks) = sync_channel(BLOCKS);
    let feed = Feed {
        blocks,
        block: Vec::new(),
        at: 0,
        ended: false,
    };
    (Pusher(sender), feed)
}

impl Pusher {
    /// `false`: nobody reads any more.
    pub(super) fn push(&self, bytes: &[u8]) -> bool {
        bytes
            .chunks(BLOCK_BYTES)
            .all(|block| self.0.send(Some(block.to_vec())).is_ok())
    }

    /// That was all. `false`: nobody reads any more.
    pub(super) fn end(self) -> bool {
        self.0.send(None).is_ok()
    }
}

impl BufRead for Feed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.at == self.block.len() && !self.ended {
            match self.blocks.recv() {
                Ok(Some(block)) => (self.block, self.at) = (block, 0),
                Ok(None) => self.ended = true,
                Err(_) => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        Ok(&self.block[self.at..])
    }

    fn consume(&mut self, len: usize) {
        self.at = (self.at + len).min(self.block.len());
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ready = self.fill_buf()?;
        let len = ready.len().min(buffer.len());
        buffer[..len].copy_from_slice(&ready[..len]);
        self.consume(len);
        Ok(len)
    }
}
