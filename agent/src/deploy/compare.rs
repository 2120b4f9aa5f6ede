//! What of an image is on the disk already. To resume after a power cut and to deploy a changed image again are the same
//! work: hash what is there, and write only what differs.

use std::sync::Mutex;

use image::{ChunkId, Manifest, Piece};

use super::disk::{Buffer, Disk, Memory, is_zero};
use super::fault::Fault;
use super::lanes;
use super::layout::{Layout, PieceSet};
use super::meter::Meter;

/// Pieces looked at before the whole disk is read for nothing: with a tenth of the image on the disk, one in a thousand
/// disks is taken for a strange one, and is then only written more slowly.
const SAMPLES: u64 = 64;

/// What is on a disk.
#[derive(Debug)]
pub(super) struct Compared {
    /// Pieces that are right.
    pub(super) right: PieceSet,
    /// Their bytes.
    pub(super) kept_bytes: u64,
}

/// Whether the piece is on the disk.
pub(super) fn is_right(disk: &dyn Disk, piece: &Piece, buffer: &mut Buffer) -> Result<bool, Fault> {
    let bytes = &mut buffer[..piece.len as usize];
    disk.read(piece.offset, bytes).map_err(Fault::disk(
        "reading",
        piece.offset,
        piece.len.into(),
    ))?;
    Ok(match piece.id {
        Some(id) => ChunkId::of(bytes) == id,
        None => is_zero(bytes),
    })
}

/// Whether a few pieces, spread over the image, are on the disk: then reading all of it pays.
pub(super) fn looks_alike(
    manifest: &Manifest,
    layout: &Layout,
    disk: &dyn Disk,
    memory: &Memory,
) -> Result<bool, Fault> {
    let mut buffer = Buffer::new(manifest.chunk_size().get() as usize, memory);
    let step = manifest.data_len().div_ceil(SAMPLES).max(1);
    let step = usize::try_from(step).expect("fewer than the chunks");
    for piece in manifest
        .data()
        .step_by(step)
        .filter(|piece| !layout.is_end(piece))
    {
        if is_right(disk, &piece, &mut buffer)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads everything between the ends.
pub(super) fn compare(
    manifest: &Manifest,
    layout: &Layout,
    disk: &dyn Disk,
    meter: &Meter<'_>,
    lanes: usize,
    memory: &Memory,
) -> Result<Compared, Fault> {
    let found = Mutex::new(Compared {
        right: PieceSet::new(manifest.pieces_len(), false),
        kept_bytes: 0,
    });
    let chunk = manifest.chunk_size().get() as usize;
    let pieces = manifest
        .pieces()
        .enumerate()
        .filter(|(_, piece)| !layout.is_end(piece));
    lanes::run(
        lanes,
        pieces,
        || Ok(Buffer::new(chunk, memory)),
        |buffer, (index, piece)| {
            if is_right(disk, &piece, buffer)? {
                let mut found = lanes::lock(&found);
                found.right.insert(index);
                found.kept_bytes += u64::from(piece.len);
            }
            meter.add(piece.len.into())
        },
    )?;
    Ok(lanes::into_inner(found))
}
