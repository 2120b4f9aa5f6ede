//! The controller over the link, for threads that wait: as who gave the job, and as a source of chunks. The link may break
//! and come back while a job goes on; each request takes the one that stands.

use std::time::Duration;

use bytes::Bytes;
use image::ChunkId;
use image::parcel::{HEAD_BYTES, Head};
use mesh_net::{AgentLink, Body, BodyError, CallError};
use mesh_proto::message::RefusalCode;
use mesh_proto::message::job::{Job, JobEnd, JobProgress};
use mesh_proto::message::link::{ControllerReply, Fetch, FromAgent, Want};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use super::controller::{Controller, Trouble};
use super::sources::{ChunkSource, Request, Take};
use crate::mesh::JobLine;

/// Time for a short answer; what is written down there waits for its disk.
const ANSWER: Duration = Duration::from_secs(20);
/// Time for the store to have chunks on its disk, or to look at all chunks of a manifest.
const STORED: Duration = Duration::from_secs(120);
/// Questions about chunks in one request (`FromAgent::Have`).
const MOST_IDS: usize = 1024;

/// See the file's head. Calls block, and must not come from the runtime's own thread.
pub struct LinkDesk {
    line: JobLine,
    runtime: Handle,
}

impl LinkDesk {
    /// Over whatever link stands. `runtime` is the one the agent lives in.
    #[must_use]
    pub fn new(line: JobLine, runtime: Handle) -> Self {
        Self { line, runtime }
    }

    fn link(&self) -> Result<AgentLink, Trouble> {
        let none = || Trouble::Away("there is no link".to_owned());
        self.line.link().ok_or_else(none)
    }

    fn call(&self, ask: &FromAgent) -> Result<ControllerReply, Trouble> {
        let link = self.link()?;
        let reply = self.runtime.block_on(link.call(ask, ANSWER));
        reply.map_err(trouble)
    }

    /// What there is to do, and a word on it.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn job(&self) -> Result<(Option<Box<Job>>, String), Trouble> {
        match self.call(&FromAgent::Job)? {
            ControllerReply::Job { job, text } => Ok((job, text)),
            other => Err(strange(&other)),
        }
    }

    /// The last word on a job.
    ///
    /// # Errors
    /// [`Trouble::Away`]: say it again later.
    pub fn end(&self, end: JobEnd) -> Result<(), Trouble> {
        self.call(&FromAgent::JobEnd(Box::new(end))).map(drop)
    }

    fn fetch(&self, ticket: &str, want: Want) -> Result<(Option<u64>, Body), CallError> {
        let ask = FromAgent::Fetch(Fetch {
            ticket: ticket.to_owned(),
            want,
        });
        let link = self.line.link().ok_or(CallError::Dropped)?;
        self.runtime.block_on(link.fetch(&ask, ANSWER))
    }

    fn upload(&self, ask: &FromAgent, parts: Vec<Bytes>) -> Result<ControllerReply, Trouble> {
        let link = self.link()?;
        let sent = async {
            let mut upload = link.upload(ask, ANSWER).await?;
            for part in parts {
                upload.write(part).await?;
            }
            upload.finish(STORED).await
        };
        self.runtime.block_on(sent).map_err(trouble)
    }

    /// One parcel, into `content`; what was not there yet is made room for.
    fn parcel(
        &self,
        body: &mut Body,
        content: &mut Vec<u8>,
        until: Instant,
    ) -> Result<Head, String> {
        let read = async {
            let mut head = [0; HEAD_BYTES];
            body.fill(&mut head)
                .await
                .map_err(|error| error.to_string())?;
            let head = Head::parse(&head).map_err(|error| error.to_string())?;
            content.resize(usize::try_from(head.len).expect("at most some MiB"), 0);
            body.fill(content)
                .await
                .map_err(|error| error.to_string())?;
            Ok(head)
        };
        // Inside the runtime: a timer is made when it is called for, and this thread is none of the runtime's.
        let read = self
            .runtime
            .block_on(async { timeout_at(until, read).await });
        read.map_err(|_| "it is too slow".to_owned())?
    }
}

