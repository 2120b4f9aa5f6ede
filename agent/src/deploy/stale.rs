//! An image that was saved from a machine may still hold what that machine was told: the `cidata` volume of its own
//! deployment. A system reads the first such volume it finds, so on another machine it has to make way for the new one.

use image::edit::{self, MAX_VOLUME_BYTES, Target};
use image::{ChunkId, Manifest};

use super::disk::{Buffer, Disk, Memory};
use super::fault::Fault;
use super::meter::Meter;
use super::sources::{Sources, Unpacker};

/// A volume tells in its first bytes whose it is.
const START_BYTES: usize = 512;

/// What it takes to look into an image that is not on the disk yet.
pub(super) struct Stale<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) disk: &'a dyn Disk,
    pub(super) sources: &'a Sources<'a>,
    pub(super) meter: &'a Meter<'a>,
    pub(super) memory: &'a Memory,
}

impl Stale<'_> {
    /// The numbers of the image's partitions that are such volumes; `head` is how the image begins.
    pub(super) fn volumes(&self, head: &[u8], target: Target) -> Result<Vec<u32>, Fault> {
        let mut found = Vec::new();
        for part in edit::partitions(head, target) {
            let small = part.end - part.start <= MAX_VOLUME_BYTES;
            if small && edit::is_provision(&self.start(part.start)?) {
                found.push(part.number);
            }
        }
        Ok(found)
    }

    /// What the image has at `offset`: from the disk where that is right on it, else from the sources.
    fn start(&self, offset: u64) -> Result<Vec<u8>, Fault> {
        let chunk = self.manifest.chunk_size().bytes();
        let piece = self.manifest.piece_at(offset / chunk);
        let Some((piece, id)) = piece.and_then(|piece| Some((piece, piece.id?))) else {
            return Ok(Vec::new());
        };
        let at = usize::try_from(offset % chunk).expect("below a chunk's size");
        let start = |bytes: &[u8]| bytes.iter().skip(at).take(START_BYTES).copied().collect();
        let len = piece.len as usize;
        let mut buffer = Buffer::new(len, self.memory);
        self.disk
            .read(piece.offset, &mut buffer)
            .map_err(Fault::disk("reading", piece.offset, piece.len.into()))?;
        if ChunkId::of(&buffer) == id {
            return Ok(start(&buffer));
        }
        drop(buffer);
        let mut unpacker = Unpacker::new(len, self.memory)?;
        let mut found = Vec::new();
        self.sources
            .bring(&[id], &mut unpacker, &mut |_, bytes, wire| {
                self.meter.add_wire(wire);
                found = start(bytes);
                Ok(())
            })?;
        Ok(found)
    }
}
