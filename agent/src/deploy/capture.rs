//! Saving a disk: read, hashed, and only what the store lacks is sent.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use image::parcel::{Form, Head};
use image::{Builder, ChunkId, ChunkSize, Manifest, Piece, packing};
use zstd::bulk::Compressor;
use zstd::zstd_safe::{self, CParameter};

use super::controller::Controller;
use super::disk::{ALIGN, Buffer, Disk, Memory, is_zero};
use super::fault::Fault;
use super::lanes;
use super::meter::Meter;
use super::patience::Patience;
use super::used::Unused;

/// Bytes read, hashed and asked about at once in each lane.
const BATCH_BYTES: u32 = 8 << 20;
/// Chunks asked about at once when the store says that some are missing.
const ASKED_AT_ONCE: usize = 1024;
/// Attempts to have a saved disk written down: a controller that loses chunks so often has another fault.
const ROUNDS: u32 = 5;

/// One capture.
pub(super) struct Capturing<'a> {
    pub(super) job: u64,
    pub(super) chunk: ChunkSize,
    pub(super) disk: &'a dyn Disk,
    pub(super) unused: &'a Unused,
    pub(super) controller: &'a dyn Controller,
    pub(super) patience: Patience,
    pub(super) meter: &'a Meter<'a>,
    pub(super) memory: &'a Memory,
}

/// A lane's own.
struct Tools {
    batch: Batch,
    packer: Packer,
}

/// What was read, shared with whatever of it is on its way.
struct Batch {
    bytes: Arc<Buffer>,
    memory: Memory,
}

impl Batch {
    fn new(len: u32, memory: &Memory) -> Self {
        Self {
            bytes: Arc::new(Buffer::new(len as usize, memory)),
            memory: memory.clone(),
        }
    }

    /// To be read into. The link lets go of what it has sent only when it hears that it came, which may be after the answer:
    /// then it is other memory.
    fn fresh(&mut self) -> &mut Buffer {
        if Arc::get_mut(&mut self.bytes).is_none() {
            self.bytes = Arc::new(Buffer::new(self.bytes.len(), &self.memory));
        }
        Arc::get_mut(&mut self.bytes).expect("it is nobody else's, or was just made")
    }

    /// A part of it, without a copy.
    fn part(&self, range: Range<usize>) -> Bytes {
        Bytes::from_owner(Shared(Arc::clone(&self.bytes))).slice(range)
    }
}

