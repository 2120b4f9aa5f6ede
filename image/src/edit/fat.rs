//! A small FAT12 volume named `cidata`, as cloud-init's NoCloud source looks for it: every system can read it, and it
//! needs nothing of the machine that writes it.

use std::collections::HashSet;

/// The volume is at least so large: beginnings and lengths of partitions are whole MiB.
const STEP_BYTES: usize = 1 << 20;
/// Files of one machine's provisioning; more belongs onto a server.
const MAX_CONTENT_BYTES: usize = 16 << 20;
/// No volume of ours is larger: the content, and room for tables and half-filled clusters.
pub const MAX_VOLUME_BYTES: u64 = 32 << 20;
/// FAT12 ends at 4084 clusters (Microsoft's specification, "FAT type determination"); stay well below.
const MAX_CLUSTERS: usize = 4000;
/// The root directory's place: room for a dozen files with long names.
const ROOT_ENTRIES: usize = 128;
const ENTRY: usize = 32;
/// "Who made it", in the boot sector.
const MAKER: [u8; 8] = *b"ENFORCER";
/// Two copies of the table: some readers insist.
const TABLES: usize = 2;
/// UTF-16 letters in one entry of a long name.
const NAME_PART: usize = 13;
const MAX_NAME: usize = 64;
/// The volume's label, in its boot sector and root directory; `blkid` shows it, cloud-init compares without case.
const LABEL: [u8; 11] = *b"CIDATA     ";
/// "Fixed disk", in boot sector and table.
const MEDIA: u8 = 0xF8;
const END_OF_CHAIN: u16 = 0xFFF;

/// Why files cannot be put onto a volume.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FatError {
    /// A name that FAT, or cloud-init, has no use for.
    #[error(
        "`{0}` is no file name: use letters, digits, `.`, `_` and `-`, at most {MAX_NAME}, each name once"
    )]
    Name(String),
    /// Too much.
    #[error("they are {0} bytes in all; the limit is {MAX_CONTENT_BYTES}")]
    TooMuch(usize),
    /// Too many files.
    #[error("there are too many of them")]
    TooMany,
}

/// Where things are, all in bytes.
struct Shape {
    sector: usize,
    cluster: usize,
    table: usize,
    total: usize,
}

impl Shape {
    fn of(sector: usize, content: &[usize]) -> Self {
        let mut cluster = sector.max(2048);
        loop {
            let needed: usize = content.iter().map(|len| len.div_ceil(cluster)).sum();
            let fixed =
                4 * sector + ROOT_ENTRIES * ENTRY + TABLES * (MAX_CLUSTERS * 3 / 2 + sector);
            let total = (fixed + needed * cluster)
                .next_multiple_of(STEP_BYTES)
                .max(4 * STEP_BYTES);
            if total / cluster <= MAX_CLUSTERS {
                let table = ((total / cluster + 2) * 3)
                    .div_ceil(2)
                    .next_multiple_of(sector);
                return Self {
                    sector,
                    cluster,
                    table,
                    total,
                };
            }
            cluster *= 2;
        }
    }

    fn root(&self) -> usize {
        self.sector + TABLES * self.table
    }

    fn data(&self) -> usize {
        self.root() + ROOT_ENTRIES * ENTRY
    }
}

/// The volume's bytes: a whole number of MiB.
pub(super) fn volume(
    sector_size: u32,
    id: [u8; 16],
    files: &[(&str, &[u8])],
) -> Result<Vec<u8>, FatError> {
    check(files)?;
    let sector = usize::try_from(sector_size).expect("512 or 4096");
    let lens: Vec<_> = files.iter().map(|(_, content)| content.len()).collect();
    let shape = Shape::of(sector, &lens);
    let mut bytes = vec![0; shape.total];
    boot_sector(&shape, id, &mut bytes);
    let mut table = vec![0xF00 | u16::from(MEDIA), END_OF_CHAIN];
    let mut root = Vec::new();
    root.extend(short_entry(LABEL, 0x08, 0, 0));
    for (number, (name, content)) in files.iter().enumerate() {
        let clusters = content.len().div_ceil(shape.cluster);
        let first = table.len();
        if clusters > 0 {
            table.extend(
                (first + 1..first + clusters).map(|next| u16::try_from(next).expect("FAT12")),
            );
            table.push(END_OF_CHAIN);
            let at = shape.data() + (first - 2) * shape.cluster;
            bytes[at..at + content.len()].copy_from_slice(content);
        }
        let first = if clusters > 0 { first } else { 0 };
        directory_entries(name, number, first, content.len(), &mut root);
    }
    if root.len() > ROOT_ENTRIES * ENTRY {
        return Err(FatError::TooMany);
    }
    bytes[shape.root()..shape.root() + root.len()].copy_from_slice(&root);
    let packed = pack(&table);
    for copy in 0..TABLES {
        let at = shape.sector + copy * shape.table;
        bytes[at..at + packed.len()].copy_from_slice(&packed);
    }
    Ok(bytes)
}

