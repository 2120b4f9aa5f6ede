//! GUID partition tables (UEFI 2.10 §5.3): read from a disk's first bytes, changed, and written as primary and backup.

use super::{
    ALIGN_BYTES, Change, EditError, Extent, Order, Partition, Plan, Target, Write, crc32,
    last_room, mbr,
};

/// Bytes of a header that mean something.
const HEADER_BYTES: usize = 92;
/// More entries than any tool writes would only be there to cost memory.
const MAX_ENTRIES: u32 = 1024;
/// `EBD0A0A2-B9E5-4433-87C0-68B6B72699C7`, "basic data": what a FAT volume is.
const BASIC_DATA: [u8; 16] = [
    0xA2, 0xA0, 0xD0, 0xEB, 0xE5, 0xB9, 0x33, 0x44, 0x87, 0xC0, 0x68, 0xB6, 0xB7, 0x26, 0x99, 0xC7,
];
/// `C12A7328-F81F-11D2-BA4B-00A0C93EC93B`, the EFI system partition.
const ESP: [u8; 16] = [
    0x28, 0x73, 0x2A, 0xC1, 0x1F, 0xF8, 0xD2, 0x11, 0xBA, 0x4B, 0x00, 0xA0, 0xC9, 0x3E, 0xC9, 0x3B,
];
/// UTF-16 name at this place of an entry, 36 letters at most.
const NAME: usize = 56;
const NAME_BYTES: usize = 72;

/// A table whose checksums are right.
#[derive(Debug, Clone)]
pub(super) struct Table {
    header: Vec<u8>,
    entries: Vec<u8>,
    entry_bytes: usize,
    entries_lba: u64,
}

