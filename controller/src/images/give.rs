//! Images go out: as a disk's bytes, as one zstd stream, as parcels for machines.

use std::{collections::VecDeque, io, ops::Range, sync::Arc};

use ::image::{
    ChunkId,
    parcel::{Form, Head},
};
use futures_util::{FutureExt as _, Stream, stream};
use image_store::{Plain, StoreError, ZstdStream};
use mesh_net::Flow;
use tokio::sync::mpsc;
use tracing::error;

use super::{Images, ImagesError, lock, shelf::Shelf};

/// Images whose chunks are remembered, to look up who may have what: one for each of the deployments at once.
const REMEMBERED: usize = 8;
/// A parcel: its head and what is in it.
const PARCEL: usize = 2;

/// A part of an image's bytes as they go out.
pub type Part = io::Result<bytes::Bytes>;

/// Bytes of an image, some or all.
pub struct Bytes<S> {
    /// Bytes of the whole.
    pub total: u64,
    /// Names exactly these bytes, for an ETag.
    pub tag: ChunkId,
    /// What was asked for of them.
    pub parts: S,
}

/// The chunks of images that were fetched lately.
pub(super) type Members = VecDeque<(ChunkId, Arc<[ChunkId]>)>;

impl Images {
    /// An image's bytes as they are on a disk; `None`: all. What lies past its end is left out.
    ///
    /// # Errors
    /// When the image is not there.
    pub async fn plain(
        &self,
        digest: ChunkId,
        range: Option<Range<u64>>,
    ) -> Result<Bytes<impl Stream<Item = Part> + use<>>, ImagesError> {
        let (total, plain) = self
            .blocking(move |chunks| {
                let manifest = Arc::new(chunks.manifest(digest)?);
                let total = manifest.size();
                let range = range.unwrap_or(0..total);
                Ok::<_, StoreError>((total, Plain::new(chunks.clone(), manifest, range)))
            })
            .await?;
        Ok(Bytes {
            total,
            tag: digest,
            parts: self.parts(plain),
        })
    }

    /// An image's bytes as one zstd stream; `None`: all.
    ///
    /// # Errors
    /// When the image is not there.
    pub async fn zstd(
        &self,
        digest: ChunkId,
        range: Option<Range<u64>>,
    ) -> Result<Bytes<impl Stream<Item = Part> + use<>>, ImagesError> {
        let packed = self
            .blocking(move |chunks| {
                let manifest = Arc::new(chunks.manifest(digest)?);
                ZstdStream::new(chunks.clone(), manifest)
            })
            .await?;
        let (total, tag) = (packed.total_bytes(), packed.tag());
        let packed = match range {
            Some(range) => packed.range(range),
            None => packed,
        };
        Ok(Bytes {
            total,
            tag,
            parts: self.parts(packed),
        })
    }

    /// Parts as they are read. No thread waits for who takes them slowly.
    fn parts<I>(&self, parts: I) -> impl Stream<Item = Part> + use<I>
    where
        I: Iterator<Item = Result<bytes::Bytes, StoreError>> + Send + 'static,
    {
        let images = self.clone();
        stream::unfold(Some(parts), move |parts| {
            let images = images.clone();
            async move {
                let mut parts = parts?;
                let read = move |_: &_| {
                    let part = parts.next().transpose()?;
                    Ok::<_, StoreError>((part, parts))
                };
                match images.blocking(read).await {
                    Ok((Some(part), parts)) => Some((Ok(part), Some(parts))),
                    Ok((None, _)) => None,
                    Err(failed) => {
                        error!("an image cannot be read: {failed}");
                        Some((Err(io::Error::other(failed.to_string())), None))
                    }
                }
            }
        })
    }

    /// Whether all these chunks are the image's.
    ///
    /// # Errors
    /// When the image is not there.
    pub async fn has_all(&self, image: ChunkId, ids: &[ChunkId]) -> Result<bool, ImagesError> {
        let known = lock(&self.0.members)
            .iter()
            .find(|(digest, _)| *digest == image)
            .map(|(_, ids)| Arc::clone(ids));
        let members = match known {
            Some(members) => members,
            None => self.remember(image).await?,
        };
        Ok(ids.iter().all(|id| members.binary_search(id).is_ok()))
    }

    async fn remember(&self, image: ChunkId) -> Result<Arc<[ChunkId]>, ImagesError> {
        let read = move |chunks: &image_store::ChunkStore| {
            let manifest = chunks.manifest(image)?;
            let mut ids: Vec<ChunkId> = manifest.data().filter_map(|piece| piece.id).collect();
            ids.sort_unstable();
            ids.dedup();
            Ok::<Arc<[ChunkId]>, StoreError>(ids.into())
        };
        let ids = self.blocking(read).await?;
        let mut members = lock(&self.0.members);
        members.retain(|(digest, _)| *digest != image);
        members.push_front((image, Arc::clone(&ids)));
        members.truncate(REMEMBERED);
        Ok(ids)
    }

    /// A manifest's bytes, for a machine.
    ///
    /// # Errors
    /// When the image is not there.
    pub async fn manifest(&self, digest: ChunkId) -> Result<Flow, ImagesError> {
        let bytes = self
            .blocking(move |chunks| chunks.manifest_bytes(digest))
            .await?;
        let (send, rest) = mpsc::channel(1);
        let len = Some(bytes.len() as u64);
        let _room_for_one = send.try_send(bytes.into());
        Ok(Flow { len, bytes: rest })
    }

    /// Parcels, for a machine, in the order asked. What is not there, or no longer what it was, is a parcel that says so.
    /// The next one is read while one travels, and none before that one has its place: memory is two chunks for who asks.
    #[must_use]
    pub fn parcels(&self, ids: Vec<ChunkId>) -> Flow {
        let (send, bytes) = mpsc::channel(PARCEL);
        let images = self.clone();
        let shelf = Shelf::shared(&self.0.shelf);
        tokio::spawn(
            async move {
                for id in ids {
                    let Ok(places) = send.reserve_many(PARCEL).await else {
                        return; // Nobody takes them any more.
                    };
                    let (head, content) = images.packed(id, &shelf).await;
                    let parts = [head, content].into_iter().filter(|part| !part.is_empty());
                    places.zip(parts).for_each(|(place, part)| place.send(part));
                }
            }
            .boxed(),
        );
        Flow { len: None, bytes }
    }

    async fn packed(&self, id: ChunkId, shelf: &Arc<Shelf>) -> (bytes::Bytes, bytes::Bytes) {
        let buffer = shelf.take();
        let got = self
            .blocking(move |chunks| chunks.get_into(id, buffer))
            .await;
        let (form, content) = match got {
            Ok(Some(packed)) => (packed.form, shelf.lend(packed.content)),
            Ok(None) => (Form::Missing, bytes::Bytes::new()),
            Err(failed) => {
                error!(%id, "a chunk cannot be given: {failed}");
                if matches!(failed, ImagesError::Store(StoreError::Damaged(_))) {
                    // Out of the way, so that the next upload or capture that has it brings a good one.
                    let _failed = self.blocking(move |chunks| chunks.set_aside(id)).await;
                }
                (Form::Missing, bytes::Bytes::new())
            }
        };
        let len = u32::try_from(content.len()).expect("a chunk is shorter than 4 GiB");
        let head = Head { id, form, len };
        (bytes::Bytes::copy_from_slice(&head.encode()), content)
    }
}
