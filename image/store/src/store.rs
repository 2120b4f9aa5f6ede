//! The store: what is there, what is durable, what it takes.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use image::{ChunkId, Manifest};

use crate::{
    Limits, Packed, Result, Session, StoreError, Usage,
    folder::{Folder, len_of},
    pack::{self, Packer},
    pins::{Pins, Registry},
    settle::Settling,
    space::Held,
};

/// A folder of chunks and manifests. Clones are the same store.
#[derive(Debug, Clone)]
pub struct ChunkStore {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) folder: Folder,
    limits: Limits,
    books: Mutex<Books>,
    pub(crate) registry: Registry,
    pub(crate) settling: Settling,
    /// Held by who collects.
    pub(crate) collecting: Mutex<()>,
    packers: Mutex<Vec<Packer>>,
}

/// What changes together. Whoever holds the lock may rely on it that no chunk comes or goes.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Chunks in `fresh`, with the bytes of their files.
    pub(crate) fresh: HashMap<ChunkId, u64>,
    fresh_bytes: u64,
    held: Option<Held>,
    /// How often fresh chunks had to be given up.
    pub(crate) losses: u64,
}

impl ChunkStore {
    /// Opens the folder, making it when it is not there. What a crash left half written is removed.
    ///
    /// # Errors
    /// When the folder cannot be made, read or written.
    pub fn open(folder: &Path, limits: Limits) -> Result<Self> {
        let inner = Inner {
            folder: Folder::open(folder)?,
            limits,
            books: Mutex::default(),
            registry: Registry::default(),
            settling: Settling::default(),
            collecting: Mutex::default(),
            packers: Mutex::default(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Begins to bring something in.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(self.clone())
    }

    /// A chunk as it is stored, for the wire: checked against its checksum, not unpacked. `None`: it is not there.
    ///
    /// # Errors
    /// When it is damaged or cannot be read.
    pub fn get(&self, id: ChunkId) -> Result<Option<Packed>> {
        self.get_into(id, Vec::new())
    }

    /// The same, into memory that was used before: what the kernel gives anew it clears first, which costs as much as to
    /// read the chunk.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_into(&self, id: ChunkId, mut content: Vec<u8>) -> Result<Option<Packed>> {
        let Some((mut file, head)) = self.inner.open_chunk(id)? else {
            return Ok(None);
        };
        content.clear();
        let path = self.inner.folder.chunk(id);
        file.read_to_end(&mut content)
            .map_err(StoreError::io("reading", path))?;
        Packed::read(id, &head, content).map(Some)
    }

    /// A chunk's plain bytes, checked against its id. `None`: it is not there.
    ///
    /// # Errors
    /// When it is damaged or cannot be read.
    pub fn get_plain(&self, id: ChunkId) -> Result<Option<Vec<u8>>> {
        self.get(id)?.map(|packed| packed.unpack()).transpose()
    }

    /// The manifest of this digest, checked against it.
    ///
    /// # Errors
    /// When there is none or it is damaged.
    pub fn manifest(&self, digest: ChunkId) -> Result<Manifest> {
        let bytes = self.manifest_bytes(digest)?;
        Manifest::parse(&bytes).map_err(|_| StoreError::DamagedManifest(digest))
    }

    /// The same as bytes, for the wire.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub fn manifest_bytes(&self, digest: ChunkId) -> Result<Vec<u8>> {
        let path = self.inner.folder.manifest(digest);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StoreError::NoManifest(digest));
            }
            bytes => bytes.map_err(StoreError::io("reading", path))?,
        };
        if ChunkId::of(&bytes) == digest {
            Ok(bytes)
        } else {
            Err(StoreError::DamagedManifest(digest))
        }
    }

    /// A damaged chunk goes to the folder `damaged`, so that the store no longer says it has it and takes a good one.
    ///
    /// # Errors
    /// When it cannot be moved. One that is not there is no error.
    pub fn set_aside(&self, id: ChunkId) -> Result<()> {
        let mut books = self.inner.books();
        let path = self.inner.folder.chunk(id);
        if let Some(bytes) = len_of(&path)? {
            self.inner
                .folder
                .rename(&path, &self.inner.folder.damaged(id))?;
            books.taken(bytes);
        }
        Ok(())
    }

    /// Everything put so far survives a power cut when this returns.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn sync(&self) -> Result<()> {
        self.inner.settle()
    }

    /// What the store holds. The first call counts the files.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        let held = self.inner.books().held(&self.inner.folder)?;
        Ok(Usage {
            stored_bytes: held.bytes,
            chunks: held.chunks,
            free_bytes: self.inner.folder.free_bytes()?,
            limits: self.inner.limits,
        })
    }
}

