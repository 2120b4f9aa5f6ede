//! Which parts of an image are written when. The two ends of a disk hold what firmware boots by, the partition table and
//! its backup: they are wiped first and written last, so that half an image never boots.

use image::{Manifest, Piece};

use super::disk::Geometry;

/// Each end is at least so long: both tables, and boot programs in front of the first partition.
pub(super) const END_BYTES: u64 = 1 << 20;

/// The parts of a disk, in whole chunks of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// The disk's.
    pub(super) geometry: Geometry,
    /// The image's bytes.
    pub(super) size: u64,
    /// The head ends here.
    pub(super) head_end: u64,
    /// The image's tail starts here; its size when the image ends far from the disk's end.
    pub(super) tail_start: u64,
    /// From here to the disk's end everything is wiped first.
    pub(super) wipe_start: u64,
}

impl Layout {
    pub(super) fn of(manifest: &Manifest, geometry: Geometry) -> Self {
        let (size, chunk) = (manifest.size(), manifest.chunk_size().bytes());
        let head_end = END_BYTES.next_multiple_of(chunk).min(size);
        let wipe_start = geometry.bytes.saturating_sub(END_BYTES).max(head_end);
        let tail_start = (wipe_start / chunk * chunk).max(head_end).min(size);
        Self {
            geometry,
            size,
            head_end,
            tail_start,
            wipe_start,
        }
    }

    /// Written in the end, from memory.
    pub(super) fn is_end(&self, piece: &Piece) -> bool {
        piece.offset < self.head_end || piece.offset >= self.tail_start
    }

    /// Bytes between the ends.
    pub(super) fn middle_bytes(&self) -> u64 {
        self.tail_start - self.head_end
    }
}

/// One bit for each piece of an image.
#[derive(Debug, Clone)]
pub(super) struct PieceSet(Vec<u64>);

impl PieceSet {
    /// All of `count` pieces, or none.
    pub(super) fn new(count: u64, all: bool) -> Self {
        let words = usize::try_from(count.div_ceil(64)).expect("at most MAX_CHUNKS");
        Self(vec![if all { u64::MAX } else { 0 }; words])
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    pub(super) fn insert(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Builder, ChunkSize};

    fn layout(size_kib: u64, disk_kib: u64, chunk_kib: u32) -> Layout {
        let chunk = ChunkSize::try_from(chunk_kib << 10).unwrap();
        let mut builder = Builder::new(512, chunk).unwrap();
        builder.push_holes((size_kib << 10).div_ceil(chunk.bytes()));
        let geometry = Geometry {
            bytes: disk_kib << 10,
            sector_size: 512,
        };
        Layout::of(&builder.finish(size_kib << 10).unwrap(), geometry)
    }

    #[test]
    fn ends_cover_the_first_and_the_last_mebibyte_of_the_disk() {
        let row = |size, disk, chunk| {
            let l = layout(size, disk, chunk);
            (l.head_end >> 10, l.tail_start >> 10, l.wipe_start >> 10)
        };
        assert_eq!(row(8192, 8192, 64), (1024, 7168, 7168));
        assert_eq!(row(8000, 8192, 64), (1024, 7168, 7168));
        assert_eq!(row(7000, 8192, 64), (1024, 7000, 7168));
        assert_eq!(row(8000, 8000, 1024), (1024, 6144, 6976));
        assert_eq!(row(8192, 8192, 4096), (4096, 4096, 7168));
        assert_eq!(row(512, 1024, 64), (512, 512, 512));
        assert_eq!(row(100, 100, 64), (100, 100, 100));
    }
}
