//! Bringing an image in: *have?*, *put*, *save*. What a session relies on, garbage collection leaves alone.

use std::{fs::File, sync::Arc};

use image::{ChunkId, ChunkSize, Manifest, parcel::Form};

use crate::{
    ChunkStore, Packed, Result, StoreError,
    pack::{self, read_head},
    pins::Pins,
};

/// Someone brings in an image: an upload, a capture. Clones are the same session; it ends with the last of them.
///
/// Ending it without a [`save`](Self::save), or before the saved version is written down as one, leaves chunks that the next
/// collection takes.
#[derive(Debug, Clone)]
pub struct Session {
    store: ChunkStore,
    live: Arc<Live>,
}

/// Takes its pins out of the registry when the last clone goes.
#[derive(Debug)]
struct Live {
    store: ChunkStore,
    pins: Arc<Pins>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.store.inner.registry.close(&self.pins);
    }
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is new and takes so many bytes on the disk.
    New {
        /// Bytes of its file.
        stored_bytes: u64,
    },
    /// The store had it.
    Known,
}

impl Session {
    pub(crate) fn new(store: ChunkStore) -> Self {
        let pins = store.inner.registry.open();
        let live = Arc::new(Live {
            store: store.clone(),
            pins,
        });
        Self { store, live }
    }

    /// The store it brings things into.
    #[must_use]
    pub fn store(&self) -> &ChunkStore {
        &self.store
    }

    /// Which of these chunks are there, in their order. Those stay for as long as the session lives.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn has(&self, ids: &[ChunkId]) -> Result<Vec<bool>> {
        let inner = &self.store.inner;
        ids.iter()
            .map(|id| inner.pin_if_there(&inner.books(), &self.live.pins, *id))
            .collect()
    }

    /// Stores a chunk given as it is on the disk.
    ///
    /// # Errors
    /// When its bytes are not `id`, or there is no room.
    pub fn put(&self, id: ChunkId, plain: &[u8]) -> Result<Put> {
        if plain.is_empty() || plain.len() > ChunkSize::MAX as usize {
            return Err(StoreError::Unpack(id));
        }
        match ChunkId::of(plain) {
            actual if actual == id => self.put_checked(id, plain),
            actual => Err(StoreError::WrongChunk {
                claimed: id,
                actual,
            }),
        }
    }

    /// Stores a chunk as it came over the wire. A zstd frame is unpacked to check it, and stored as it came; it must be one
    /// frame that says its content's size and uses no dictionary.
    ///
    /// # Errors
    /// When it does not unpack to `id`, or there is no room.
    pub fn put_parcel(&self, id: ChunkId, form: Form, content: &[u8]) -> Result<Put> {
        let inner = &self.store.inner;
        inner.with_packer(|packer| {
            let (plain, packer) = packer.unpack(id, form, content)?;
            if form != Form::Zstd || content.len() >= plain.len() {
                return match self.known(id)? {
                    true => Ok(Put::Known),
                    false => self.add(&packer.pack(id, plain)),
                };
            }
            let plain_len = u32::try_from(plain.len()).expect("unpacked to at most a chunk");
            self.add(&Packed {
                id,
                form,
                plain_len,
                content,
            })
        })
    }

    /// Stores a chunk whose id the caller has just computed.
    pub(crate) fn put_checked(&self, id: ChunkId, plain: &[u8]) -> Result<Put> {
        if self.known(id)? {
            return Ok(Put::Known);
        }
        let inner = &self.store.inner;
        inner.with_packer(|packer| self.add(&packer.packing.pack(id, plain)))
    }

    fn known(&self, id: ChunkId) -> Result<bool> {
        let inner = &self.store.inner;
        inner.pin_if_there(&inner.books(), &self.live.pins, id)
    }

    fn add(&self, packed: &Packed<impl AsRef<[u8]>>) -> Result<Put> {
        let stored_bytes = (pack::HEAD_BYTES + packed.content.as_ref().len()) as u64;
        let new = self.store.inner.add(&self.live.pins, packed)?;
        Ok(if new {
            Put::New { stored_bytes }
        } else {
            Put::Known
        })
    }

    /// Stores the manifest and returns its digest, when it and all its chunks survive a power cut.
    ///
    /// # Errors
    /// When a chunk is missing or not as long as the manifest says, or there is no room.
    pub fn save(&self, manifest: &Manifest) -> Result<ChunkId> {
        let inner = &self.store.inner;
        let bytes = manifest.encode();
        let digest = ChunkId::of(&bytes);
        self.live.pins.pin(digest);
        self.settle_chunks(manifest)?;
        let tmp = inner.folder.write_tmp(&[&bytes])?;
        let synced = File::open(&tmp).and_then(|file| file.sync_all());
        synced.map_err(StoreError::io("syncing", &tmp))?;
        {
            let _nobody_collects_it_now = inner.books();
            inner.folder.rename(&tmp, &inner.folder.manifest(digest))?;
        }
        inner.folder.sync_manifests()?;
        Ok(digest)
    }

    /// Every chunk is there and on the medium.
    fn settle_chunks(&self, manifest: &Manifest) -> Result<()> {
        let inner = &self.store.inner;
        loop {
            let before = inner.losses();
            self.check_chunks(manifest)?;
            inner.settle()?;
            // A sync beside this one may have failed, and taken along what was there a moment ago.
            if inner.losses() == before {
                return Ok(());
            }
        }
    }

    /// Every chunk is there, as long as it should be, and stays.
    fn check_chunks(&self, manifest: &Manifest) -> Result<()> {
        let mut first_missing = None;
        let mut missing = 0;
        for piece in manifest.data() {
            let Some(id) = piece.id else { continue };
            self.live.pins.pin(id);
            match self.plain_len(id)? {
                Some(actual) if actual == piece.len => {}
                Some(actual) => {
                    return Err(StoreError::LyingManifest {
                        id,
                        said: piece.len,
                        actual,
                    });
                }
                None => {
                    missing += 1;
                    first_missing.get_or_insert(id);
                }
            }
        }
        first_missing.map_or(Ok(()), |first| Err(StoreError::Missing { first, missing }))
    }

    fn plain_len(&self, id: ChunkId) -> Result<Option<u32>> {
        // Under the lock: a collection that has found it unpinned must have removed it, or not looked yet.
        let _books = self.store.inner.books();
        let Some((_file, head)) = self.store.inner.open_chunk(id)? else {
            return Ok(None);
        };
        read_head(id, &head).map(|(_form, len)| Some(len))
    }
}
