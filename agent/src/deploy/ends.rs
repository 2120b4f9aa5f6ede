//! The two ends of the disk, held in memory while everything between them is written: fetched before the first byte is
//! written, written after the last was read back.

use std::collections::HashMap;
use std::ops::Range;

use image::edit::{Plan, Write};
use image::{ChunkId, Manifest, Piece};

use super::disk::{Buffer, Disk, Holding, Memory};
use super::fault::Fault;
use super::layout::Layout;
use super::mark::Mark;
use super::meter::Meter;
use super::sources::{Sources, Unpacker};

/// What the image has at the disk's ends.
pub(super) struct Ends {
    /// From the start to the layout's `head_end`.
    pub(super) head: Vec<u8>,
    /// From the layout's `tail_start` to the image's end.
    pub(super) tail: Vec<u8>,
    _held: Holding,
}

/// Takes the ends from the disk, where they are right on it, or from the sources.
pub(super) fn fetch(
    manifest: &Manifest,
    layout: &Layout,
    disk: &dyn Disk,
    sources: &Sources<'_>,
    meter: &Meter<'_>,
    memory: &Memory,
) -> Result<Ends, Fault> {
    let pieces: Vec<Piece> = manifest
        .pieces()
        .filter(|piece| layout.is_end(piece))
        .collect();
    let mut ends = Ends::new(layout, memory);
    let chunk = manifest.chunk_size().get() as usize;
    let mut buffer = Buffer::new(chunk, memory);
    let mut missing: HashMap<ChunkId, Vec<Piece>> = HashMap::new();
    for piece in &pieces {
        let Some(id) = piece.id else { continue };
        let bytes = &mut buffer[..piece.len as usize];
        disk.read(piece.offset, bytes).map_err(Fault::disk(
            "reading",
            piece.offset,
            piece.len.into(),
        ))?;
        if ChunkId::of(bytes) == id {
            ends.put(layout, piece, bytes)?;
        } else {
            missing.entry(id).or_default().push(*piece);
        }
    }
    let mut unpacker = Unpacker::new(chunk, memory)?;
    let ids: Vec<_> = missing.keys().copied().collect();
    for window in ids.chunks(32) {
        sources.bring(window, &mut unpacker, &mut |id, bytes, wire| {
            meter.add_wire(wire);
            missing[&id]
                .iter()
                .try_for_each(|piece| ends.put(layout, piece, bytes))
        })?;
    }
    Ok(ends)
}

impl Ends {
    fn new(layout: &Layout, memory: &Memory) -> Self {
        let zeros = |len: u64| vec![0; usize::try_from(len).expect("two chunks and a MiB")];
        let head = zeros(layout.head_end);
        let tail = zeros(layout.size - layout.tail_start);
        Self {
            _held: memory.hold(head.len() + tail.len()),
            head,
            tail,
        }
    }

