//! The mark in the first sector of a disk that is being written: no firmware takes it for a boot sector, and who comes
//! back after a power cut knows whose work it is.

use image::ChunkId;

const START: &str = "ENFORCER WRITING ";

/// Whose work is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// The job.
    pub(super) job: u64,
    /// The image's manifest.
    pub(super) image: ChunkId,
}

impl Mark {
    /// Writes it into a sector of zeros.
    pub(super) fn put(&self, sector: &mut [u8]) {
        let text = format!("{START}{} {}\n", self.job, self.image);
        sector[..text.len()].copy_from_slice(text.as_bytes());
    }

    /// Reads it from a disk's first sector.
    pub(super) fn find(sector: &[u8]) -> Option<Self> {
        let line = sector.split(|byte| *byte == b'\n').next()?;
        let text = str::from_utf8(line).ok()?.strip_prefix(START)?;
        let (job, image) = text.split_once(' ')?;
        Some(Self {
            job: job.parse().ok()?,
            image: image.parse().ok()?,
        })
    }
}

#[test]
fn a_mark_is_found_again_and_is_no_boot_sector() {
    let mark = Mark {
        job: u64::MAX,
        image: ChunkId::of(b"x"),
    };
    let mut sector = [0; 512];
    assert_eq!(Mark::find(&sector), None);
    mark.put(&mut sector);
    assert_eq!(Mark::find(&sector), Some(mark));
    assert_ne!(sector[510..], [0x55, 0xAA]);
    sector[0] = b'X';
    assert_eq!(Mark::find(&sector), None);
}
