//! Images over the link: fetched with a ticket, saved for a job.

use ::image::ChunkId;
use mesh_net::{Answer, Body, LinkHandle};
use mesh_proto::message::{
    Refusal, RefusalCode,
    link::{ControllerReply, Fetch, Want},
};
use tracing::{info, warn};

use super::{Inner, reports::serial};
use crate::{
    images::{Images, ImagesError, Incoming, IncomingId, MAX_MANIFEST_BYTES, Source},
    state::{
        deployment::{DeploymentId, State},
        ops::{SaveCapture, still_wanted},
    },
};

/// Ids in one question for missing chunks.
const MAX_IDS: usize = 1024;

impl Inner {
    /// A part of an image, for who shows a ticket for it.
    pub(super) async fn fetch(&self, link: &LinkHandle, fetch: Fetch) -> Result<Answer, Refusal> {
        let images = self.images()?;
        let now = self.store.now().as_second();
        let ticket = self.ca.ticket_check();
        let image = ticket.check(&fetch.ticket, link.peer().node, now);
        let image = image.map_err(|bad| Refusal::new(RefusalCode::NotAllowed, bad.to_string()))?;
        let flow = match fetch.want {
            Want::Manifest => images.manifest(image).await.map_err(Refusal::from)?,
            Want::Chunks { ids } => {
                let ids = parsed(&ids, ::image::parcel::MAX_PARCELS)?;
                if !images.has_all(image, &ids).await.map_err(Refusal::from)? {
                    let text = "these chunks are not the image's that the ticket is for";
                    return Err(Refusal::new(RefusalCode::NotAllowed, text));
                }
                images.parcels(ids)
            }
        };
        Ok(Answer::Follows(flow))
    }

    /// Which chunks of a disk that is saved are new.
    pub(super) async fn have(
        &self,
        link: &LinkHandle,
        job: u64,
        ids: &[String],
    ) -> Result<ControllerReply, Refusal> {
        let ids = parsed(ids, MAX_IDS)?;
        let missing = self.capture(link, job)?.missing(ids).await;
        Ok(ControllerReply::Missing {
            missing: missing.map_err(Refusal::from)?,
        })
    }

    /// Chunks of a disk that is saved.
    pub(super) async fn put(
        &self,
        link: &LinkHandle,
        job: u64,
        parcels: u32,
        mut body: Body,
    ) -> Result<(), Refusal> {
        if parcels as usize > ::image::parcel::MAX_PARCELS {
            return Err(too_many(::image::parcel::MAX_PARCELS));
        }
        let capture = self.capture(link, job)?;
        let put = capture.put(&mut body, Some(parcels)).await;
        put.map(drop).map_err(Refusal::from)
    }

    /// A disk is saved: the version is written down before the agent may write to the disk.
    pub(super) async fn save(
        &self,
        link: &LinkHandle,
        job: u64,
        len: u64,
        mut body: Body,
    ) -> Result<ControllerReply, Refusal> {
        if len > MAX_MANIFEST_BYTES {
            return Err(ImagesError::Manifest.into());
        }
        let capture = self.capture(link, job)?;
        let mut manifest = vec![0; usize::try_from(len).expect("checked above")];
        let filled = Source::fill(&mut body, &mut manifest).await;
        filled.map_err(ImagesError::from)?;
        let content = capture.save(manifest).await.map_err(Refusal::from)?;
        let saved = self
            .apply(SaveCapture {
                serial: serial(link),
                job,
                content,
            })
            .await??;
        self.images()?
            .arrived(&IncomingId::Capture(DeploymentId(job)));
        info!(node = %link.peer().node, deployment = job, version = %saved, "a disk is saved");
        Ok(ControllerReply::Saved {
            version: saved.to_string(),
        })
    }

    /// The disk that this job saves now; only for its machine.
    fn capture(&self, link: &LinkHandle, job: u64) -> Result<Incoming, Refusal> {
        let view = self.store.view();
        let wanted = still_wanted(&view, &serial(link), job)?;
        if wanted.state != State::Capturing {
            let text = format!(
                "deployment {job} is {}, nothing is saved",
                wanted.state.word()
            );
            return Err(Refusal::new(RefusalCode::NoJob, text));
        }
        let id = IncomingId::Capture(wanted.id);
        self.images()?.incoming(&id).map_err(Refusal::from)
    }

    fn images(&self) -> Result<&Images, Refusal> {
        let none = || Refusal::new(RefusalCode::Failed, "this controller keeps no images");
        self.images.as_ref().ok_or_else(none)
    }
}

fn parsed(ids: &[String], most: usize) -> Result<Vec<ChunkId>, Refusal> {
    if ids.len() > most {
        return Err(too_many(most));
    }
    let parse = |id: &String| id.parse().ok();
    let parsed: Option<Vec<_>> = ids.iter().map(parse).collect();
    parsed.ok_or_else(|| Refusal::new(RefusalCode::Protocol, "a chunk id has 64 hex digits"))
}

fn too_many(most: usize) -> Refusal {
    let text = format!("at most {most} chunks in one request");
    Refusal::new(RefusalCode::Protocol, text)
}

/// What the image store says, to an agent. It waits and tries again when we are busy; anything else ends its job.
impl From<ImagesError> for Refusal {
    fn from(error: ImagesError) -> Self {
        let code = match &error {
            ImagesError::Busy | ImagesError::Stopping => RefusalCode::Busy,
            ImagesError::Broken(_) | ImagesError::Manifest => RefusalCode::Protocol,
            ImagesError::Store(_) | ImagesError::Ingest(_) | ImagesError::Stopped => {
                warn!("the image store: {error}");
                RefusalCode::Failed
            }
        };
        Self::new(code, error.to_string())
    }
}