fn name_of(entry: &[u8]) -> Option<String> {
    let units = entry.get(NAME..NAME + NAME_BYTES)?.chunks_exact(2);
    let units = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let letters: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    (!letters.is_empty()).then(|| String::from_utf16_lossy(&letters))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl Table {
    /// The primary table, when there is one and it is whole.
    pub(super) fn parse(head: &[u8], target: Target) -> Option<Self> {
        let sector = usize::try_from(target.sector_size).ok()?;
        let at_lba_1 = head.get(sector..2 * sector)?;
        let header_bytes = usize::try_from(u32_at(at_lba_1, 12)?).ok()?;
        let mut header = at_lba_1.get(..header_bytes)?.to_vec();
        let crc = u32_at(&header, 16)?;
        if header_bytes < HEADER_BYTES || !header.starts_with(b"EFI PART") {
            return None;
        }
        header[16..20].fill(0);
        let count = u32_at(&header, 80)?;
        let entry_bytes = u32_at(&header, 84)?;
        let sane = count > 0 && count <= MAX_ENTRIES && matches!(entry_bytes, 128 | 256 | 512);
        if crc32::of(&header) != crc || !sane {
            return None;
        }
        let entries_lba = u64_at(&header, 72)?;
        let entry_bytes = usize::try_from(entry_bytes).ok()?;
        let from = usize::try_from(entries_lba.checked_mul(target.sector())?).ok()?;
        let len = usize::try_from(count).ok()?.checked_mul(entry_bytes)?;
        let entries = head.get(from..from.checked_add(len)?)?.to_vec();
        (crc32::of(&entries) == u32_at(&header, 88)?).then_some(Self {
            header,
            entries,
            entry_bytes,
            entries_lba,
        })
    }

    fn number(&self, at: usize) -> u64 {
        u64_at(&self.header, at).expect("a header has 92 bytes")
    }

    fn first_usable(&self) -> u64 {
        self.number(40)
    }

    /// Sectors that the entries take.
    fn entries_sectors(&self, target: Target) -> u64 {
        (self.entries.len() as u64).div_ceil(target.sector())
    }

    fn is_used(entry: &[u8]) -> bool {
        entry[..16] != [0; 16]
    }

    /// Used entries: place in the table and extent.
    fn partitions(&self) -> Vec<(usize, Extent)> {
        let extent = |entry: &[u8]| {
            let start = u64_at(entry, 32).expect("an entry has 128 bytes");
            let last = u64_at(entry, 40).expect("an entry has 128 bytes");
            let end = last.saturating_add(1);
            Extent { start, end }
        };
        let entries = self.entries.chunks_exact(self.entry_bytes);
        let used = entries
            .enumerate()
            .filter(|(_, entry)| Self::is_used(entry));
        used.map(|(index, entry)| (index, extent(entry))).collect()
    }

    /// For who wants to look into them.
    pub(super) fn list(&self, target: Target) -> Vec<Partition> {
        let row = |(index, extent): (usize, Extent)| {
            let entry = &self.entries[index * self.entry_bytes..][..self.entry_bytes];
            Partition {
                number: u32::try_from(index + 1).expect("at most MAX_ENTRIES"),
                start: extent.start.saturating_mul(target.sector()),
                end: extent.end.saturating_mul(target.sector()),
                id: entry[16..32].try_into().ok(),
                name: name_of(entry),
                is_esp: entry[..16] == ESP,
            }
        };
        self.partitions().into_iter().map(row).collect()
    }

    fn entry_mut(&mut self, index: usize) -> &mut [u8] {
        let size = self.entry_bytes;
        &mut self.entries[index * size..(index + 1) * size]
    }

    /// Empties the entries of these numbers; what their partitions were.
    pub(super) fn remove(&mut self, numbers: &[u32]) -> Vec<Extent> {
        let mut gone = Vec::new();
        for (index, extent) in self.partitions() {
            if u32::try_from(index + 1).is_ok_and(|number| numbers.contains(&number)) {
                self.entry_mut(index).fill(0);
                gone.push(extent);
            }
        }
        gone
    }

    fn add(&mut self, extent: Extent, id: [u8; 16], name: &str) -> Result<(), EditError> {
        let free = self
            .entries
            .chunks_exact(self.entry_bytes)
            .position(|entry| !Self::is_used(entry));
        let entry = self.entry_mut(free.ok_or(EditError::Full)?);
        entry.fill(0);
        entry[..16].copy_from_slice(&BASIC_DATA);
        entry[16..32].copy_from_slice(&id);
        entry[32..40].copy_from_slice(&extent.start.to_le_bytes());
        entry[40..48].copy_from_slice(&(extent.end - 1).to_le_bytes());
        for (at, unit) in (NAME..).step_by(2).zip(name.encode_utf16()) {
            entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        Ok(())
    }

    /// The last room for so many bytes.
    fn last_room(
        &self,
        used: &[Extent],
        usable_end: u64,
        bytes: u64,
        target: Target,
    ) -> Result<Extent, EditError> {
        let (len, align) = (bytes / target.sector(), ALIGN_BYTES / target.sector());
        let start = last_room(used, self.first_usable(), usable_end, len, align)
            .ok_or(EditError::NoRoom(bytes))?;
        Ok(Extent {
            start,
            end: start + len,
        })
    }

    /// The partition at this place in the table reaches to `end`.
    fn grow(&mut self, index: usize, end: u64, target: Target) -> Change {
        self.entry_mut(index)[40..48].copy_from_slice(&(end - 1).to_le_bytes());
        Change::PartitionGrown {
            number: u32::try_from(index + 1).expect("at most MAX_ENTRIES"),
            end: end * target.sector(),
        }
    }

    /// The header for this place, its checksums right.
    fn sealed_header(&self, own: u64, other: u64, entries_lba: u64, last_usable: u64) -> Vec<u8> {
        let mut header = self.header.clone();
        for (at, value) in [(24, own), (32, other), (48, last_usable), (72, entries_lba)] {
            header[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        header[88..92].copy_from_slice(&crc32::of(&self.entries).to_le_bytes());
        header[16..20].fill(0);
        let crc = crc32::of(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        header
    }
}

/// Moves the backup, grows, adds; in this order, because each needs the room the one before made.
pub(super) fn edit(
    head: &[u8],
    mut table: Table,
    target: Target,
    order: Order,
) -> Result<Plan, EditError> {
    let sector = target.sector();
    let last = target.sectors() - 1;
    let usable_end = last
        .checked_sub(table.entries_sectors(target))
        .ok_or(EditError::Table("it does not fit onto the disk"))?;
    let partitions = table.partitions();
    let used: Vec<_> = partitions.iter().map(|(_, extent)| *extent).collect();
    if used.iter().any(|e| e.start >= e.end || e.end > usable_end) {
        return Err(EditError::Table("a partition reaches beyond its end"));
    }
    let mut changes = Vec::new();
    if table.number(32) != last || table.number(48) != usable_end - 1 {
        changes.push(Change::BackupTableMoved);
    }
    let mut writes = Vec::new();
    let mut ceiling = usable_end;
    let mut provisioned = None;
    if let Some(volume) = order.volume {
        let len = volume.len() as u64;
        let room = table.last_room(&used, usable_end, len, target)?;
        table.add(room, order.partition_id, "cidata")?;
        if used.iter().all(|other| other.end <= room.start) {
            ceiling = room.start;
        }
        let offset = room.start * sector;
        provisioned = Some(Change::Provisioned { offset, len });
        writes.push(Write {
            offset,
            bytes: volume,
        });
    }
    let last = partitions.iter().max_by_key(|(_, extent)| extent.end);
    if let Some((index, extent)) = last.filter(|_| order.grow)
        && ceiling > extent.end
    {
        changes.push(table.grow(*index, ceiling, target));
    }
    changes.extend(provisioned);
    writes.push(backup(&table, target, usable_end));
    Ok(Plan {
        head: primary(head, &table, target, usable_end),
        writes,
        changes,
    })
}

fn primary(head: &[u8], table: &Table, target: Target, usable_end: u64) -> Vec<u8> {
    let mut head = head.to_vec();
    let sector = to_usize(target.sector());
    let header = table.sealed_header(1, target.sectors() - 1, table.entries_lba, usable_end - 1);
    head[sector..sector + header.len()].copy_from_slice(&header);
    let from = to_usize(table.entries_lba) * sector;
    head[from..from + table.entries.len()].copy_from_slice(&table.entries);
    mbr::set_protective_size(&mut head, target.sectors());
    head
}

/// Entries, then the header in the disk's last sector.
fn backup(table: &Table, target: Target, usable_end: u64) -> Write {
    let sector = to_usize(target.sector());
    let last = target.sectors() - 1;
    let mut bytes = vec![0; to_usize(last + 1 - usable_end) * sector];
    bytes[..table.entries.len()].copy_from_slice(&table.entries);
    let header = table.sealed_header(last, 1, usable_end, usable_end - 1);
    let at = bytes.len() - sector;
    bytes[at..at + header.len()].copy_from_slice(&header);
    Write {
        offset: usable_end * target.sector(),
        bytes,
    }
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).expect("within the first MiB, or a table")
}
