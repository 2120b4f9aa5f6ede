//! The asset folder: kernels, initrds and other files of boot configs, kept under the SHA-256 of their bytes.
//!
//! A file appears whole or not at all: it is written under a temporary name, synced, then renamed. Who may delete one is
//! decided by those who know the configs.

use std::{
    fmt,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::ordered::sort_by;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

/// The largest file taken, bytes: live systems ship initrds above a gigabyte, none we know is above this.
pub const MAX_FILE_BYTES: u64 = 8 << 30;
/// Disk space that uploads leave free, bytes: the database and the logs must go on when the assets' disk is full.
pub const RESERVE_BYTES: u64 = 64 << 20;
/// Free space is looked at again after this many bytes.
const RECHECK_BYTES: u64 = 16 << 20;
/// Marks files that are still being written; such left-overs are removed at start.
const PART: &str = ".part-";

/// A SHA-256 as 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Hex(String);

/// A text that is no SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256: 64 lower-case hex digits")]
pub struct BadSha256;

impl FromStr for Sha256Hex {
    type Err = BadSha256;

    fn from_str(text: &str) -> Result<Self, BadSha256> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadSha256)
        }
    }
}

crate::state::name::as_text! { Sha256Hex: BadSha256 }

impl fmt::Display for Sha256Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Sha256Hex {
    /// The sum of a finished digest.
    #[must_use]
    pub fn of(digest: Sha256) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in digest.finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }
}

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The sum of its bytes: its name.
    pub sha256: Sha256Hex,
    /// Length in bytes.
    pub size: u64,
}

/// Why a file was not kept.
#[derive(Debug, thiserror::Error)]
pub enum AssetError {
    /// The disk is full, or would be.
    #[error("the disk of {} is full", folder.display())]
    Full {
        /// Where.
        folder: PathBuf,
    },
    /// Above [`MAX_FILE_BYTES`].
    #[error("the file is larger than {MAX_FILE_BYTES} bytes")]
    TooLarge,
    /// The bytes are not those that were announced.
    #[error("the bytes have the SHA-256 {found}")]
    WrongSum {
        /// What arrived.
        found: Sha256Hex,
    },
    /// The folder cannot be used.
    #[error("cannot use {}; {}", path.display(), crate::disk::cure(source))]
    Io {
        /// What was used.
        path: PathBuf,
        /// How it failed.
        source: io::Error,
    },
}

/// The folder; cheap to clone.
#[derive(Debug, Clone)]
pub struct AssetFolder {
    root: PathBuf,
}

impl AssetFolder {
    /// Opens (creates) `<state>/assets/files` and removes what an earlier process left half written.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(state: &Path) -> Result<Self, AssetError> {
        Self::open_at(state.join("assets").join("files"))
    }

    fn open_at(root: PathBuf) -> Result<Self, AssetError> {
        let folder = Self { root };
        let failed = |source| folder.io(source);
        fs::create_dir_all(&folder.root).map_err(failed)?;
        for entry in fs::read_dir(&folder.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_string_lossy().starts_with(PART) {
                fs::remove_file(entry.path()).map_err(failed)?;
            }
        }
        Ok(folder)
    }

    /// The same for files that are other sites': `<state>/assets/peers`.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open_for_peers(state: &Path) -> Result<Self, AssetError> {
        Self::open_at(state.join("assets").join("peers"))
    }

    /// The folder that was opened before.
    #[must_use]
    pub fn at(state: &Path) -> Self {
        let root = state.join("assets").join("files");
        Self { root }
    }

    /// A path for a file of our own that nobody else knows; what is left there is removed at the next start.
    pub(crate) fn scratch(&self) -> PathBuf {
        self.root
            .join(format!("{PART}{:016x}", rand::random::<u64>()))
    }

    /// Where a file is, or would be.
    #[must_use]
    pub fn path(&self, sha256: &Sha256Hex) -> PathBuf {
        self.root.join(&sha256.0)
    }

    /// The file of this sum, when it is here.
    ///
    /// # Errors
    /// As the disk fails.
    pub fn find(&self, sha256: &Sha256Hex) -> Result<Option<Stored>, AssetError> {
        match fs::metadata(self.path(sha256)) {
            Ok(meta) => Ok(Some(Stored {
                sha256: sha256.clone(),
                size: meta.len(),
            })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.io(source)),
        }
    }

    /// All files, by sum.
    ///
    /// # Errors
    /// As the disk fails.
    pub fn list(&self) -> Result<Vec<Stored>, AssetError> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(|e| self.io(e))? {
            let entry = entry.map_err(|e| self.io(e))?;
            let Some(sha256) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
                continue;
            };
            let size = entry.metadata().map_err(|e| self.io(e))?.len();
            all.push(Stored { sha256, size });
        }
        sort_by(&mut all, |a, b| a.sha256.cmp(&b.sha256));
        Ok(all)
    }

    /// Removes a file; whether it was there.
    ///
    /// # Errors
    /// As the disk fails.
    pub fn remove(&self, sha256: &Sha256Hex) -> Result<bool, AssetError> {
        match fs::remove_file(self.path(sha256)) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.io(source)),
        }
    }

    /// Starts to write a file of `announced` bytes (0: not known). What cannot fit is refused before the first byte.
    ///
    /// # Errors
    /// When it is too large, or the disk is full or fails.
    pub async fn begin(&self, announced: u64) -> Result<Upload, AssetError> {
        if announced > MAX_FILE_BYTES {
            return Err(AssetError::TooLarge);
        }
        self.check_space(announced)?;
        let part = self
            .root
            .join(format!("{PART}{:016x}", rand::random::<u64>()));
        let file = tokio::fs::File::create_new(&part)
            .await
            .map_err(|e| self.io(e))?;
        Ok(Upload {
            folder: self.clone(),
            part: Part(part),
            file,
            digest: Sha256::new(),
            size: 0,
        })
    }

    /// Whether `more` bytes fit and the reserve stays.
    fn check_space(&self, more: u64) -> Result<(), AssetError> {
        let room = rustix::fs::statvfs(&self.root).map_err(|e| self.io(e.into()))?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        if free < RESERVE_BYTES.saturating_add(more) {
            return Err(AssetError::Full {
                folder: self.root.clone(),
            });
        }
        Ok(())
    }

    fn io(&self, source: io::Error) -> AssetError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => AssetError::Full {
                folder: self.root.clone(),
            },
            _ => AssetError::Io {
                path: self.root.clone(),
                source,
            },
        }
    }
}

