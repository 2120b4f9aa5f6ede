//! A file out of a volume that [`fat`](super::fat) made, or that any other program rewrote as FAT12: for an agent that looks
//! for what its deployment left, before anything is mounted.

/// An entry of a directory, bytes.
const ENTRY: usize = 32;
/// A long name has at most so many entries (255 letters of 13 each).
const MAX_NAME_PARTS: usize = 20;
/// The first number of a cluster that ends a chain.
const END_OF_CHAIN: usize = 0xFF8;

/// Whether the boot sector has the label by which cloud-init looks for a volume: `cidata`, in any case.
#[must_use]
pub fn is_cidata(volume: &[u8]) -> bool {
    let label = volume.get(43..54);
    label.is_some_and(|label| label.eq_ignore_ascii_case(b"cidata     "))
}

/// The content of the file of this name in the root directory; `None` when there is none, or the volume makes no sense.
#[must_use]
pub fn volume_file(volume: &[u8], name: &str) -> Option<Vec<u8>> {
    let shape = Shape::read(volume)?;
    let root = volume.get(shape.root..shape.data)?;
    let mut long = Vec::new();
    for entry in root.chunks_exact(ENTRY) {
        match (entry[0], entry[11]) {
            (0, _) => return None,
            (0xE5, _) => long.clear(),
            // Parts of a long name stand before their file, the last part first.
            (_, 0x0F) if long.len() < MAX_NAME_PARTS => long.push(entry),
            (_, kind) => {
                let is_file = kind & 0x18 == 0;
                if is_file && named(&long, entry).eq_ignore_ascii_case(name) {
                    return shape.content(volume, entry);
                }
                long.clear();
            }
        }
    }
    None
}

/// The long name, or without one the short.
fn named(long: &[&[u8]], entry: &[u8]) -> String {
    if long.is_empty() {
        let part = |range| String::from_utf8_lossy(&entry[range]).trim_end().to_owned();
        let (stem, suffix) = (part(0..8), part(8..11));
        return if suffix.is_empty() {
            stem
        } else {
            format!("{stem}.{suffix}")
        };
    }
    let letters = |part: &&[u8]| {
        let places = [(1, 11), (14, 26), (28, 32)];
        let bytes = places.map(|(from, to)| part[from..to].to_vec()).concat();
        bytes
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect::<Vec<_>>()
    };
    let all: Vec<u16> = long.iter().rev().flat_map(letters).collect();
    let end = all.iter().position(|letter| *letter == 0);
    String::from_utf16_lossy(&all[..end.unwrap_or(all.len())])
}

/// Where things are, all in bytes (Microsoft's FAT specification, "boot sector and BPB").
struct Shape {
    cluster: usize,
    table: usize,
    root: usize,
    data: usize,
}

impl Shape {
    fn read(volume: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(usize::from(u16_at(volume, at)?));
        let sector = word(11)?;
        let cluster = sector.checked_mul(usize::from(*volume.get(13)?))?;
        let table = sector.checked_mul(word(14)?)?;
        let tables = usize::from(*volume.get(16)?).checked_mul(word(22)?.checked_mul(sector)?)?;
        let root = table.checked_add(tables)?;
        let data = root.checked_add(word(17)?.checked_mul(ENTRY)?)?;
        (cluster > 0 && table > 0).then_some(Self {
            cluster,
            table,
            root,
            data,
        })
    }

    /// The clusters of a file, one after the other.
    fn content(&self, volume: &[u8], entry: &[u8]) -> Option<Vec<u8>> {
        let mut at = usize::from(u16_at(entry, 26)?);
        let len = u32::from_le_bytes(*entry.get(28..)?.first_chunk()?);
        let mut left = usize::try_from(len).ok()?;
        // More than the volume has is no length, and a chain that bites its tail would have it.
        if left > volume.len() {
            return None;
        }
        let mut content = Vec::with_capacity(left);
        while left > 0 {
            let taken = left.min(self.cluster);
            let from = self
                .data
                .checked_add(at.checked_sub(2)?.checked_mul(self.cluster)?)?;
            content.extend_from_slice(volume.get(from..from.checked_add(taken)?)?);
            left -= taken;
            at = self.next(volume, at)?;
            if left > 0 && at >= END_OF_CHAIN {
                return None;
            }
        }
        Some(content)
    }

    /// Twelve bits each, two in three bytes.
    fn next(&self, volume: &[u8], cluster: usize) -> Option<usize> {
        let at = self.table.checked_add(cluster.checked_mul(3)? / 2)?;
        let pair = usize::from(u16_at(volume, at)?);
        Some(if cluster.is_multiple_of(2) {
            pair & 0xFFF
        } else {
            pair >> 4
        })
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::super::fat::volume;
    use super::*;

    #[test]
    fn what_was_put_onto_a_volume_is_read_back_from_it() {
        let large: Vec<u8> = (0..50_000u32).map(|n| n.to_le_bytes()[0]).collect();
        let files: [(&str, &[u8]); 4] = [
            ("user-data", b"#cloud-config\n"),
            ("empty", b""),
            ("enforcer-join.json", &large),
            ("Meta-Data", b"x"),
        ];
        for sector in [512, 4096] {
            let volume = volume(sector, [7; 16], &files).unwrap();
            for (name, content) in &files {
                assert_eq!(
                    volume_file(&volume, name).as_deref(),
                    Some(*content),
                    "{name}"
                );
            }
            assert_eq!(
                volume_file(&volume, "meta-data").as_deref(),
                Some(&b"x"[..])
            );
            assert_eq!(volume_file(&volume, "CIDATA"), None, "the label is no file");
        }
    }

    #[test]
    fn bytes_that_are_no_volume_are_nothing() {
        let good = volume(512, [7; 16], &[("enforcer-join.json", &[1; 9000])]).unwrap();
        let root = Shape::read(&good).unwrap().root;
        for damaged in (0..64).chain(root..root + 128) {
            for byte in [0, 1, 0x7F, 0xFF] {
                let mut volume = good.clone();
                volume[damaged] = byte;
                let found = volume_file(&volume, "enforcer-join.json");
                assert!(
                    found.is_none_or(|f| f.len() <= good.len()),
                    "byte {damaged}"
                );
            }
        }
        for len in [0, 11, 63, 512, root] {
            assert_eq!(
                volume_file(&good[..len], "enforcer-join.json"),
                None,
                "{len}"
            );
        }
    }
}
