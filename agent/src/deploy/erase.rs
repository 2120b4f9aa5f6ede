//! Emptying a disk, and looking whether it is empty.

use std::sync::atomic::{AtomicU64, Ordering};

use mesh_proto::message::job::Erase;

use super::disk::{Buffer, Disk, Memory, is_zero};
use super::ends::flush;
use super::fault::Fault;
use super::lanes;
use super::meter::Meter;

/// Told to be unused at once.
const DISCARD_BYTES: u64 = 256 << 20;
/// Written or read at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Empties the disk: afterwards every byte was read as zero. `sanitize` is the disk's own erasure.
pub(super) fn erase(
    how: Erase,
    disk: &dyn Disk,
    sanitize: impl FnOnce() -> Result<(), String>,
    meter: &Meter<'_>,
    lanes: usize,
    memory: &Memory,
) -> Result<(), Fault> {
    let end = disk.geometry().bytes;
    match how {
        Erase::Discard => lanes::run(
            1,
            slices(end, DISCARD_BYTES),
            || Ok(()),
            |(), (offset, len)| {
                disk.zero(offset, len)
                    .map_err(Fault::disk("zeroing", offset, len))?;
                meter.add(len)
            },
        )?,
        Erase::Zero => {
            let zeros = || Ok(Buffer::new(buffer_bytes(), memory));
            lanes::run(
                lanes,
                slices(end, PIECE_BYTES),
                zeros,
                |zeros, (offset, len)| {
                    write_zeros(
                        disk,
                        offset,
                        &zeros[..usize::try_from(len).expect("a piece")],
                    )?;
                    meter.add(len)
                },
            )?;
        }
        Erase::Sanitize => {
            sanitize().map_err(Fault::Erase)?;
            meter.add(end)?;
        }
    }
    flush(disk)?;
    // A disk may promise zeros and lie, and a sanitized one may show anything.
    let cured = read_zeros(disk, true, meter, lanes, memory)?;
    if cured > 0 {
        flush(disk)?;
        let still = read_zeros(disk, false, meter, lanes, memory)?;
        if still > 0 {
            let text = format!("{still} places still hold data after zeros were written to them");
            return Err(Fault::Erase(text));
        }
    }
    Ok(())
}

/// Reads everything, and writes zeros where there are none when it is to `cure`; returns how many places had data.
fn read_zeros(
    disk: &dyn Disk,
    cure: bool,
    meter: &Meter<'_>,
    lanes: usize,
    memory: &Memory,
) -> Result<u64, Fault> {
    let found = AtomicU64::new(0);
    let tools = || Ok(Buffer::new(buffer_bytes(), memory));
    let all = slices(disk.geometry().bytes, PIECE_BYTES);
    lanes::run(lanes, all, tools, |buffer, (offset, len)| {
        let bytes = &mut buffer[..usize::try_from(len).expect("a piece")];
        disk.read(offset, bytes)
            .map_err(Fault::disk("reading", offset, len))?;
        if !is_zero(bytes) {
            found.fetch_add(1, Ordering::Relaxed);
            if cure {
                bytes.fill(0);
                write_zeros(disk, offset, bytes)?;
            }
        }
        meter.add(if cure { len } else { 0 })
    })?;
    Ok(found.into_inner())
}

fn write_zeros(disk: &dyn Disk, offset: u64, zeros: &[u8]) -> Result<(), Fault> {
    disk.write(offset, zeros)
        .map_err(Fault::disk("zeroing", offset, zeros.len() as u64))
}

fn slices(end: u64, len: u64) -> impl Iterator<Item = (u64, u64)> + Send {
    let steps = usize::try_from(len).expect("at most 256 MiB");
    (0..end)
        .step_by(steps)
        .map(move |offset| (offset, len.min(end - offset)))
}

fn buffer_bytes() -> usize {
    usize::try_from(PIECE_BYTES).expect("1 MiB")
}