/// A file being written; dropped before [`Upload::finish`], nothing stays.
#[derive(Debug)]
pub struct Upload {
    folder: AssetFolder,
    part: Part,
    file: tokio::fs::File,
    digest: Sha256,
    size: u64,
}

/// The temporary file; removed when dropped (after the rename there is nothing to remove).
#[derive(Debug)]
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Upload {
    /// Reads what was written so far, also after it has its name.
    ///
    /// # Errors
    /// As the disk fails.
    pub fn reader(&self) -> Result<File, AssetError> {
        File::open(&self.part.0).map_err(|e| self.folder.io(e))
    }

    /// What was taken so far can be read when this returns; it need not survive a crash.
    ///
    /// # Errors
    /// As the disk fails.
    pub async fn flush(&mut self) -> Result<(), AssetError> {
        self.file.flush().await.map_err(|e| self.folder.io(e))
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When there are too many, or as the disk fails.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AssetError> {
        let before = self.size / RECHECK_BYTES;
        self.size += bytes.len() as u64;
        if self.size > MAX_FILE_BYTES {
            return Err(AssetError::TooLarge);
        }
        if self.size / RECHECK_BYTES != before {
            self.folder.check_space(0)?;
        }
        self.digest.update(bytes);
        self.file
            .write_all(bytes)
            .await
            .map_err(|e| self.folder.io(e))
    }

    /// Makes the file durable and gives it its name; checks it against `expected` first.
    ///
    /// # Errors
    /// When the sum is another one, or as the disk fails.
    pub async fn finish(mut self, expected: Option<&Sha256Hex>) -> Result<Stored, AssetError> {
        let found = Sha256Hex::of(std::mem::take(&mut self.digest));
        if expected.is_some_and(|e| *e != found) {
            return Err(AssetError::WrongSum { found });
        }
        self.file.flush().await.map_err(|e| self.folder.io(e))?;
        self.file.sync_all().await.map_err(|e| self.folder.io(e))?;
        let target = self.folder.path(&found);
        tokio::fs::rename(&self.part.0, &target)
            .await
            .map_err(|e| self.folder.io(e))?;
        let root = self.folder.root.clone();
        // The rename itself is durable only once the folder is synced.
        tokio::task::spawn_blocking(move || File::open(&root)?.sync_all())
            .await
            .map_err(|e| self.folder.io(io::Error::other(e)))?
            .map_err(|e| self.folder.io(e))?;
        Ok(Stored {
            sha256: found,
            size: self.size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[tokio::test]
    async fn a_file_is_kept_under_its_sum() {
        let state = tempfile::tempdir().unwrap();
        let folder = AssetFolder::open(state.path()).unwrap();
        let mut upload = folder.begin(0).await.unwrap();
        upload.write(b"a").await.unwrap();
        upload.write(b"bc").await.unwrap();
        let stored = upload.finish(None).await.unwrap();
        assert_eq!(
            (stored.sha256.to_string().as_str(), stored.size),
            (SUM_OF_ABC, 3)
        );
        assert_eq!(fs::read(folder.path(&stored.sha256)).unwrap(), b"abc");
        assert_eq!(folder.list().unwrap(), vec![stored]);
    }

    #[tokio::test]
    async fn other_bytes_than_announced_leave_nothing_behind() {
        let state = tempfile::tempdir().unwrap();
        let folder = AssetFolder::open(state.path()).unwrap();
        let mut upload = folder.begin(0).await.unwrap();
        upload.write(b"abd").await.unwrap();
        let refused = upload.finish(Some(&SUM_OF_ABC.parse().unwrap())).await;
        assert!(matches!(refused, Err(AssetError::WrongSum { .. })));
        assert_eq!(fs::read_dir(&folder.root).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_process_that_died_while_writing_leaves_nothing_for_the_next() {
        let state = tempfile::tempdir().unwrap();
        let folder = AssetFolder::open(state.path()).unwrap();
        fs::write(folder.root.join(".part-1"), b"half").unwrap();
        AssetFolder::open(state.path()).unwrap();
        assert_eq!(fs::read_dir(&folder.root).unwrap().count(), 0);
    }
}