struct Shared(Arc<Buffer>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// zstd, and the memory for its frames.
struct Packer {
    zstd: Compressor<'static>,
    frame: Vec<u8>,
}

/// The manifest as it grows: batches come in any order.
struct Growing {
    builder: Builder,
    next: u64,
    early: BTreeMap<u64, Vec<Option<ChunkId>>>,
}

impl Growing {
    fn add(&mut self, offset: u64, len: u64, ids: Vec<Option<ChunkId>>) {
        debug_assert!(offset >= self.next);
        self.early.insert(offset, ids);
        while let Some(ids) = self.early.remove(&self.next) {
            ids.into_iter().for_each(|id| self.builder.push(id));
            self.next += len;
        }
    }
}

impl Capturing<'_> {
    /// Saves the disk; the version that the controller made of it.
    pub(super) fn run(&self, lanes: usize) -> Result<String, Fault> {
        let manifest = self.read_all(lanes)?;
        let bytes = manifest.encode();
        let mut rounds = 1;
        loop {
            let saved = self.patience.ask(|| self.controller.save(self.job, &bytes));
            match saved {
                Err(Fault::Controller(_)) if rounds < ROUNDS && self.brings_lost(&manifest)? => {
                    rounds += 1;
                }
                done => return done,
            }
        }
    }

    /// Gives the store again what it had and has no more: a controller that was killed has lost what it had not written
    /// down yet. False: it lacks nothing, and refuses for another reason.
    fn brings_lost(&self, manifest: &Manifest) -> Result<bool, Fault> {
        let batch = BATCH_BYTES.max(self.chunk.get());
        let mut tools = self.tools(batch)?;
        let mut lost = false;
        let mut pieces = manifest.data();
        loop {
            let asked: Vec<Piece> = pieces.by_ref().take(ASKED_AT_ONCE).collect();
            if asked.is_empty() {
                return Ok(lost);
            }
            let ids: Vec<_> = asked.iter().filter_map(|piece| piece.id).collect();
            let missing = self.patience.ask(|| self.controller.have(self.job, &ids))?;
            let missing: Vec<_> = missing
                .iter()
                .filter_map(|n| asked.get(usize::try_from(*n).ok()?))
                .collect();
            lost |= !missing.is_empty();
            for batch in missing.chunks((batch / self.chunk.get()) as usize) {
                self.put(&self.read_again(batch, &mut tools)?)?;
            }
        }
    }

    fn read_again(
        &self,
        pieces: &[&Piece],
        tools: &mut Tools,
    ) -> Result<Vec<(Head, Bytes)>, Fault> {
        let buffer = tools.batch.fresh();
        let mut places = Vec::new();
        let mut start = 0;
        for piece in pieces {
            let place = start..start + piece.len as usize;
            start = place.end.next_multiple_of(ALIGN);
            let bytes = &mut buffer[place.clone()];
            let read = self.disk.read(piece.offset, bytes);
            read.map_err(Fault::disk("reading", piece.offset, piece.len.into()))?;
            self.unused.blank(piece.offset, bytes);
            let id = ChunkId::of(bytes);
            if piece.id != Some(id) {
                return Err(Fault::Changed(piece.offset));
            }
            places.push((id, place));
        }
        let parcels = places
            .into_iter()
            .map(|(id, place)| tools.packer.parcel(id, &tools.batch, place));
        Ok(parcels.collect())
    }

    fn read_all(&self, lanes: usize) -> Result<Manifest, Fault> {
        let geometry = self.disk.geometry();
        let growing = Mutex::new(Growing {
            builder: Builder::new(geometry.sector_size, self.chunk)?,
            next: 0,
            early: BTreeMap::new(),
        });
        let batch = BATCH_BYTES.max(self.chunk.get());
        let tools = || self.tools(batch);
        let offsets = (0..geometry.bytes).step_by(batch as usize);
        lanes::run(lanes, offsets, tools, |tools, offset| {
            let end = (offset + u64::from(batch)).min(geometry.bytes);
            let ids = self.batch(tools, offset..end)?;
            lanes::lock(&growing).add(offset, batch.into(), ids);
            self.meter.add(end - offset)
        })?;
        let builder = lanes::into_inner(growing).builder;
        Ok(builder.finish(geometry.bytes)?)
    }

    fn tools(&self, batch: u32) -> Result<Tools, Fault> {
        let no_zstd = |error| Fault::Job(format!("zstd cannot be used: {error}"));
        Ok(Tools {
            batch: Batch::new(batch, self.memory),
            packer: Packer {
                zstd: compressor().map_err(no_zstd)?,
                frame: Vec::new(),
            },
        })
    }

    /// Reads some chunks, and gives the store what it lacks of them.
    fn batch(&self, tools: &mut Tools, range: Range<u64>) -> Result<Vec<Option<ChunkId>>, Fault> {
        let len = range.end - range.start;
        let pieces = usize::try_from(len.div_ceil(self.chunk.bytes())).expect("a batch");
        if self.unused.covers(&range) {
            return Ok(vec![None; pieces]);
        }
        let len = usize::try_from(len).expect("a batch");
        let bytes = &mut tools.batch.fresh()[..len];
        let read = self.disk.read(range.start, bytes);
        read.map_err(Fault::disk("reading", range.start, range.end - range.start))?;
        self.unused.blank(range.start, bytes);
        let ids: Vec<_> = bytes
            .chunks(self.chunk.get() as usize)
            .map(|chunk| (!is_zero(chunk)).then(|| ChunkId::of(chunk)))
            .collect();
        let places = (0..len).step_by(self.chunk.get() as usize);
        let places = places.map(|start| start..len.min(start + self.chunk.get() as usize));
        let mut named: Vec<_> = ids
            .iter()
            .zip(places)
            .filter_map(|(id, place)| Some(((*id)?, place)))
            .collect();
        named.sort_unstable_by_key(|(id, _)| *id);
        named.dedup_by_key(|(id, _)| *id);
        if !named.is_empty() {
            self.give(&named, tools)?;
        }
        Ok(ids)
    }

    fn give(&self, chunks: &[(ChunkId, Range<usize>)], tools: &mut Tools) -> Result<(), Fault> {
        let ids: Vec<_> = chunks.iter().map(|(id, _)| *id).collect();
        let missing = self.patience.ask(|| self.controller.have(self.job, &ids))?;
        let lacking = missing
            .iter()
            .filter_map(|n| chunks.get(usize::try_from(*n).ok()?));
        let parcels: Vec<_> = lacking
            .map(|(id, place)| tools.packer.parcel(*id, &tools.batch, place.clone()))
            .collect();
        self.put(&parcels)
    }

    fn put(&self, parcels: &[(Head, Bytes)]) -> Result<(), Fault> {
        if parcels.is_empty() {
            return Ok(());
        }
        let wire: usize = parcels.iter().map(|(_, content)| content.len()).sum();
        let _held = self.memory.hold(wire);
        self.meter.add_wire(wire as u64);
        self.patience.ask(|| self.controller.put(self.job, parcels))
    }
}

/// What packs as hard as the store itself does, which keeps what it gets.
fn compressor() -> io::Result<Compressor<'static>> {
    let mut zstd = Compressor::new(packing::LEVEL)?;
    zstd.set_parameter(CParameter::WindowLog(packing::WINDOW_LOG))?;
    zstd.set_parameter(CParameter::HashLog(packing::HASH_LOG))?;
    zstd.set_parameter(CParameter::MinMatch(packing::MIN_MATCH))?;
    Ok(zstd)
}

impl Packer {
    /// A chunk that does not shrink travels as it is.
    fn parcel(&mut self, id: ChunkId, batch: &Batch, place: Range<usize>) -> (Head, Bytes) {
        let (form, content) = match self.smaller(&batch.bytes[place.clone()]) {
            Some(frame) => (Form::Zstd, Bytes::copy_from_slice(frame)),
            None => (Form::Raw, batch.part(place)),
        };
        let len = u32::try_from(content.len()).expect("at most a chunk");
        (Head { id, form, len }, content)
    }

    fn smaller(&mut self, chunk: &[u8]) -> Option<&[u8]> {
        let Self { zstd, frame } = self;
        packing::smaller(chunk, frame, |part, frame| {
            frame.reserve(zstd_safe::compress_bound(part.len()));
            zstd.compress_to_buffer(part, frame).ok()
        })
    }
}
