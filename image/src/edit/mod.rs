//! The edits that are made to an image on its way to one machine's disk: the backup partition table moved to the disk's
//! end, the last partition grown, a `cidata` partition with what the new system is told. All of it is computed from the
//! image's first bytes before anything is written, so what cannot be done is refused while the disk is still untouched.
//!
//! A partition grows, the file system in it does not: that is the new system's own business (cloud-init's growpart and
//! resizefs, systemd-growfs), which knows its file system better than a boot server does.

mod crc32;
mod fat;
mod fat_read;
mod gpt;
mod mbr;

pub use fat::{FatError, MAX_VOLUME_BYTES, is_provision};
pub use fat_read::{is_cidata, volume_file};

/// What is looked at to understand a disk, bytes: tables of every common tool lie in its first MiB.
pub const HEAD_BYTES: u64 = 1 << 20;

/// Partitions start at multiples of this, as every tool of this century has it.
const ALIGN_BYTES: u64 = 1 << 20;

/// The disk an image is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its size, bytes.
    pub bytes: u64,
    /// Bytes of its sectors, 512 or 4096; the image's too.
    pub sector_size: u32,
}

impl Target {
    fn sector(self) -> u64 {
        u64::from(self.sector_size)
    }

    fn sectors(self) -> u64 {
        self.bytes / self.sector()
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The last partition shall end at the disk's end.
    pub grow: bool,
    /// Files of a `cidata` partition, name and content; none: no partition.
    pub provision: &'a [(&'a str, &'a [u8])],
    /// The new partition's own random id.
    pub partition_id: [u8; 16],
    /// Partitions, by number, that are [provision volumes](is_provision) of an earlier deployment: they make way.
    pub stale: &'a [u32],
}

/// Bytes that go to the disk on top of the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Where, bytes; a whole sector.
    pub offset: u64,
    /// What, whole sectors.
    pub bytes: Vec<u8>,
}

/// One change, for the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The backup partition table moved to the disk's end.
    BackupTableMoved,
    /// A partition was grown.
    PartitionGrown {
        /// Its number in the table.
        number: u32,
        /// Where it ends now, bytes.
        end: u64,
    },
    /// A `cidata` partition of an earlier deployment was removed, and reads as zeros.
    ProvisionRemoved {
        /// Where it started, bytes.
        offset: u64,
        /// Its bytes.
        len: u64,
    },
    /// A `cidata` partition was made.
    Provisioned {
        /// Where it starts, bytes.
        offset: u64,
        /// Its bytes.
        len: u64,
    },
}

/// All changes to one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The disk's first bytes as they are to be, as many as were given.
    pub head: Vec<u8>,
    /// What lies elsewhere.
    pub writes: Vec<Write>,
    /// What it comes to.
    pub changes: Vec<Change>,
}

/// Why the edits cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Nothing to grow or to add to.
    #[error(
        "the image has no partition table that is understood, so nothing can be grown or added"
    )]
    NoTable,
    /// A table of an unusual shape.
    #[error("the image's partition table cannot be edited: {0}")]
    Table(&'static str),
    /// No place for another partition.
    #[error(
        "there is no free place of {0} bytes for the cidata partition; use a larger disk or a smaller image"
    )]
    NoRoom(u64),
    /// The table is full.
    #[error("the partition table has no free entry for the cidata partition")]
    Full,
    /// The files cannot be put into a file system.
    #[error("the provision files: {0}")]
    Files(#[from] FatError),
}

/// Computes the edits for an image whose first bytes are `head`, at least [`HEAD_BYTES`] or all of a smaller image.
///
/// # Errors
/// When what is asked for cannot be done. A table that is not understood is left alone when nothing is asked.
pub fn plan(head: &[u8], target: Target, wish: &Wish<'_>) -> Result<Plan, EditError> {
    let volume = match wish.provision {
        [] => None,
        files => Some(fat::volume(target.sector_size, wish.partition_id, files)?),
    };
    let asked = wish.grow || volume.is_some();
    let order = Order {
        grow: wish.grow,
        partition_id: wish.partition_id,
        volume,
    };
    if mbr::is_protective(head) {
        match gpt::Table::parse(head, target) {
            Some(mut table) => {
                let gone = table.remove(wish.stale);
                let plan = gpt::edit(head, table, target, order)?;
                return Ok(without(plan, &gone, target));
            }
            None if asked => return Err(EditError::NoTable),
            None => {}
        }
    } else if mbr::is_table(head) {
        let mut head = head.to_vec();
        let gone = mbr::remove(&mut head, wish.stale);
        let plan = mbr::edit(&head, target, order)?;
        return Ok(without(plan, &gone, target));
    } else if asked {
        return Err(EditError::NoTable);
    }
    Ok(Plan {
        head: head.to_vec(),
        writes: Vec::new(),
        changes: Vec::new(),
    })
}

