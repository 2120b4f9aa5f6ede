//! The partitions on a disk, and what their file systems leave unused.

use image::edit::{self, HEAD_BYTES, Target};
use mesh_proto::facts;

use super::disk::{Buffer, Disk, Memory};
use super::fault::Fault;
use super::host::{Host, Part};
use super::used::{self, Unused};

/// Enough of a partition to tell its file system: btrfs has its name at 64 KiB.
const MAGIC_BYTES: u64 = 128 << 10;

/// The partitions on the disk now; none when its table is not understood.
pub(super) fn list(disk: &dyn Disk, memory: &Memory) -> Result<Vec<Part>, Fault> {
    let geometry = disk.geometry();
    let head = read(disk, 0, HEAD_BYTES.min(geometry.bytes), memory)?;
    let target = Target {
        bytes: geometry.bytes,
        sector_size: geometry.sector_size,
    };
    let parts = edit::partitions(&head, target).into_iter();
    Ok(parts
        .map(|part| Part {
            number: part.number,
            range: part.start..part.end,
            id: part.id,
            name: part.name,
            is_esp: part.is_esp,
        })
        .collect())
}

/// The partitions whose file system is known, with its name.
pub(super) fn file_systems(
    disk: &dyn Disk,
    memory: &Memory,
) -> Result<Vec<(Part, &'static str)>, Fault> {
    let mut found = Vec::new();
    for part in list(disk, memory)? {
        let len = part.range.end - part.range.start;
        let start = read(disk, part.range.start, len.min(MAGIC_BYTES), memory)?;
        found.extend(used::file_system(&start).map(|name| (part, name)));
    }
    Ok(found)
}

/// What need not be saved of this disk.
pub(super) fn unused(
    host: &dyn Host,
    seen: &facts::Disk,
    disk: &dyn Disk,
    memory: &Memory,
) -> Result<Unused, Fault> {
    let mut unused = Unused::default();
    for (part, file_system) in file_systems(disk, memory)? {
        let (number, len) = (part.number, part.range.end - part.range.start);
        match host.unused(seen, &part, file_system) {
            // What lies behind the file system's end is nobody's map's business.
            Some(stretches) if stretches.iter().all(|s| s.end <= len) => {
                unused.add(part.range.start, &stretches);
            }
            _ => host.say(&format!(
                "partition {number} ({file_system}): which blocks are used is not known, so all that are not zero are saved"
            )),
        }
    }
    Ok(unused)
}

fn read(disk: &dyn Disk, offset: u64, len: u64, memory: &Memory) -> Result<Buffer, Fault> {
    let mut buffer = Buffer::new(usize::try_from(len).expect("at most a MiB"), memory);
    disk.read(offset, &mut buffer)
        .map_err(Fault::disk("reading", offset, len))?;
    Ok(buffer)
}