fn strange(reply: &ControllerReply) -> Trouble {
    Trouble::Refused(format!("its answer makes no sense: {reply:?}"))
}

/// What a failed request means for the job.
fn trouble(error: CallError) -> Trouble {
    match error {
        CallError::Refused(refusal) => match refusal.code {
            RefusalCode::NoJob => Trouble::Unwanted(refusal.to_string()),
            RefusalCode::Busy => Trouble::Away(refusal.to_string()),
            _ => Trouble::Refused(refusal.to_string()),
        },
        other => Trouble::Away(other.to_string()),
    }
}

impl Controller for LinkDesk {
    fn progress(&self, progress: &JobProgress) -> Result<(), Trouble> {
        self.line.touch();
        self.call(&FromAgent::JobProgress(progress.clone()))
            .map(drop)
    }

    fn manifest(&self, ticket: &str, limit: u64) -> Result<Vec<u8>, Trouble> {
        let (len, mut body) = self.fetch(ticket, Want::Manifest).map_err(trouble)?;
        if len.is_some_and(|len| len > limit) {
            return Err(Trouble::Refused("its manifest is too long".to_owned()));
        }
        let read = async {
            let mut bytes = Vec::new();
            while let Some(piece) = body.next().await? {
                if (bytes.len() + piece.len()) as u64 > limit {
                    return Err(BodyError::GivenUp);
                }
                bytes.extend_from_slice(&piece);
            }
            match len {
                Some(len) if len != bytes.len() as u64 => Err(BodyError::Cut),
                _ => Ok(bytes),
            }
        };
        let read = self.runtime.block_on(read);
        read.map_err(|error| trouble(error.into()))
    }

    fn have(&self, job: u64, ids: &[ChunkId]) -> Result<Vec<u32>, Trouble> {
        let mut missing = Vec::new();
        for (part, first) in ids.chunks(MOST_IDS).zip((0_u32..).step_by(MOST_IDS)) {
            let ids = part.iter().map(ToString::to_string).collect();
            match self.call(&FromAgent::Have { job, ids })? {
                ControllerReply::Missing { missing: places } => {
                    missing.extend(places.into_iter().map(|place| first.saturating_add(place)));
                }
                other => return Err(strange(&other)),
            }
        }
        Ok(missing)
    }

    fn put(&self, job: u64, parcels: &[(Head, Bytes)]) -> Result<(), Trouble> {
        let ask = FromAgent::Put {
            job,
            parcels: u32::try_from(parcels.len()).expect("a batch"),
        };
        let parts = parcels
            .iter()
            .flat_map(|(head, content)| [Bytes::copy_from_slice(&head.encode()), content.clone()]);
        self.upload(&ask, parts.collect()).map(drop)
    }

    fn save(&self, job: u64, manifest: &[u8]) -> Result<String, Trouble> {
        let len = manifest.len() as u64;
        let parts = vec![Bytes::copy_from_slice(manifest)];
        match self.upload(&FromAgent::Save { job, len }, parts)? {
            ControllerReply::Saved { version } => Ok(version),
            other => Err(strange(&other)),
        }
    }
}

impl ChunkSource for LinkDesk {
    fn name(&self) -> String {
        match self.line.link() {
            Some(link) => format!("controller {}", link.controller()),
            None => "controller".to_owned(),
        }
    }

    fn fetch(&self, request: &Request<'_>, take: Take<'_>) -> Result<(), String> {
        let until = Instant::now() + request.deadline;
        let ids = request.ids.iter().map(ToString::to_string).collect();
        let asked = LinkDesk::fetch(self, request.ticket, Want::Chunks { ids });
        let (_, mut body) = asked.map_err(|error| error.to_string())?;
        let mut content = Vec::new();
        // Between two parcels the disk is written, and the link's flow control holds the controller back.
        for _ in request.ids {
            let head = self.parcel(&mut body, &mut content, until)?;
            if !take(head, &content) {
                break;
            }
        }
        Ok(())
    }
}
