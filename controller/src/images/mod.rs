//! The bytes of images: async hands around the [chunk store](image_store).
//!
//! What comes in comes by a stream ([`Images::upload`]) or as chunks by have, put and save ([`Incoming`]); what goes out goes
//! as raw or zstd bytes ([`Images::plain`], [`Images::zstd`]) or as parcels ([`Images::parcels`]). What an image is called, and
//! who may have it, is in `state`. The disk is only touched on blocking threads, a few at a time.

mod collect;
mod give;
mod parcels;
mod sessions;
mod shelf;
mod take;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
};

pub use image_store::Limits;
use image_store::{ChunkStore, IngestError, StoreError, Usage};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinError,
};

pub(crate) use self::parcels::BodySource;
use self::{give::Members, sessions::Sessions};
pub use self::{
    give::{Bytes, Part},
    parcels::{Broken, Source},
    sessions::{Incoming, IncomingId},
    take::Taken,
};
use crate::store::Store;
pub(crate) use ::image::MAX_MANIFEST_BYTES;

/// Bytes of the disk that images leave free: the database and the logs go on when uploads have filled it.
pub const RESERVE_BYTES: u64 = 256 << 20;
/// Blocking threads that images use at once: as many as keep a disk busy while others hash.
const THREADS: usize = 8;
/// Streams that are taken in at once. Each may hold 40 MiB and its decoder's window; the others wait.
const UPLOADS: usize = 2;

/// Why an image cannot be taken in or given out.
#[derive(Debug, thiserror::Error)]
pub enum ImagesError {
    /// The chunk store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What came is no image, or there is no room.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The bytes stopped coming.
    #[error("the upload ended early ({0}); send it again")]
    Broken(#[from] Broken),
    /// What came is no manifest, or too large a one.
    #[error("what was sent is no manifest of an image that this controller takes")]
    Manifest,
    /// Too many images are on their way in.
    #[error("too many images are on their way in; come back later")]
    Busy,
    /// We are about to stop; the next process goes on.
    #[error("the controller stops; come back when it runs again")]
    Stopping,
    /// A fault of ours.
    #[error("the image store stopped in the middle; the controller's log has the cause")]
    Stopped,
}

/// The images' bytes; clones are the same.
#[derive(Clone)]
pub struct Images(Arc<Inner>);

struct Inner {
    chunks: ChunkStore,
    store: Store,
    threads: Arc<Semaphore>,
    uploads: Arc<Semaphore>,
    sessions: Mutex<Sessions>,
    members: Mutex<Members>,
    /// Of those chunks that go out.
    shelf: Mutex<Weak<shelf::Shelf>>,
    /// Something was deleted.
    deleted: Notify,
}

impl Images {
    /// Opens `chunks` in the state folder.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(state: &Path, limits: Limits, store: Store) -> Result<Self, StoreError> {
        Ok(Self(Arc::new(Inner {
            chunks: ChunkStore::open(&state.join("chunks"), limits)?,
            store,
            threads: Arc::new(Semaphore::new(THREADS)),
            uploads: Arc::new(Semaphore::new(UPLOADS)),
            sessions: Mutex::default(),
            members: Mutex::default(),
            shelf: Mutex::default(),
            deleted: Notify::new(),
        })))
    }

    /// What the store holds. The first question counts the files.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub async fn usage(&self) -> Result<Usage, ImagesError> {
        self.blocking(|chunks| chunks.usage()).await
    }

    /// Something was deleted: what nobody needs any more goes soon.
    pub fn deleted(&self) {
        self.0.deleted.notify_one();
    }

    /// Work with the disk, on a thread where it may block.
    async fn blocking<T, E>(
        &self,
        work: impl FnOnce(&ChunkStore) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ImagesError>
    where
        T: Send + 'static,
        E: Send + 'static,
        ImagesError: From<E>,
    {
        let place = Arc::clone(&self.0.threads).acquire_owned().await;
        let place = place.map_err(|_| ImagesError::Stopped)?;
        let chunks = self.0.chunks.clone();
        let done = tokio::task::spawn_blocking(move || {
            let done = work(&chunks);
            drop(place);
            done
        });
        Ok(done.await??)
    }
}

impl From<JoinError> for ImagesError {
    fn from(error: JoinError) -> Self {
        match error.is_panic() {
            true => Self::Stopped,
            false => Self::Stopping,
        }
    }
}

impl std::fmt::Debug for Images {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Images({:?})", self.0.chunks)
    }
}

/// A mutex's content; what a panicking thread left is still whole, since every change is one insertion or removal.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
