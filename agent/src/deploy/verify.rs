//! Reading back what was written, every byte, from the medium.

use std::sync::Mutex;

use image::{Manifest, Piece};

use super::compare::is_right;
use super::disk::{Buffer, Disk, Memory};
use super::fault::Fault;
use super::lanes;
use super::layout::Layout;
use super::meter::Meter;

/// Reads everything between the ends; returns how many bytes are right.
pub(super) fn verify(
    manifest: &Manifest,
    layout: &Layout,
    disk: &dyn Disk,
    meter: &Meter<'_>,
    lanes: usize,
    memory: &Memory,
) -> Result<u64, Fault> {
    let wrong: Mutex<(u64, Option<Piece>)> = Mutex::default();
    let chunk = manifest.chunk_size().get() as usize;
    let pieces = manifest.pieces().filter(|piece| !layout.is_end(piece));
    lanes::run(
        lanes,
        pieces,
        || Ok(Buffer::new(chunk, memory)),
        |buffer, piece| {
            if !is_right(disk, &piece, buffer)? {
                let mut wrong = lanes::lock(&wrong);
                wrong.0 += 1;
                if wrong.1.is_none_or(|first| piece.offset < first.offset) {
                    wrong.1 = Some(piece);
                }
            }
            meter.add(piece.len.into())
        },
    )?;
    let (places, first) = lanes::into_inner(wrong);
    match first {
        None => Ok(layout.middle_bytes()),
        Some(first) => Err(Fault::Differs {
            places,
            offset: first.offset,
            len: first.len,
            chunk: first
                .id
                .map_or_else(|| "zeros".to_owned(), |id| id.to_string()),
        }),
    }
}
