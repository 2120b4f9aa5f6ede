//! Where things lie in the store's folder, and the few ways in which files are written there.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use image::ChunkId;

use crate::{Result, StoreError};

/// The folder, opened.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    /// Held open for `syncfs`.
    handle: File,
    next_tmp: AtomicU64,
    /// Held, a sync does not end; true, it fails.
    #[cfg(test)]
    pub(crate) broken: std::sync::Mutex<bool>,
}

impl Folder {
    /// Makes the folders that are missing and removes what a crash left half done.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        for name in ["manifests", "tmp", "fresh"] {
            let path = root.join(name);
            fs::create_dir_all(&path).map_err(StoreError::io("creating", &path))?;
        }
        let handle = File::open(root).map_err(StoreError::io("opening", root))?;
        let folder = Self {
            root: root.to_owned(),
            handle,
            next_tmp: AtomicU64::new(0),
            #[cfg(test)]
            broken: std::sync::Mutex::default(),
        };
        folder.empty("tmp")?;
        folder.empty("fresh")?;
        Ok(folder)
    }

    fn empty(&self, name: &str) -> Result<()> {
        for path in list(&self.root.join(name))? {
            fs::remove_file(&path).map_err(StoreError::io("removing", &path))?;
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Chunks lie in folders by the first byte of their id: a million chunks are 4,000 in each.
    pub(crate) fn shard(&self, shard: u8) -> PathBuf {
        self.root.join(format!("{shard:02x}"))
    }

    pub(crate) fn chunk(&self, id: ChunkId) -> PathBuf {
        self.shard(id.as_bytes()[0]).join(id.to_string())
    }

    pub(crate) fn fresh(&self, id: ChunkId) -> PathBuf {
        self.root.join("fresh").join(id.to_string())
    }

    pub(crate) fn damaged(&self, id: ChunkId) -> PathBuf {
        self.root.join("damaged").join(id.to_string())
    }

    pub(crate) fn manifests(&self) -> PathBuf {
        self.root.join("manifests")
    }

    pub(crate) fn manifest(&self, digest: ChunkId) -> PathBuf {
        self.manifests().join(digest.to_string())
    }

    /// Writes a new file under a name of its own in `tmp`. When that fails nothing is left behind.
    pub(crate) fn write_tmp(&self, parts: &[&[u8]]) -> Result<PathBuf> {
        let number = self.next_tmp.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join("tmp").join(number.to_string());
        let written = File::create(&path)
            .and_then(|mut file| parts.iter().try_for_each(|part| file.write_all(part)));
        match written {
            Ok(()) => Ok(path),
            Err(source) => {
                let _gone_or_emptied_on_opening = fs::remove_file(&path);
                Err(self.refused("writing", path, source))
            }
        }
    }

    /// An error of writing: a full disk has its own.
    fn refused(&self, step: &'static str, path: PathBuf, source: io::Error) -> StoreError {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full {
                free_bytes: self.free_bytes().unwrap_or(0),
                reserve_bytes: 0,
            },
            _ => StoreError::Io { step, path, source },
        }
    }

    /// Moves a file within the store, making the folder it goes to.
    pub(crate) fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let moved = fs::rename(from, to).or_else(|error| {
            let (ErrorKind::NotFound, Some(parent)) = (error.kind(), to.parent()) else {
                return Err(error);
            };
            fs::create_dir_all(parent)?;
            fs::rename(from, to)
        });
        moved.map_err(|source| self.refused("moving", from.to_owned(), source))
    }

    /// Everything written so far is on the medium. One call for thousands of chunks: an fsync of each would take minutes.
    pub(crate) fn sync(&self) -> Result<()> {
        #[cfg(test)]
        if *self.broken.lock().unwrap() {
            return Err(self.refused("syncing", self.root.clone(), ErrorKind::Other.into()));
        }
        rustix::fs::syncfs(self.handle.as_fd())
            .map_err(|errno| self.refused("syncing", self.root.clone(), errno.into()))
    }

    /// The names in `manifests` are on the medium.
    pub(crate) fn sync_manifests(&self) -> Result<()> {
        let path = self.manifests();
        File::open(&path)
            .and_then(|dir| dir.sync_all())
            .map_err(StoreError::io("syncing", path))
    }

    /// Bytes free on the file system for a process without privileges.
    pub(crate) fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::fstatvfs(&self.handle).map_err(|errno| StoreError::Io {
            step: "asking for the free space of",
            path: self.root.clone(),
            source: errno.into(),
        })?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// The files of a folder; of one that is not there: none.
pub(crate) fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(StoreError::io("listing", path))?,
    };
    entries
        .map(|entry| {
            entry
                .map(|entry| entry.path())
                .map_err(StoreError::io("listing", path))
        })
        .collect()
}

/// The id that a file is named after.
pub(crate) fn id_of(path: &Path) -> Option<ChunkId> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Bytes of a file that may be gone by now.
pub(crate) fn len_of(path: &Path) -> Result<Option<u64>> {
    match fs::symlink_metadata(path) {
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("looking for", path)(error)),
    }
}