impl Books {
    fn held(&mut self, folder: &Folder) -> Result<Held> {
        match self.held {
            Some(held) => Ok(held),
            None => Ok(*self.held.insert(Held::count(folder)?)),
        }
    }

    pub(crate) fn no_longer_fresh(&mut self, id: ChunkId) -> u64 {
        let bytes = self.fresh.remove(&id).unwrap_or(0);
        self.fresh_bytes -= bytes;
        bytes
    }

    pub(crate) fn taken(&mut self, bytes: u64) {
        if let Some(held) = &mut self.held {
            held.take(bytes);
        }
    }
}

impl Inner {
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        // What a panic could leave behind is a count that is off by one chunk.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the chunk is there; and when it is, it stays for the session of these pins.
    pub(crate) fn pin_if_there(&self, books: &Books, pins: &Pins, id: ChunkId) -> Result<bool> {
        pins.pin(id);
        Ok(books.fresh.contains_key(&id) || len_of(&self.folder.chunk(id))?.is_some())
    }

    /// Stores a chunk that was checked. `false`: it was there already.
    pub(crate) fn add(
        self: &Arc<Self>,
        pins: &Pins,
        packed: &Packed<impl AsRef<[u8]>>,
    ) -> Result<bool> {
        let content = packed.content.as_ref();
        let bytes = (pack::HEAD_BYTES + content.len()) as u64;
        self.check_room(bytes)?;
        let tmp = self.folder.write_tmp(&[&packed.head(), content])?;
        let fresh_bytes = {
            let mut books = self.books();
            if self.pin_if_there(&books, pins, packed.id)? {
                fs::remove_file(&tmp).map_err(StoreError::io("removing", &tmp))?;
                return Ok(false);
            }
            if let Err(full) = self.check_quota(&mut books, bytes) {
                fs::remove_file(&tmp).map_err(StoreError::io("removing", &tmp))?;
                return Err(full);
            }
            self.folder.rename(&tmp, &self.folder.fresh(packed.id))?;
            books.fresh.insert(packed.id, bytes);
            books.fresh_bytes += bytes;
            if let Some(held) = &mut books.held {
                held.add(bytes);
            }
            books.fresh_bytes
        };
        self.settle_some(fresh_bytes)?;
        Ok(true)
    }

    /// Before anything is written.
    fn check_room(&self, bytes: u64) -> Result<()> {
        self.check_quota(&mut self.books(), bytes)?;
        self.limits.check(bytes, 0, self.folder.free_bytes()?)
    }

    /// Again where it is counted: others may have written meanwhile.
    fn check_quota(&self, books: &mut Books, bytes: u64) -> Result<()> {
        let used = match self.limits.quota_bytes {
            Some(_) => books.held(&self.folder)?.bytes,
            None => 0,
        };
        self.limits.check(bytes, used, u64::MAX)
    }

    /// The chunk's file, read up to its content.
    pub(crate) fn open_chunk(&self, id: ChunkId) -> Result<Option<(File, [u8; pack::HEAD_BYTES])>> {
        let Some((mut file, path)) = self.open_file(id)? else {
            return Ok(None);
        };
        let mut head = [0; pack::HEAD_BYTES];
        match file.read_exact(&mut head) {
            Ok(()) => Ok(Some((file, head))),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(StoreError::Damaged(id)),
            Err(error) => Err(StoreError::io("reading", path)(error)),
        }
    }

    fn open_file(&self, id: ChunkId) -> Result<Option<(File, PathBuf)>> {
        // The last one again: between the first two looks it may have moved there.
        for path in [
            self.folder.chunk(id),
            self.folder.fresh(id),
            self.folder.chunk(id),
        ] {
            match File::open(&path) {
                Ok(file) => return Ok(Some((file, path))),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::io("opening", path)(error)),
            }
        }
        Ok(None)
    }

    /// Lends a packer.
    pub(crate) fn with_packer<T>(&self, work: impl FnOnce(&mut Packer) -> T) -> T {
        let lent = self
            .packers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut packer = lent.unwrap_or_else(Packer::new);
        let done = work(&mut packer);
        packer.rest();
        let mut packers = self.packers.lock().unwrap_or_else(PoisonError::into_inner);
        if packers.len() < IDLE_PACKERS {
            packers.push(packer);
        }
        done
    }
}

/// Packers kept for the next chunk; each holds about 1 MiB of tables, a frame and a chunk.
const IDLE_PACKERS: usize = 2;
