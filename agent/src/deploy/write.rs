//! Fetching and writing what lies between a disk's ends. Each lane asks for a window of chunks and writes each as soon as
//! it was hashed: while one waits for the wire, others write. A lane holds one chunk, whatever the image's size.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use image::{ChunkId, Manifest, Piece};

use super::disk::{Disk, Memory};
use super::ends::flush;
use super::fault::Fault;
use super::lanes;
use super::layout::{Layout, PieceSet};
use super::meter::Meter;
use super::own::OwnDisk;
use super::sources::{Sources, Unpacker};

/// Chunks asked for at once, bytes; also the most that is fetched again after the agent or its machine died, in each lane
/// and beside [`FLUSH_BYTES`].
const WINDOW_BYTES: u64 = 8 << 20;
/// Bytes written between two flushes: what a power cut may cost when a disk keeps nothing of its cache.
const FLUSH_BYTES: u64 = 64 << 20;
/// Zeros asked for at once: a disk that has to write them takes a few seconds, and may be told to stop in between.
const ZERO_BYTES: u64 = 256 << 20;

/// What one lane does next.
#[derive(Debug)]
enum Window {
    Chunks(Vec<Piece>),
    Zeros { offset: u64, len: u64 },
}

/// What is written where.
pub(super) struct Writing<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) layout: &'a Layout,
    /// Pieces that are on the disk already.
    pub(super) right: &'a PieceSet,
    pub(super) disk: &'a dyn Disk,
    pub(super) sources: &'a Sources<'a>,
    pub(super) meter: &'a Meter<'a>,
    pub(super) memory: &'a Memory,
}

impl Writing<'_> {
    /// Writes everything; returns how many bytes.
    pub(super) fn run(&self, lanes: usize) -> Result<u64, Fault> {
        let written = AtomicU64::new(0);
        let own = OwnDisk::new(self.manifest, self.layout, self.right);
        let chunk = self.manifest.chunk_size().get() as usize;
        let tools = || Unpacker::new(chunk, self.memory);
        lanes::run(
            lanes,
            self.windows(),
            tools,
            |unpacker, window| match window {
                Window::Zeros { offset, len } => {
                    self.disk
                        .zero(offset, len)
                        .map_err(Fault::disk("zeroing", offset, len))?;
                    self.counted(len, &written)
                }
                Window::Chunks(pieces) => self.chunks(&pieces, unpacker, &own, &written),
            },
        )?;
        Ok(written.into_inner())
    }

    fn chunks(
        &self,
        pieces: &[Piece],
        unpacker: &mut Unpacker,
        own: &OwnDisk,
        written: &AtomicU64,
    ) -> Result<(), Fault> {
        let mut places: HashMap<ChunkId, Vec<Piece>> = HashMap::new();
        for piece in pieces {
            if let Some(id) = piece.id {
                places.entry(id).or_default().push(*piece);
            }
        }
        let write = |piece: &Piece, bytes: &[u8]| {
            if bytes.len() != piece.len as usize {
                return Err(Fault::Manifest(
                    "a chunk's length is not its place's".to_owned(),
                ));
            }
            self.disk.write(piece.offset, bytes).map_err(Fault::disk(
                "writing",
                piece.offset,
                piece.len.into(),
            ))?;
            own.learn(piece);
            self.counted(piece.len.into(), written)
        };
        let mut wanted = Vec::new();
        for (id, pieces) in &places {
            match own.read(self.disk, *id, pieces[0].len, unpacker.buffer())? {
                Some(bytes) => pieces.iter().try_for_each(|piece| write(piece, bytes))?,
                None => wanted.push(*id),
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        self.sources
            .bring(&wanted, unpacker, &mut |id, bytes, wire| {
                self.meter.add_wire(wire);
                places[&id].iter().try_for_each(|piece| write(piece, bytes))
            })
    }

    /// So many more bytes were written. Now and then one lane waits until the medium has what all wrote.
    fn counted(&self, len: u64, written: &AtomicU64) -> Result<(), Fault> {
        let before = written.fetch_add(len, Ordering::Relaxed);
        if before / FLUSH_BYTES != (before + len) / FLUSH_BYTES {
            flush(self.disk)?;
        }
        self.meter.add(len)
    }

    /// What has to be written, in the order of the disk.
    fn windows(&self) -> impl Iterator<Item = Window> + Send {
        let wanted = self.manifest.pieces().enumerate();
        let mut wanted = wanted
            .filter(|(index, piece)| !self.layout.is_end(piece) && !self.right.contains(*index))
            .map(|(_, piece)| piece)
            .peekable();
        let most = usize::try_from(WINDOW_BYTES / self.manifest.chunk_size().bytes()).unwrap_or(1);
        std::iter::from_fn(move || {
            let first = wanted.next()?;
            if first.id.is_some() {
                let mut pieces = vec![first];
                while pieces.len() < most.max(1)
                    && let Some(piece) = wanted.next_if(|piece| piece.id.is_some())
                {
                    pieces.push(piece);
                }
                return Some(Window::Chunks(pieces));
            }
            let mut len = u64::from(first.len);
            while len < ZERO_BYTES
                && let Some(piece) =
                    wanted.next_if(|piece| piece.id.is_none() && piece.offset == first.offset + len)
            {
                len += u64::from(piece.len);
            }
            Some(Window::Zeros {
                offset: first.offset,
                len,
            })
        })
    }
}
