//! An image that comes as one stream: raw or packed, cut into chunks as it comes.

use bytes::Bytes;
use futures_util::Stream;
use image_store::{Ingest, IngestOptions, Session};
use tokio::sync::mpsc;

use super::{Images, ImagesError, parcels::BodySource, parcels::Broken, sessions::content_of};
use crate::state::image::Content;

/// Pieces of a body that wait for the thread that cuts them.
const WAITING: usize = 4;

/// An image that was taken in; what it consists of stays in the store while this lives. Let it go when the version is
/// written down.
#[derive(Debug)]
pub struct Taken {
    /// What is to be written down.
    pub content: Content,
    _session: Session,
}

impl Images {
    /// Takes a stream in. It appears whole or not at all; what an upload that broke has brought goes with the next collection.
    ///
    /// # Errors
    /// When it is no image, breaks off, or there is no room.
    pub async fn upload<S, E>(
        &self,
        stream: S,
        options: IngestOptions,
    ) -> Result<Taken, ImagesError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
        E: std::fmt::Display,
    {
        // Who waits is not read from: its TCP connection holds it back.
        let place = self.0.uploads.acquire().await;
        let _place = place.map_err(|_| ImagesError::Stopped)?;
        let session = self.0.chunks.session();
        let (send, pieces) = mpsc::channel(WAITING);
        let ingest = Ingest::new(session.clone(), options);
        let taking = tokio::task::spawn_blocking(move || cut(ingest, pieces));
        let mut source = BodySource::new(stream);
        while let Some(bytes) = source.next().await? {
            if send.send(Some(bytes)).await.is_err() {
                // It stopped reading, and says why.
                break;
            }
        }
        let _it_says_why = send.send(None).await;
        let content = taking.await??;
        Ok(Taken {
            content,
            _session: session,
        })
    }
}

/// The blocking half. A channel that closes without its last word is an upload that broke off.
fn cut(
    mut ingest: Ingest,
    mut pieces: mpsc::Receiver<Option<Bytes>>,
) -> Result<Content, ImagesError> {
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Some(bytes) => ingest.write(&bytes)?,
            None => return Ok(content_of(&ingest.finish()?)),
        }
    }
    Err(Broken("the connection closed".to_owned()).into())
}
