//! The manifest: an image as a list of chunks and holes.
//!
//! [`Builder`] puts one together; `bytes` reads and writes it.

mod builder;
mod bytes;

use crate::{ChunkId, ChunkSize};

pub use builder::Builder;
pub(crate) use bytes::most_bytes;

/// Chunks of one image, holes included: 16 TiB in chunks of 4 MiB, and a manifest of at most 128 MiB.
pub const MAX_CHUNKS: u64 = 1 << 22;

/// Bytes of a manifest that a controller takes from others: a million chunks that hold data. It is in memory several times
/// while it is checked.
pub const MAX_MANIFEST_BYTES: u64 = 32 << 20;

/// Neighbouring chunks that hold data.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    first: u32,
    ids: Vec<ChunkId>,
}

impl Run {
    fn end(&self) -> u64 {
        u64::from(self.first) + self.ids.len() as u64
    }
}

/// An image: what is in each chunk of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    size: u64,
    sector_size: u32,
    chunk_size: ChunkSize,
    runs: Vec<Run>,
}

/// Some bytes of the disk, one chunk long or, at the end, less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Where it starts on the disk, bytes.
    pub offset: u64,
    /// How many bytes.
    pub len: u32,
    /// What is there; `None`: zeros.
    pub id: Option<ChunkId>,
}

/// Why bytes are no manifest, or an image cannot have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not a manifest, or cut short, or longer than it says.
    #[error("this is not an image manifest, or it was cut short")]
    Malformed,
    /// A sector size other than 512 or 4096 bytes.
    #[error("the image's sector size is {0}; disks have 512 or 4096")]
    SectorSize(u32),
    /// A size that is no multiple of the sector size, or zero.
    #[error("the image's size, {0} bytes, is not a whole number of sectors")]
    Size(u64),
    /// A chunk size nobody uses.
    #[error("the manifest's chunk size is not one of ours")]
    ChunkSize,
    /// More than [`MAX_CHUNKS`].
    #[error("an image of {0} bytes has too many chunks; use larger ones")]
    TooLarge(u64),
    /// Runs that overlap, touch, are empty, or lie past the end.
    #[error("the manifest contradicts itself")]
    Contradiction,
}

impl Manifest {
    /// Bytes of the disk.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of a sector of the disk the image was made for: 512 or 4096.
    #[must_use]
    pub fn sector_size(&self) -> u32 {
        self.sector_size
    }

    /// Bytes of each chunk but the last.
    #[must_use]
    pub fn chunk_size(&self) -> ChunkSize {
        self.chunk_size
    }

    /// How many pieces there are, holes included.
    #[must_use]
    pub fn pieces_len(&self) -> u64 {
        self.size.div_ceil(self.chunk_size.bytes())
    }

    /// Every piece in order, holes as pieces of chunk size.
    pub fn pieces(&self) -> impl Iterator<Item = Piece> + '_ {
        let mut runs = self.runs.iter().peekable();
        (0..self.pieces_len()).map(move |index| {
            while runs.next_if(|run| run.end() <= index).is_some() {}
            let id = runs.peek().and_then(|run| {
                let at = index.checked_sub(u64::from(run.first))?;
                run.ids.get(usize::try_from(at).ok()?).copied()
            });
            self.piece(index, id)
        })
    }

    /// The pieces that hold data, in order.
    pub fn data(&self) -> impl Iterator<Item = Piece> + '_ {
        self.runs.iter().flat_map(move |run| {
            (u64::from(run.first)..)
                .zip(&run.ids)
                .map(|(index, id)| self.piece(index, Some(*id)))
        })
    }

    /// The piece at this place among [`pieces`](Self::pieces), found without walking there.
    #[must_use]
    pub fn piece_at(&self, index: u64) -> Option<Piece> {
        if index >= self.pieces_len() {
            return None;
        }
        let after = self.runs.partition_point(|run| run.end() <= index);
        let id = self.runs.get(after).and_then(|run| {
            let at = index.checked_sub(u64::from(run.first))?;
            run.ids.get(usize::try_from(at).ok()?).copied()
        });
        Some(self.piece(index, id))
    }

    /// How many pieces hold data.
    #[must_use]
    pub fn data_len(&self) -> u64 {
        self.runs.iter().map(|run| run.ids.len() as u64).sum()
    }

    /// Bytes that hold data.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.data().map(|piece| u64::from(piece.len)).sum()
    }

    fn piece(&self, index: u64, id: Option<ChunkId>) -> Piece {
        let offset = index * self.chunk_size.bytes();
        let len = self.chunk_size.bytes().min(self.size - offset);
        Piece {
            offset,
            len: u32::try_from(len).expect("at most a chunk"),
            id,
        }
    }
}

