//! Saving a disk: read, hashed, and only what the store lacks is sent.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Mutex;

use bytes::Bytes;
use image::parcel::{Form, Head};
use image::{Builder, ChunkId, ChunkSize, Manifest, Piece, packing};
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::controller::Controller;
use super::disk::{Buffer, Disk, Memory, is_zero};
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
    buffer: Buffer,
    zstd: Compressor<'static>,
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
        let mut tools = self.tools(self.chunk.get())?;
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
                let parcels = batch.iter().map(|piece| self.read_again(piece, &mut tools));
                self.put(&parcels.collect::<Result<Vec<_>, _>>()?)?;
            }
        }
    }

    fn read_again(&self, piece: &Piece, tools: &mut Tools) -> Result<(Head, Bytes), Fault> {
        let bytes = &mut tools.buffer[..piece.len as usize];
        self.disk.read(piece.offset, bytes).map_err(Fault::disk(
            "reading",
            piece.offset,
            piece.len.into(),
        ))?;
        self.unused.blank(piece.offset, bytes);
        let id = ChunkId::of(bytes);
        if piece.id != Some(id) {
            return Err(Fault::Changed(piece.offset));
        }
        Ok(packed(id, bytes, &mut tools.zstd))
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
            buffer: Buffer::new(batch as usize, self.memory),
            zstd: compressor().map_err(no_zstd)?,
        })
    }

    /// Reads some chunks, and gives the store what it lacks of them.
    fn batch(&self, tools: &mut Tools, range: Range<u64>) -> Result<Vec<Option<ChunkId>>, Fault> {
        let len = range.end - range.start;
        let pieces = usize::try_from(len.div_ceil(self.chunk.bytes())).expect("a batch");
        if self.unused.covers(&range) {
            return Ok(vec![None; pieces]);
        }
        let bytes = &mut tools.buffer[..usize::try_from(len).expect("a batch")];
        self.disk
            .read(range.start, bytes)
            .map_err(Fault::disk("reading", range.start, len))?;
        self.unused.blank(range.start, bytes);
        let bytes = &*bytes;
        let chunks: Vec<_> = bytes.chunks(self.chunk.get() as usize).collect();
        let name = |chunk: &&[u8]| (!is_zero(chunk)).then(|| ChunkId::of(chunk));
        let ids: Vec<_> = chunks.iter().map(name).collect();
        let mut named: Vec<_> = ids
            .iter()
            .zip(&chunks)
            .filter_map(|(id, chunk)| Some(((*id)?, *chunk)))
            .collect();
        named.sort_unstable_by_key(|(id, _)| *id);
        named.dedup_by_key(|(id, _)| *id);
        if !named.is_empty() {
            self.give(&named, &mut tools.zstd)?;
        }
        Ok(ids)
    }

    fn give(&self, chunks: &[(ChunkId, &[u8])], zstd: &mut Compressor<'_>) -> Result<(), Fault> {
        let ids: Vec<_> = chunks.iter().map(|(id, _)| *id).collect();
        let missing = self.patience.ask(|| self.controller.have(self.job, &ids))?;
        let lacking = missing
            .iter()
            .filter_map(|n| chunks.get(usize::try_from(*n).ok()?));
        let parcels: Vec<_> = lacking
            .map(|(id, chunk)| packed(*id, chunk, zstd))
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

/// A chunk that does not shrink travels as it is.
fn packed(id: ChunkId, chunk: &[u8], zstd: &mut Compressor<'_>) -> (Head, Bytes) {
    let smaller = zstd
        .compress(chunk)
        .ok()
        .filter(|packed| packed.len() < chunk.len());
    let form = if smaller.is_some() {
        Form::Zstd
    } else {
        Form::Raw
    };
    let content = smaller.map_or_else(|| Bytes::copy_from_slice(chunk), Bytes::from);
    let len = u32::try_from(content.len()).expect("at most a chunk");
    (Head { id, form, len }, content)
}
