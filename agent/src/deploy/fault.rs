//! Why a job stops before its end.

use std::io;

use image::edit::EditError;
use image::{ChunkId, ManifestError};
use mesh_proto::message::job::DiskProblem;

/// What is wrong, for people: it becomes the job's reason.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nobody wants the job any more. Not a failure: there is nobody to report to.
    #[error("the job was cancelled: {0}")]
    Cancelled(String),
    /// The job itself is not understood.
    #[error("the job cannot be done: {0}")]
    Job(String),
    /// Not one disk is meant, or not one that fits.
    #[error(transparent)]
    WhichDisk(#[from] DiskProblem),
    /// Not one partition is meant, or not one that fits.
    #[error("the partition: {0}")]
    Partition(String),
    /// The disk cannot be used.
    #[error("{disk} cannot be opened for the job: {source}")]
    Open {
        /// Its name.
        disk: String,
        /// What the system says; "busy" when something of it is mounted.
        source: io::Error,
    },
    /// The disk failed.
    #[error("{deed} {len} bytes of the disk at byte {offset}: {source}")]
    Disk {
        /// `reading`, `writing`, …
        deed: &'static str,
        /// Where.
        offset: u64,
        /// How many bytes.
        len: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The manifest is not the one the job names, or contradicts itself.
    #[error("the image's manifest: {0}")]
    Manifest(String),
    /// No source has a chunk, or none gives it right.
    #[error("{missing} chunks cannot be had, the first is {first}: {why}")]
    Chunks {
        /// How many of the window.
        missing: usize,
        /// One of them.
        first: ChunkId,
        /// What each source said.
        why: String,
    },
    /// What is on the medium is not what was written.
    #[error(
        "the disk does not hold what was written: {places} places differ, the first {len} bytes at byte {offset} (chunk {chunk})"
    )]
    Differs {
        /// How many pieces.
        places: u64,
        /// Where the first is.
        offset: u64,
        /// Its length.
        len: u32,
        /// What should be there.
        chunk: String,
    },
    /// Somebody wrote to the disk while it was saved, or it gives other bytes each time.
    #[error("the disk changed while it was saved: byte {0} was read twice, and differs")]
    Changed(u64),
    /// An edit was not found on the medium.
    #[error("the disk does not hold the edit at byte {0}")]
    EditDiffers(u64),
    /// The edits cannot be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// The disk could not be emptied as asked.
    #[error("the disk was not erased: {0}")]
    Erase(String),
    /// The controller refused, or did not answer for too long.
    #[error("the controller: {0}")]
    Controller(String),
}

impl From<ManifestError> for Fault {
    fn from(error: ManifestError) -> Self {
        Self::Manifest(error.to_string())
    }
}

impl Fault {
    /// For `map_err` on what a disk did.
    pub(super) fn disk(
        deed: &'static str,
        offset: u64,
        len: u64,
    ) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk {
            deed,
            offset,
            len,
            source,
        }
    }
}