fn check_size(size: u64, sector_size: u32, chunk_size: ChunkSize) -> Result<(), ManifestError> {
    if size == 0 || !size.is_multiple_of(u64::from(sector_size)) {
        return Err(ManifestError::Size(size));
    }
    if size.div_ceil(chunk_size.bytes()) > MAX_CHUNKS {
        return Err(ManifestError::TooLarge(size));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        bytes::{HEAD, MAGIC, RUN_HEAD},
        *,
    };

    fn id(n: u8) -> ChunkId {
        ChunkId::of(&[n])
    }

    fn build(pieces: &[Option<ChunkId>], size: u64) -> Manifest {
        let mut builder = Builder::new(512, ChunkSize::try_from(64 << 10).unwrap()).unwrap();
        pieces.iter().for_each(|id| builder.push(*id));
        builder.finish(size).unwrap()
    }

    #[test]
    fn pieces_come_back_in_order_with_their_offsets_and_the_last_one_short() {
        let manifest = build(
            &[Some(id(1)), None, Some(id(2)), Some(id(1))],
            (192 << 10) + 512,
        );
        let expected = [
            (0, 65_536, Some(id(1))),
            (65_536, 65_536, None),
            (131_072, 65_536, Some(id(2))),
            (196_608, 512, Some(id(1))),
        ];
        let pieces: Vec<_> = manifest.pieces().map(|p| (p.offset, p.len, p.id)).collect();
        assert_eq!(pieces, expected);
        let data: Vec<_> = manifest.data().map(|p| p.offset).collect();
        assert_eq!(data, [0, 131_072, 196_608]);
        assert_eq!(manifest.data_bytes(), 131_072 + 512);
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let good = build(&[Some(id(1)), None, Some(id(2))], 192 << 10).encode();
        assert!(Manifest::parse(&good).is_ok());
        assert_eq!(
            Manifest::parse(&good[..good.len() - 1]),
            Err(ManifestError::Malformed)
        );
        let longer = [&good[..], &[0]].concat();
        assert_eq!(Manifest::parse(&longer), Err(ManifestError::Malformed));
        // The second run starts where the first ended: two texts for one image.
        let mut touching = good.clone();
        touching[HEAD + RUN_HEAD + 32] = 1;
        assert_eq!(
            Manifest::parse(&touching),
            Err(ManifestError::Contradiction)
        );
        let mut past = good.clone();
        past[HEAD + RUN_HEAD + 32] = 3;
        assert_eq!(Manifest::parse(&past), Err(ManifestError::Contradiction));
        let mut huge = good;
        huge[8..16].copy_from_slice(&(u64::MAX - 511).to_le_bytes());
        assert!(matches!(
            Manifest::parse(&huge),
            Err(ManifestError::TooLarge(_))
        ));
    }

    proptest! {
        #[test]
        fn encoding_and_parsing_are_inverse(pieces in proptest::collection::vec(proptest::option::of(any::<u8>()), 1..200), last in 1_u64..=128) {
            let ids: Vec<_> = pieces.iter().map(|n| n.map(id)).collect();
            let size = (ids.len() as u64 - 1) * (64 << 10) + last * 512;
            let manifest = build(&ids, size);
            prop_assert_eq!(Manifest::parse(&manifest.encode()).unwrap(), manifest.clone());
            prop_assert_eq!(manifest.pieces().map(|p| p.id).collect::<Vec<_>>(), ids);
            prop_assert_eq!(manifest.encode().len(), manifest.encoded_len());
            let found: Vec<_> = (0..).map_while(|index| manifest.piece_at(index)).collect();
            prop_assert_eq!(found, manifest.pieces().collect::<Vec<_>>());
        }

        #[test]
        fn parsing_arbitrary_bytes_never_panics(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _any = Manifest::parse(&tail);
            let _any = Manifest::parse(&[MAGIC, &tail[..]].concat());
        }
    }
}
