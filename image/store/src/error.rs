//! What goes wrong with chunks on a disk.

use std::{io, path::PathBuf};

use image::{ChunkId, ManifestError};

/// A result of the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Why the store could not do it. An API tells [`Full`](Self::Full) as 507.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("{step} {path}")]
    Io {
        /// What was tried, as a participle.
        step: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk has no more room, or only what is kept for the database.
    #[error(
        "the disk of the image store is full: {free_bytes} bytes are free and {reserve_bytes} are kept for the database; \
         delete image versions or give it more room"
    )]
    Full {
        /// Free for us, bytes.
        free_bytes: u64,
        /// Kept free, bytes.
        reserve_bytes: u64,
    },
    /// The store holds as much as it may.
    #[error(
        "the image store holds {used_bytes} bytes and may hold {quota_bytes}; delete image versions or raise the quota"
    )]
    Quota {
        /// Held, bytes.
        used_bytes: u64,
        /// The limit, bytes.
        quota_bytes: u64,
    },
    /// Bytes that are not what they were called.
    #[error("a chunk was called {claimed}, but its bytes are {actual}")]
    WrongChunk {
        /// As it was called.
        claimed: ChunkId,
        /// What came.
        actual: ChunkId,
    },
    /// Packed bytes that cannot be unpacked, or to more than a chunk holds.
    #[error("chunk {0} cannot be unpacked to at most 16 MiB")]
    Unpack(ChunkId),
    /// Bytes on the disk are no longer what was written there.
    #[error("chunk {0} is damaged on the disk of the image store")]
    Damaged(ChunkId),
    /// The same of a manifest.
    #[error("manifest {0} is damaged on the disk of the image store")]
    DamagedManifest(ChunkId),
    /// A manifest names a chunk that is not there.
    #[error("{missing} chunks of the image are not in the store, {first} is the first")]
    Missing {
        /// The first one.
        first: ChunkId,
        /// How many.
        missing: u64,
    },
    /// A manifest says that a chunk is longer or shorter than it is.
    #[error("the manifest says that chunk {id} has {said} bytes; it has {actual}")]
    LyingManifest {
        /// Which chunk.
        id: ChunkId,
        /// By the manifest, bytes.
        said: u32,
        /// In truth, bytes.
        actual: u32,
    },
    /// No such manifest.
    #[error("there is no image {0} in the store")]
    NoManifest(ChunkId),
    /// The manifest itself is refused.
    #[error("the manifest is refused")]
    Manifest(#[from] ManifestError),
}

impl StoreError {
    /// A closure for `map_err` that remembers what was tried.
    pub(crate) fn io(
        step: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { step, path, source }
    }
}
