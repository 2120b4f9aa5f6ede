//! The disk itself as a source: a chunk that an image has at several places travels once.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use image::{ChunkId, Manifest, Piece};

use super::disk::{Buffer, Disk};
use super::fault::Fault;
use super::lanes::lock;
use super::layout::{Layout, PieceSet};

/// Larger images are not searched for chunks that repeat: 32 bytes for each is all that a small machine has to spare.
const MOST_CHUNKS: u64 = 1 << 19;

/// Where chunks that are needed more than once lie on the disk.
pub(super) struct OwnDisk {
    repeated: HashSet<ChunkId>,
    places: Mutex<HashMap<ChunkId, u64>>,
}

impl OwnDisk {
    /// Knows the pieces that are right.
    pub(super) fn new(manifest: &Manifest, layout: &Layout, right: &PieceSet) -> Self {
        let own = Self {
            repeated: repeated(manifest),
            places: Mutex::default(),
        };
        if !own.repeated.is_empty() {
            let pieces = manifest.pieces().enumerate();
            let right = pieces.filter(|(n, piece)| !layout.is_end(piece) && right.contains(*n));
            right.for_each(|(_, piece)| own.learn(&piece));
        }
        own
    }

    /// This piece is on the disk now.
    pub(super) fn learn(&self, piece: &Piece) {
        if let Some(id) = piece.id.filter(|id| self.repeated.contains(id)) {
            lock(&self.places).entry(id).or_insert(piece.offset);
        }
    }

    /// The chunk's bytes, when it is on the disk and right there.
    pub(super) fn read<'a>(
        &self,
        disk: &dyn Disk,
        id: ChunkId,
        len: u32,
        buffer: &'a mut Buffer,
    ) -> Result<Option<&'a [u8]>, Fault> {
        let Some(offset) = lock(&self.places).get(&id).copied() else {
            return Ok(None);
        };
        let bytes = &mut buffer[..len as usize];
        disk.read(offset, bytes)
            .map_err(Fault::disk("reading", offset, len.into()))?;
        Ok((ChunkId::of(bytes) == id).then_some(&*bytes))
    }
}

fn repeated(manifest: &Manifest) -> HashSet<ChunkId> {
    if manifest.data_len() > MOST_CHUNKS {
        return HashSet::new();
    }
    let mut ids: Vec<_> = manifest.data().filter_map(|piece| piece.id).collect();
    ids.sort_unstable();
    let twice = ids.windows(2).filter(|pair| pair[0] == pair[1]);
    twice.map(|pair| pair[0]).collect()
}
