//! Images that come in as chunks: who brings one asks which are missing, puts those, and saves the manifest.
//!
//! What an [`Incoming`] was told is there stays there while it lives. It is found again by its id for as long as somebody
//! goes on with it; after a restart of the controller it begins anew, and what was put is there already.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ::image::{
    ChunkId, Manifest,
    parcel::{Form, Head},
};
use image_store::{Ingested, Put, Session, StoreError};

use super::{
    Images, ImagesError, lock,
    parcels::{Broken, Source, parcel},
};
use crate::state::{
    deployment::DeploymentId,
    image::{Content, ImageName},
    peer::SiteName,
};

/// Images that may be on their way in at once: a room of machines that are all saved.
const MOST: usize = 256;
/// How long one may rest: a laptop that was closed over lunch goes on where it was.
const RESTS: Duration = Duration::from_secs(2 * 3600);
/// Who brings something in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum IncomingId {
    /// A machine's disk is saved by this job.
    Capture(DeploymentId),
    /// A person's upload, by the name the uploading program gave it.
    Upload(ImageName, String),
    /// Another site's image, by its manifest.
    Pull(SiteName, ChunkId),
}

/// An image that comes in as chunks; clones are the same.
#[derive(Debug, Clone)]
pub struct Incoming {
    images: Images,
    session: Session,
    new_bytes: Arc<AtomicU64>,
}

/// A parcel that is being stored, and the buffer that comes back.
type Storing = tokio::task::JoinHandle<Result<(Put, Vec<u8>), ImagesError>>;

/// Those that are on their way.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<IncomingId, (Incoming, Instant)>);

impl Sessions {
    /// Ends those that rested too long.
    pub(super) fn end_old(&mut self, now: Instant) {
        self.0
            .retain(|_, (_, used)| now.duration_since(*used) < RESTS);
    }

    /// Ends those of jobs that save nothing any more, however they ended.
    pub(super) fn end_captures(&mut self, goes_on: impl Fn(DeploymentId) -> bool) {
        self.0.retain(|id, _| match id {
            IncomingId::Capture(job) => goes_on(*job),
            IncomingId::Upload(..) | IncomingId::Pull(..) => true,
        });
    }
}

impl Images {
    /// Goes on with an image that comes in, or begins.
    ///
    /// # Errors
    /// When too many are on their way.
    pub fn incoming(&self, id: &IncomingId) -> Result<Incoming, ImagesError> {
        let now = Instant::now();
        let mut sessions = lock(&self.0.sessions);
        if let Some((incoming, used)) = sessions.0.get_mut(id) {
            *used = now;
            return Ok(incoming.clone());
        }
        if sessions.0.len() >= MOST {
            sessions.end_old(now);
        }
        if sessions.0.len() >= MOST {
            return Err(ImagesError::Busy);
        }
        let incoming = Incoming {
            images: self.clone(),
            session: self.0.chunks.session(),
            new_bytes: Arc::default(),
        };
        sessions.0.insert(id.clone(), (incoming.clone(), now));
        Ok(incoming)
    }

    /// It is a version now.
    pub fn arrived(&self, id: &IncomingId) {
        lock(&self.0.sessions).0.remove(id);
    }

    /// Nobody wants it any more: what it brought goes soon.
    pub fn abandoned(&self, id: &IncomingId) {
        let gone = lock(&self.0.sessions).0.remove(id);
        if gone.is_some_and(|(incoming, _)| incoming.new_bytes.load(Ordering::Relaxed) > 0) {
            self.deleted();
        }
    }
}