/// The plan, with zeros where removed partitions lay, as far as it writes nothing else there.
fn without(mut plan: Plan, gone: &[Extent], target: Target) -> Plan {
    let sector = target.sector();
    for extent in gone {
        let (offset, end) = (extent.start * sector, extent.end * sector);
        let mut zeros = Vec::new();
        let mut from = offset.max(plan.head.len() as u64);
        for (start, end_of_write) in written(&plan) {
            zeros.push((from, start.min(end)));
            from = from.max(end_of_write);
        }
        zeros.push((from, end));
        let zeros = zeros.into_iter().filter(|(from, to)| from < to);
        plan.writes.extend(zeros.map(|(from, to)| Write {
            offset: from,
            bytes: vec![0; usize::try_from(to - from).expect("at most MAX_VOLUME_BYTES")],
        }));
        let len = end - offset;
        let removed = Change::ProvisionRemoved { offset, len };
        plan.changes.insert(0, removed);
    }
    plan
}

/// First byte of each write and first byte after it, ascending.
fn written(plan: &Plan) -> Vec<(u64, u64)> {
    let writes = plan.writes.iter();
    let mut extents: Vec<_> = writes
        .map(|write| (write.offset, write.offset + write.bytes.len() as u64))
        .collect();
    extents.sort_unstable();
    extents
}

/// A partition, for who wants to look into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number in the table.
    pub number: u32,
    /// Its first byte on the disk.
    pub start: u64,
    /// The first byte after it.
    pub end: u64,
    /// Its own id in a GUID table, as it lies there.
    pub id: Option<[u8; 16]>,
    /// Its name in a GUID table, where it has one.
    pub name: Option<String>,
    /// It holds the firmware's boot programs.
    pub is_esp: bool,
}

/// The partitions of a disk whose first bytes these are; none where the table is not understood. Partitions inside an
/// extended one are not looked for.
#[must_use]
pub fn partitions(head: &[u8], target: Target) -> Vec<Partition> {
    let mut found = if mbr::is_protective(head) {
        gpt::Table::parse(head, target).map_or_else(Vec::new, |table| table.list(target))
    } else if mbr::is_table(head) {
        mbr::list(head, target)
    } else {
        Vec::new()
    };
    found.retain(|part| part.start < part.end && part.end <= target.bytes);
    found
}

/// What is to be done to a table.
struct Order {
    grow: bool,
    partition_id: [u8; 16],
    volume: Option<Vec<u8>>,
}

/// Partitions and free room, in sectors; ends are the first sector after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    start: u64,
    end: u64,
}

/// The last place for `len` sectors between `first` and `end` that no partition has, aligned.
fn last_room(used: &[Extent], first: u64, end: u64, len: u64, align: u64) -> Option<u64> {
    let mut used: Vec<_> = used.to_vec();
    used.sort_by_key(|extent| std::cmp::Reverse(extent.end));
    let mut ceiling = end;
    let floors = used.iter().map(|extent| (extent.end, extent.start));
    for (floor, next_ceiling) in floors.chain([(first, first)]) {
        let start = ceiling.checked_sub(len).map(|start| start / align * align);
        if let Some(start) = start.filter(|start| *start >= floor.max(first)) {
            return Some(start);
        }
        ceiling = ceiling.min(next_ceiling);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(used: &[(u64, u64)], len: u64) -> Option<u64> {
        let used: Vec<_> = used
            .iter()
            .map(|&(start, end)| Extent { start, end })
            .collect();
        last_room(&used, 10, 100, len, 10)
    }

    #[test]
    fn room_is_found_at_the_end_or_in_the_last_gap_that_is_wide_enough() {
        assert_eq!(room(&[], 15), Some(80));
        assert_eq!(room(&[(10, 50)], 15), Some(80));
        assert_eq!(room(&[(10, 50), (90, 100)], 15), Some(70));
        assert_eq!(room(&[(70, 100), (10, 50)], 15), Some(50));
        assert_eq!(room(&[(70, 100), (10, 60)], 15), None);
        assert_eq!(room(&[(40, 100), (10, 20)], 20), Some(20));
        assert_eq!(room(&[(30, 100)], 20), Some(10));
        assert_eq!(room(&[], 95), None);
    }

    #[test]
    fn a_disk_without_a_table_is_left_alone_and_asking_for_more_is_refused() {
        let head = vec![7; 1 << 20];
        let target = Target {
            bytes: 64 << 20,
            sector_size: 512,
        };
        let wish = Wish {
            grow: false,
            provision: &[],
            partition_id: [1; 16],
            stale: &[],
        };
        let plan_of = |wish: &Wish<'_>| plan(&head, target, wish);
        let untouched = plan_of(&wish).unwrap();
        assert_eq!((untouched.head, untouched.writes.len()), (head.clone(), 0));
        let grow = Wish { grow: true, ..wish };
        assert_eq!(plan_of(&grow), Err(EditError::NoTable));
        let provision = Wish {
            provision: &[("user-data", b"x")],
            ..wish
        };
        assert_eq!(plan_of(&provision), Err(EditError::NoTable));
    }
}
