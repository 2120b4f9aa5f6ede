//! What a job needs of its controller. Every call blocks: jobs run on threads of their own.

use bytes::Bytes;
use image::ChunkId;
use image::parcel::Head;
use mesh_proto::message::job::JobProgress;

/// Why the controller did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It does not answer now; it may later.
    #[error("it does not answer ({0})")]
    Away(String),
    /// The job is no longer wanted.
    #[error("{0}")]
    Unwanted(String),
    /// It said no, and will again.
    #[error("it refuses: {0}")]
    Refused(String),
}

/// The controller, as a job sees it.
pub trait Controller: Send + Sync {
    /// Says how far the job is; at a new step it is written down there when this returns.
    ///
    /// # Errors
    /// [`Trouble::Unwanted`]: stop.
    fn progress(&self, progress: &JobProgress) -> Result<(), Trouble>;

    /// The bytes of the manifest that the ticket is for, at most `limit`.
    ///
    /// # Errors
    /// Why not.
    fn manifest(&self, ticket: &str, limit: u64) -> Result<Vec<u8>, Trouble>;

    /// Which of these chunks the store lacks: their places, ascending.
    ///
    /// # Errors
    /// Why not.
    fn have(&self, job: u64, ids: &[ChunkId]) -> Result<Vec<u32>, Trouble>;

    /// Gives chunks to the store.
    ///
    /// # Errors
    /// Why not; none, some or all may be there then.
    fn put(&self, job: u64, parcels: &[(Head, Bytes)]) -> Result<(), Trouble>;

    /// A capture is complete: its manifest. Saving the same one again for the same job is the same version.
    ///
    /// # Errors
    /// Why not.
    fn save(&self, job: u64, manifest: &[u8]) -> Result<String, Trouble>;
}
