//! The partition table in a disk's first sector: the PC's own, or the protective one in front of a GUID table.

use super::{
    ALIGN_BYTES, Change, EditError, Extent, Order, Partition, Plan, Target, Write, last_room,
};

/// Where the four entries start.
const ENTRIES: usize = 446;
const ENTRY: usize = 16;
/// "There is a GUID table."
const PROTECTIVE: u8 = 0xEE;
/// Partitions that hold partitions.
const EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];
/// The EFI system partition's type.
const ESP: u8 = 0xEF;
/// FAT with LBA addresses.
const FAT_LBA: u8 = 0x0E;
/// "Beyond what cylinders, heads and sectors can say": use the LBA fields.
const NO_CHS: [u8; 3] = [0xFE, 0xFF, 0xFF];

fn entries(head: &[u8]) -> Option<[&[u8]; 4]> {
    let table = head.get(ENTRIES..ENTRIES + 4 * ENTRY)?;
    let signed = head.get(510..512)? == [0x55, 0xAA];
    signed.then(|| std::array::from_fn(|n| &table[n * ENTRY..(n + 1) * ENTRY]))
}

fn extent(entry: &[u8]) -> Extent {
    let number = |at: usize| {
        u64::from(u32::from_le_bytes([
            entry[at],
            entry[at + 1],
            entry[at + 2],
            entry[at + 3],
        ]))
    };
    let start = number(8);
    Extent {
        start,
        end: start + number(12),
    }
}

/// A GUID table follows.
pub(super) fn is_protective(head: &[u8]) -> bool {
    entries(head).is_some_and(|entries| entries.iter().any(|entry| entry[4] == PROTECTIVE))
}

/// Four entries that make sense, one of them used. A FAT volume without a table has the same signature, and text of its
/// boot program where the entries would be.
pub(super) fn is_table(head: &[u8]) -> bool {
    let Some(entries) = entries(head) else {
        return false;
    };
    let sane = |entry: &&[u8]| {
        let empty = entry[4] == 0;
        matches!(entry[0], 0 | 0x80)
            && (empty || (extent(entry).start > 0 && extent(entry).end > extent(entry).start))
    };
    entries.iter().all(sane) && entries.iter().any(|entry| entry[4] != 0)
}

/// The protective entry covers the whole disk, or as much as it can say.
pub(super) fn set_protective_size(head: &mut [u8], sectors: u64) {
    for at in (0..4).map(|n| ENTRIES + n * ENTRY) {
        // A hybrid table's own entries stay as they are.
        if head[at + 4] == PROTECTIVE && head[at + 8..at + 12] == 1_u32.to_le_bytes() {
            head[at + 12..at + 16].copy_from_slice(&clamped(sectors - 1).to_le_bytes());
        }
    }
}

fn clamped(sectors: u64) -> u32 {
    u32::try_from(sectors).unwrap_or(u32::MAX)
}

/// For who wants to look into them: the four, without what an extended one holds.
pub(super) fn list(head: &[u8], target: Target) -> Vec<Partition> {
    let all = entries(head).into_iter().flatten().zip(1..);
    let used = all.filter(|(entry, _)| entry[4] != 0 && !EXTENDED.contains(&entry[4]));
    used.map(|(entry, number)| Partition {
        number,
        start: extent(entry).start * target.sector(),
        end: extent(entry).end * target.sector(),
        id: None,
        name: None,
        is_esp: entry[4] == ESP,
    })
    .collect()
}

/// Empties the entries of these numbers; what their partitions were.
pub(super) fn remove(head: &mut [u8], numbers: &[u32]) -> Vec<Extent> {
    let mut gone = Vec::new();
    for (at, number) in (ENTRIES..).step_by(ENTRY).zip(1..=4) {
        let entry = &mut head[at..at + ENTRY];
        if numbers.contains(&number) && entry[4] != 0 {
            gone.push(extent(entry));
            entry.fill(0);
        }
    }
    gone
}

/// Entry `n` is a FAT partition of `len` sectors.
fn add(head: &mut [u8], n: usize, start: u64, len: u64) {
    let entry = &mut head[ENTRIES + n * ENTRY..][..ENTRY];
    entry.fill(0);
    entry[1..4].copy_from_slice(&NO_CHS);
    entry[4] = FAT_LBA;
    entry[8..12].copy_from_slice(&clamped(start).to_le_bytes());
    resize(head, n, len);
}

/// The partition of entry `n` has `len` sectors.
fn resize(head: &mut [u8], n: usize, len: u64) {
    let entry = &mut head[ENTRIES + n * ENTRY..][..ENTRY];
    entry[5..8].copy_from_slice(&NO_CHS);
    entry[12..16].copy_from_slice(&clamped(len).to_le_bytes());
}

/// Grows the last partition and adds the volume.
pub(super) fn edit(head: &[u8], target: Target, order: Order) -> Result<Plan, EditError> {
    let sector = target.sector();
    let mut plan = Plan {
        head: head.to_vec(),
        writes: Vec::new(),
        changes: Vec::new(),
    };
    let all = entries(head).ok_or(EditError::NoTable)?;
    let used: Vec<_> = (0..4).filter(|n| all[*n][4] != 0).collect();
    let extents: Vec<_> = used.iter().map(|n| extent(all[*n])).collect();
    let mut ceiling = target.sectors().min(u64::from(u32::MAX));
    let mut provisioned = None;
    if let Some(volume) = order.volume {
        let len = volume.len() as u64 / sector;
        let align = ALIGN_BYTES / sector;
        let start = last_room(&extents, align, ceiling, len, align)
            .ok_or(EditError::NoRoom(volume.len() as u64))?;
        let free = (0..4).find(|n| all[*n][4] == 0).ok_or(EditError::Full)?;
        add(&mut plan.head, free, start, len);
        if extents.iter().all(|extent| extent.end <= start) {
            ceiling = start;
        }
        let (offset, len) = (start * sector, volume.len() as u64);
        provisioned = Some(Change::Provisioned { offset, len });
        plan.writes.push(Write {
            offset,
            bytes: volume,
        });
    }
    let last = used
        .iter()
        .zip(&extents)
        .max_by_key(|(_, extent)| extent.end);
    if let (true, Some((n, extent))) = (order.grow, last)
        && ceiling > extent.end
    {
        if EXTENDED.contains(&all[*n][4]) {
            return Err(EditError::Table(
                "its last partition is an extended one, which is not grown",
            ));
        }
        resize(&mut plan.head, *n, ceiling - extent.start);
        plan.changes.push(Change::PartitionGrown {
            number: u32::try_from(n + 1).expect("one of four"),
            end: ceiling * sector,
        });
    }
    plan.changes.extend(provisioned);
    Ok(plan)
}
