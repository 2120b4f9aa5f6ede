//! Jobs over the link: what an agent is to do to its disk, how far it is, and how it ended.
//!
//! Each step and the end are written down before the agent is answered; how far a step is stays in memory, for people who
//! watch.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use mesh_net::LinkHandle;
use mesh_proto::message::{
    Refusal, RefusalCode,
    job::{JobEnd, JobProgress},
    link::{ControllerReply, Habitat, ToAgent},
};
use tracing::{debug, info, warn};

use super::{Inner, Mesh, lock, steps::Steps};
use crate::{
    images::IncomingId,
    state::{
        deployment::{Deployment, State},
        machine::MachineId,
        ops::{ClaimJob, EndJob, FreshJoin, JobAnswer, ReportStep, still_wanted},
        trust::{
            Digest,
            key::Serial,
            token::{TokenId, TokenText},
        },
    },
};

/// How long an agent may take to say that it heard.
const NUDGE_WITHIN: Duration = Duration::from_secs(5);
impl Mesh {
    /// How far running steps are.
    #[must_use]
    pub fn steps(&self) -> &Steps {
        &self.0.steps
    }

    /// Something changed for this machine's disk: its agent is told to ask, or, where it runs in an installed OS, the machine
    /// is started again.
    pub fn nudge(&self, machine: &MachineId) {
        self.0.nudge(machine);
    }
}

impl Inner {
    /// See [`Mesh::nudge`].
    pub(super) fn nudge(self: &Arc<Self>, machine: &MachineId) {
        if lock(&self.links).get(machine.node()).is_none() {
            return;
        }
        let (inner, machine) = (Arc::clone(self), machine.clone());
        self.work.spawn(
            async move {
                if inner.is_in_management(&machine) {
                    inner.tell_of_jobs(&machine).await;
                } else {
                    inner.go_on(&machine).await;
                }
            }
            .boxed(),
        );
    }

    /// The agent of a machine's management OS is told to ask. Where there is none, nothing happens.
    pub(super) async fn tell_of_jobs(&self, machine: &MachineId) {
        let link = lock(&self.links)
            .get(machine.node())
            .map(|l| l.handle.clone());
        let Some(link) = link.filter(|_| self.is_in_management(machine)) else {
            return;
        };
        if let Err(error) = link.ask(&ToAgent::Jobs, NUDGE_WITHIN).await {
            // It asks by itself, too, only later.
            debug!(%machine, "an agent was not told of its job: {error}");
        }
    }

    fn is_in_management(&self, machine: &MachineId) -> bool {
        let view = self.store.view();
        let member = view.member(machine);
        member.is_some_and(|m| m.habitat == Habitat::ManagementOs)
    }

    /// An agent asks what is to be done.
    pub(super) async fn give_job(&self, link: &LinkHandle) -> Result<ControllerReply, Refusal> {
        let ca = Digest(self.ca.sha256());
        let id = TokenId::from_random(rand::random());
        let claim = ClaimJob {
            serial: serial(link),
            base: self.boot_base.to_string(),
            join: FreshJoin {
                token: TokenText::fresh(id, rand::random(), &ca),
                controllers: self.controllers.clone(),
            },
        };
        let (mut job, ticket) = match self.apply(claim).await?? {
            JobAnswer::Nothing { text } => return Ok(ControllerReply::Job { job: None, text }),
            JobAnswer::Do { job, ticket } => (job, ticket),
        };
        if let (Some(image), Some(ticket)) = (&mut job.image, &ticket) {
            image.ticket = self.ca.sign_ticket(ticket).map_err(|error| {
                warn!("a ticket could not be signed: {error}");
                Refusal::new(RefusalCode::Failed, "the ticket could not be signed")
            })?;
        }
        let what = job.image.as_ref().map(|image| image.name.as_str());
        let text = match what {
            Some(image) => format!("deployment {}: {image}", job.id),
            None => format!("deployment {}", job.id),
        };
        info!(node = %link.peer().node, deployment = job.id, image = what, "a job is taken");
        Ok(ControllerReply::Job {
            job: Some(job),
            text,
        })
    }

    /// An agent says how far it is. A new step is durable before it is answered.
    pub(super) async fn take_progress(
        &self,
        link: &LinkHandle,
        progress: JobProgress,
    ) -> Result<(), Refusal> {
        let begun = {
            let view = self.store.view();
            let job = still_wanted(&view, &serial(link), progress.job)?;
            job.state != State::from(progress.step)
        };
        if begun {
            let report = ReportStep {
                serial: serial(link),
                progress: progress.clone(),
            };
            self.apply(report).await??;
        }
        self.steps.said(progress, Instant::now());
        Ok(())
    }

    /// An agent says how its job ended.
    pub(super) async fn take_end(
        self: &Arc<Self>,
        link: &LinkHandle,
        end: JobEnd,
    ) -> Result<(), Refusal> {
        let ended = self
            .apply(EndJob {
                serial: serial(link),
                end,
            })
            .await??;
        self.is_over(&ended);
        Ok(())
    }

    /// What was only kept for a running job goes.
    pub(super) fn is_over(self: &Arc<Self>, job: &Deployment) {
        self.steps.ended(job.id);
        if let Some(images) = &self.images {
            // One that was saved has arrived before.
            images.abandoned(&IncomingId::Capture(job.id));
        }
        self.nudge(&job.machine);
    }
}

pub(super) fn serial(link: &LinkHandle) -> Serial {
    Serial::new(&link.peer().serial)
}