    fn put(&mut self, layout: &Layout, piece: &Piece, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.len() != piece.len as usize {
            return Err(Fault::Manifest(
                "a chunk's length is not its place's".to_owned(),
            ));
        }
        let (part, start) = match piece.offset < layout.head_end {
            true => (&mut self.head, 0),
            false => (&mut self.tail, layout.tail_start),
        };
        let at = usize::try_from(piece.offset - start).expect("within the part");
        part[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

/// Makes the disk unbootable, and says whose work this is: zeros up to `head_end` and from `tail_start` on.
pub(super) fn wipe(
    disk: &dyn Disk,
    head_end: u64,
    tail_start: u64,
    mark: Option<Mark>,
    memory: &Memory,
) -> Result<(), Fault> {
    let geometry = disk.geometry();
    let mut first = Buffer::new(usize::try_from(head_end).expect("a chunk or a MiB"), memory);
    if let Some(mark) = mark {
        mark.put(&mut first[..geometry.sector_size as usize]);
    }
    disk.write(0, &first)
        .map_err(Fault::disk("writing", 0, head_end))?;
    let tail = geometry.bytes - tail_start;
    disk.zero(tail_start, tail)
        .map_err(Fault::disk("zeroing", tail_start, tail))?;
    flush(disk)
}

/// Writes the edits and the ends, and reads each back; the first sectors come last.
pub(super) fn seal(
    disk: &dyn Disk,
    layout: &Layout,
    ends: &Ends,
    plan: &Plan,
    memory: &Memory,
) -> Result<u64, Fault> {
    let last = end_of_disk(layout, ends, plan);
    let before: Vec<Write> = plan
        .writes
        .iter()
        .filter_map(|write| part_before(write, last.offset))
        .collect();
    let first = Write {
        offset: 0,
        bytes: plan.head.clone(),
    };
    let _held = memory.hold(
        first.bytes.len() + last.bytes.len() + before.iter().map(|w| w.bytes.len()).sum::<usize>(),
    );
    // A power cut before the backup table's own sector, the last one, or between the two steps of the head leaves a disk
    // without a table that firmware would take, or one that is complete.
    let sector = layout.geometry.sector_size as usize;
    let table = last.bytes.len().saturating_sub(sector);
    let boot = first.bytes.len().min(2 * sector);
    for write in &before {
        put(disk, write, 0..write.bytes.len())?;
    }
    put(disk, &last, 0..table)?;
    put(disk, &first, boot..first.bytes.len())?;
    flush(disk)?;
    put(disk, &last, table..last.bytes.len())?;
    flush(disk)?;
    put(disk, &first, 0..boot)?;
    flush(disk)?;
    for write in before.iter().chain([&last, &first]) {
        read_back(disk, write, memory)?;
    }
    Ok((first.bytes.len() + last.bytes.len()) as u64)
}

/// The disk's last part as it is to be: the image's, zeros behind it, and the edits on top.
fn end_of_disk(layout: &Layout, ends: &Ends, plan: &Plan) -> Write {
    let offset = if ends.tail.is_empty() {
        layout.wipe_start
    } else {
        layout.tail_start
    };
    let len = usize::try_from(layout.geometry.bytes - offset).expect("a chunk and a MiB");
    let mut bytes = vec![0; len];
    bytes[..ends.tail.len()].copy_from_slice(&ends.tail);
    for write in &plan.writes {
        let end = write.offset + write.bytes.len() as u64;
        if end > offset {
            let skip =
                usize::try_from(offset.saturating_sub(write.offset)).expect("within the write");
            let at = usize::try_from(write.offset.saturating_sub(offset)).expect("within the end");
            let part = &write.bytes[skip..];
            bytes[at..at + part.len()].copy_from_slice(part);
        }
    }
    Write { offset, bytes }
}

fn part_before(write: &Write, end: u64) -> Option<Write> {
    let len = end.checked_sub(write.offset).filter(|len| *len > 0)?;
    let len = usize::try_from(len).map_or(write.bytes.len(), |len| len.min(write.bytes.len()));
    Some(Write {
        offset: write.offset,
        bytes: write.bytes[..len].to_vec(),
    })
}

/// Writes a part of it.
fn put(disk: &dyn Disk, write: &Write, part: Range<usize>) -> Result<(), Fault> {
    let offset = write.offset + part.start as u64;
    let Some(bytes) = write.bytes.get(part).filter(|bytes| !bytes.is_empty()) else {
        return Ok(());
    };
    disk.write(offset, bytes)
        .map_err(Fault::disk("writing", offset, bytes.len() as u64))
}

fn read_back(disk: &dyn Disk, write: &Write, memory: &Memory) -> Result<(), Fault> {
    let mut buffer = Buffer::new(write.bytes.len().min(1 << 20), memory);
    for (offset, bytes) in (write.offset..)
        .step_by(1 << 20)
        .zip(write.bytes.chunks(1 << 20))
    {
        let read = &mut buffer[..bytes.len()];
        disk.read(offset, read)
            .map_err(Fault::disk("reading", offset, bytes.len() as u64))?;
        if read != bytes {
            return Err(Fault::EditDiffers(offset));
        }
    }
    Ok(())
}

/// Everything written so far is on the medium.
pub(super) fn flush(disk: &dyn Disk) -> Result<(), Fault> {
    disk.flush()
        .map_err(Fault::disk("flushing", 0, disk.geometry().bytes))
}
