//! Which bytes of a disk its file systems use, as far as anybody says: what they do not use is not worth saving.

use std::ops::Range;

/// Stretches of a disk whose content nobody will miss; ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unused(Vec<Range<u64>>);

impl Unused {
    /// Adds the unused stretches of one partition that starts at `start`.
    pub fn add(&mut self, start: u64, stretches: &[Range<u64>]) {
        let moved = stretches.iter().map(|s| start + s.start..start + s.end);
        self.0.extend(moved.filter(|s| s.start < s.end));
        self.0.sort_by_key(|stretch| stretch.start);
    }

    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(|s| s.end - s.start).sum()
    }

    /// Whether nobody uses any of these bytes: they need not even be read.
    #[must_use]
    pub fn covers(&self, range: &Range<u64>) -> bool {
        self.touching(range)
            .any(|s| s.start <= range.start && s.end >= range.end)
    }

    /// Makes what is unused of these bytes of the disk zeros.
    pub fn blank(&self, offset: u64, bytes: &mut [u8]) {
        let range = offset..offset + bytes.len() as u64;
        for stretch in self.touching(&range) {
            let at = |place: u64| usize::try_from(place.clamp(range.start, range.end) - offset);
            if let (Ok(from), Ok(to)) = (at(stretch.start), at(stretch.end)) {
                bytes[from..to].fill(0);
            }
        }
    }

    fn touching(&self, range: &Range<u64>) -> impl Iterator<Item = &Range<u64>> {
        let first = self.0.partition_point(|stretch| stretch.end <= range.start);
        let end = range.end;
        self.0[first..]
            .iter()
            .take_while(move |stretch| stretch.start < end)
    }
}

/// The unused stretches in a domain log of partclone (`-D`, GNU ddrescue's format): lines of position, size and `+` or
/// `?`, in hexadecimal. `None` when the text is anything else: then everything counts as used.
#[must_use]
pub fn parse_domain(text: &str) -> Option<Vec<Range<u64>>> {
    let number = |word: &str| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok();
    let mut lines = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    // The first line is where a rescue would go on.
    lines.next()?;
    let mut unused = Vec::new();
    let mut expected = 0;
    for line in lines {
        let words: Vec<_> = line.split_whitespace().collect();
        let [position, size, status] = words[..] else {
            return None;
        };
        let (start, size) = (number(position)?, number(size)?);
        let end = start.checked_add(size)?;
        // A map with gaps or overlaps is not one to leave data out by.
        if start != expected {
            return None;
        }
        expected = end;
        match status {
            "+" => {}
            "?" => unused.push(start..end),
            _ => return None,
        }
    }
    (expected > 0).then_some(unused)
}

/// File systems that partclone has a map for, by what lies at the start of their partition (its first 128 KiB).
#[must_use]
pub fn file_system(start: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| {
        start
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(magic))
    };
    let table = [
        (1080, &b"\x53\xEF"[..], "extfs"),
        (0, b"XFSB", "xfs"),
        (0x10040, b"_BHRfS_M", "btrfs"),
        (3, b"NTFS    ", "ntfs"),
        (3, b"EXFAT   ", "exfat"),
        (82, b"FAT32   ", "fat"),
        (54, b"FAT16   ", "fat"),
        (54, b"FAT12   ", "fat"),
        (1024, b"\x10\x20\xF5\xF2", "f2fs"),
    ];
    table
        .into_iter()
        .find(|(offset, magic, _)| at(*offset, magic))
        .map(|row| row.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "# Domain logfile created by unset_name v0.3.23\n# Source: e.img\n# Offset: 0x00000000\n# current_pos  current_status\n0x00001000     ?\n#      pos        size  status\n0x00000000  0x00000400  +\n0x00000400  0x00000800  ?\n0x00000C00  0x00000400  +\n";

    #[test]
    fn a_map_is_read_and_a_map_with_holes_is_not_believed() {
        let stretches = |log: &str| {
            Some(
                parse_domain(log)?
                    .iter()
                    .map(|s| (s.start, s.end))
                    .collect(),
            )
        };
        assert_eq!(stretches(LOG), Some(vec![(0x400, 0xC00)]));
        assert_eq!(
            parse_domain(&LOG.replace("0x00000800  ?", "0x00000700  ?")),
            None
        );
        assert_eq!(parse_domain(&LOG.replace('+', "-")), None);
        assert_eq!(parse_domain("Target cannot be opened"), None);
        assert_eq!(parse_domain(""), None);
    }

    #[test]
    fn unused_bytes_become_zeros_and_no_others() {
        let mut unused = Unused::default();
        unused.add(1000, &[50..60, 10..20]);
        unused.add(0, &[5..7, 8..8]);
        assert_eq!(unused.bytes(), 22);
        let mut bytes = [1; 8];
        unused.blank(1007, &mut bytes);
        assert_eq!(bytes, [1, 1, 1, 0, 0, 0, 0, 0]);
        assert!(unused.covers(&(1010..1020)) && !unused.covers(&(1010..1021)));
        let mut bytes = [1; 100];
        unused.blank(980, &mut bytes);
        assert_eq!(bytes.iter().filter(|b| **b == 0).count(), 20);
    }
}