/// Whether a volume that starts with these bytes is one that [`plan`](super::plan) made.
#[must_use]
pub fn is_provision(start: &[u8]) -> bool {
    start.get(3..11) == Some(&MAKER) && start.get(43..54) == Some(&LABEL)
}

fn check(files: &[(&str, &[u8])]) -> Result<(), FatError> {
    let mut seen = HashSet::new();
    for (name, _) in files {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let plain = !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(is_plain);
        let dots = name.starts_with('.') || name.ends_with('.');
        if !plain || dots || !seen.insert(name.to_ascii_lowercase()) {
            return Err(FatError::Name((*name).to_owned()));
        }
    }
    let total = files.iter().map(|(_, content)| content.len()).sum();
    if total > MAX_CONTENT_BYTES {
        return Err(FatError::TooMuch(total));
    }
    Ok(())
}

fn boot_sector(shape: &Shape, id: [u8; 16], bytes: &mut [u8]) {
    let word = |number: usize| {
        u16::try_from(number)
            .expect("FAT12's numbers are small")
            .to_le_bytes()
    };
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &[0xEB, 0x3C, 0x90]);
    put(3, &MAKER);
    put(11, &word(shape.sector));
    put(
        13,
        &[u8::try_from(shape.cluster / shape.sector).expect("at most 128")],
    );
    put(14, &word(1));
    put(16, &[2]);
    put(17, &word(ROOT_ENTRIES));
    let sectors = shape.total / shape.sector;
    match u16::try_from(sectors) {
        Ok(small) => put(19, &small.to_le_bytes()),
        Err(_) => put(32, &u32::try_from(sectors).expect("some MiB").to_le_bytes()),
    }
    put(21, &[MEDIA]);
    put(22, &word(shape.table / shape.sector));
    put(24, &word(63));
    put(26, &word(255));
    put(36, &[0x80, 0, 0x29]);
    put(39, &id[..4]);
    put(43, &LABEL);
    put(54, b"FAT12   ");
    put(510, &[0x55, 0xAA]);
}

/// A long name's parts, last one first, then the short entry they belong to.
fn directory_entries(name: &str, number: usize, first: usize, len: usize, root: &mut Vec<u8>) {
    let mut short = *b"FILE~00    ";
    short[5] = b'A' + u8::try_from(number / 10 % 26).expect("below 26");
    short[6] = b'0' + u8::try_from(number % 10).expect("a digit");
    let sum = short
        .iter()
        .fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let letters: Vec<u16> = name.encode_utf16().collect();
    let parts = letters.chunks(NAME_PART).enumerate();
    let count = letters.len().div_ceil(NAME_PART);
    for (index, part) in parts.rev() {
        let mut entry = [0; ENTRY];
        let last = if index + 1 == count { 0x40 } else { 0 };
        entry[0] = u8::try_from(index + 1).expect("a short name") | last;
        (entry[11], entry[13]) = (0x0F, sum);
        let places = (1..11).chain(14..26).chain(28..32).step_by(2);
        // `step_by` over the three ranges keeps its step: each of them is even.
        let padded = part
            .iter()
            .copied()
            .chain([0])
            .chain(std::iter::repeat(0xFFFF));
        for (at, unit) in places.zip(padded) {
            entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        root.extend(entry);
    }
    root.extend(short_entry(short, 0x20, first, len));
}

fn short_entry(name: [u8; 11], attributes: u8, first: usize, len: usize) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    entry[..11].copy_from_slice(&name);
    entry[11] = attributes;
    // 1980-01-01: FAT has no "unknown", and a volume made of the same files is the same volume.
    entry[24] = 0x21;
    entry[26..28].copy_from_slice(&u16::try_from(first).expect("FAT12").to_le_bytes());
    entry[28..32].copy_from_slice(&u32::try_from(len).expect("some MiB").to_le_bytes());
    entry
}

/// Two entries in three bytes.
fn pack(table: &[u16]) -> Vec<u8> {
    let pair = |pair: &[u16]| {
        let (low, high) = (pair[0], pair.get(1).copied().unwrap_or(0));
        let [a, b] = (low | (high << 12)).to_le_bytes();
        [a, b, (high >> 4).to_le_bytes()[0]]
    };
    table.chunks(2).flat_map(pair).collect()
}