impl Incoming {
    /// The places, in the question, of chunks that are not there.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn missing(&self, ids: Vec<ChunkId>) -> Result<Vec<u32>, ImagesError> {
        let session = self.session.clone();
        let there = self.images.blocking(move |_| session.has(&ids)).await?;
        let missing = (0..).zip(there).filter(|(_, there)| !there);
        Ok(missing.map(|(place, _)| place).collect())
    }

    /// Takes `parcels` parcels; `None`: as many as come until the source ends. Says how many it were.
    ///
    /// # Errors
    /// When one is not what it says, there is no room, or they stop coming.
    pub async fn put(
        &self,
        source: &mut (impl Source + Send),
        parcels: Option<u32>,
    ) -> Result<u32, ImagesError> {
        // One is stored while the next comes, in two buffers in turn.
        let mut buffer = Vec::new();
        let mut storing: Option<Storing> = None;
        let mut count = 0;
        while parcels.is_none_or(|all| count < all) {
            let Some(head) = parcel(source, &mut buffer).await? else {
                if parcels.is_some() {
                    return Err(Broken("parcels are missing".to_owned()).into());
                }
                break;
            };
            let free = match storing.take() {
                Some(before) => self.stored(before).await?,
                None => Vec::new(),
            };
            let content = std::mem::replace(&mut buffer, free);
            storing = Some(self.store(head, content));
            count += 1;
        }
        if let Some(last) = storing {
            self.stored(last).await?;
        }
        Ok(count)
    }

    /// Takes the parcels that were asked for, in that order: nothing else is stored for who sends it.
    ///
    /// # Errors
    /// As [`put`](Self::put); and when another chunk comes, or word that one is not there.
    pub async fn put_asked(
        &self,
        source: &mut (impl Source + Send),
        ids: &[ChunkId],
    ) -> Result<(), ImagesError> {
        let mut buffer = Vec::new();
        let mut storing: Option<Storing> = None;
        for id in ids {
            let next = parcel(source, &mut buffer).await?;
            let head = next.ok_or_else(|| Broken("parcels are missing".to_owned()))?;
            if head.id != *id || head.form == Form::Missing {
                let text = format!("chunk {id} was asked for, and does not come");
                return Err(Broken(text).into());
            }
            let free = match storing.take() {
                Some(before) => self.stored(before).await?,
                None => Vec::new(),
            };
            let content = std::mem::replace(&mut buffer, free);
            storing = Some(self.store(head, content));
        }
        match storing {
            Some(last) => self.stored(last).await.map(drop),
            None => Ok(()),
        }
    }

    /// Bytes that it added to the store so far, compressed.
    #[must_use]
    pub fn new_bytes(&self) -> u64 {
        self.new_bytes.load(Ordering::Relaxed)
    }

    /// Stores a parcel, whose content is what `buffer` begins with.
    fn store(&self, head: Head, buffer: Vec<u8>) -> Storing {
        let (session, images) = (self.session.clone(), self.images.clone());
        tokio::spawn(async move {
            let put = move |_: &_| {
                let content = &buffer[..head.len as usize];
                let put = session.put_parcel(head.id, head.form, content)?;
                Ok::<_, StoreError>((put, buffer))
            };
            images.blocking(put).await
        })
    }

    /// Waits until it is stored; its buffer.
    async fn stored(&self, storing: Storing) -> Result<Vec<u8>, ImagesError> {
        let (put, buffer) = storing.await??;
        if let Put::New { stored_bytes } = put {
            self.new_bytes.fetch_add(stored_bytes, Ordering::Relaxed);
        }
        Ok(buffer)
    }

    /// Everything was put: stores the manifest, when all its chunks are there. `self` keeps what it names; let it go when the
    /// version is written down.
    ///
    /// # Errors
    /// When chunks are missing, the manifest is none, or there is no room.
    pub async fn save(&self, manifest: Vec<u8>) -> Result<Content, ImagesError> {
        let (session, new) = (self.session.clone(), self.new_bytes.load(Ordering::Relaxed));
        self.images
            .blocking(move |_| {
                let manifest = Manifest::parse(&manifest).map_err(|_| ImagesError::Manifest)?;
                let digest = session.save(&manifest)?;
                Ok::<_, ImagesError>(content(digest, &manifest, new))
            })
            .await
    }
}

fn content(digest: ChunkId, manifest: &Manifest, new_bytes: u64) -> Content {
    Content {
        manifest: digest,
        size: manifest.size(),
        sector_size: manifest.sector_size(),
        chunk_size: manifest.chunk_size().get(),
        data_bytes: manifest.data_bytes(),
        new_bytes,
    }
}

/// What is written down of an image that came as a stream.
pub(super) fn content_of(ingested: &Ingested) -> Content {
    content(ingested.digest, &ingested.manifest, ingested.stored_bytes)
}
