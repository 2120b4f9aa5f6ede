//! Jobs over the link: what an agent is to do to its disk, how far it is, and how it ended.
//!
//! Each step and the end are written down before the agent is answered; how far a step is stays in memory, for people who
//! watch.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use mesh_net::LinkHandle;
use mesh_proto::message::{
    Refusal, RefusalCode,
    job::{JobEnd, JobProgress},
    link::{ControllerReply, Habitat, ToAgent},
};
use tracing::{debug, info, warn};

use super::{Inner, Mesh, lock};
use crate::{
    images::IncomingId,
    state::{
        deployment::{Deployment, DeploymentId, State},
        machine::MachineId,
        ops::{ClaimJob, EndJob, JobAnswer, ReportStep, still_wanted},
        trust::key::Serial,
    },
};

/// How long an agent may take to say that it heard.
const NUDGE_WITHIN: Duration = Duration::from_secs(5);
/// A rate is measured over so long: shorter ones jump, longer ones lag.
const RATE_OVER: Duration = Duration::from_secs(3);

/// How far the running step of a deployment is, as its agent said last.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// What the agent said.
    pub said: JobProgress,
    /// Bytes of the disk a second, lately; zero before it is known.
    pub bytes_per_s: u64,
    /// When it was said.
    at: Instant,
    /// What the rate is measured from.
    from: (Instant, u64),
}

impl Progress {
    /// Seconds until the step is done, if it goes on so.
    #[must_use]
    pub fn eta_s(&self) -> Option<u64> {
        let left = self.said.total_bytes.saturating_sub(self.said.done_bytes);
        left.checked_div(self.bytes_per_s)
    }
}

/// The running steps of all deployments.
#[derive(Debug, Default)]
pub(super) struct Steps(HashMap<DeploymentId, Progress>);

impl Steps {
    fn said(&mut self, said: JobProgress, now: Instant) {
        let id = DeploymentId(said.job);
        let before = self.0.get(&id).filter(|p| p.said.step == said.step);
        let fresh = Progress {
            bytes_per_s: before.map_or(0, |p| p.bytes_per_s),
            from: before.map_or((now, said.done_bytes), |p| p.from),
            said,
            at: now,
        };
        self.0.insert(id, measured(fresh));
        // What is over, or silent for long, is no news any more.
        self.0
            .retain(|_, p| now.duration_since(p.at) < Duration::from_secs(3600));
    }
}

/// With a new rate once enough time has gone.
fn measured(mut progress: Progress) -> Progress {
    let (since, bytes) = progress.from;
    let took = progress.at.duration_since(since);
    if took >= RATE_OVER || (progress.bytes_per_s == 0 && took >= RATE_OVER / 6) {
        let done = progress.said.done_bytes.saturating_sub(bytes);
        let rate = u128::from(done) * 1000 / took.as_millis().max(1);
        progress.bytes_per_s = u64::try_from(rate).unwrap_or(u64::MAX);
        progress.from = (progress.at, progress.said.done_bytes);
    }
    progress
}

impl Mesh {
    /// How far the running step of a deployment is.
    #[must_use]
    pub fn progress(&self, id: DeploymentId) -> Option<Progress> {
        lock(&self.0.job_steps).0.get(&id).cloned()
    }

    /// Something changed for this machine's disk: its agent is told to ask, or, where it runs in an installed OS, the machine
    /// is started again.
    pub fn nudge(&self, machine: &MachineId) {
        self.0.nudge(machine);
    }
}

impl Inner {
    /// See [`Mesh::nudge`].
    pub(super) fn nudge(self: &std::sync::Arc<Self>, machine: &MachineId) {
        let link = lock(&self.links)
            .get(machine.node())
            .map(|l| l.handle.clone());
        let Some(link) = link else { return };
        let in_management =
            (self.store.view().member(machine)).is_some_and(|m| m.habitat == Habitat::ManagementOs);
        let (inner, machine) = (std::sync::Arc::clone(self), machine.clone());
        self.work.spawn(async move {
            if !in_management {
                return inner.go_on(&machine).await;
            }
            if let Err(error) = link.ask(&ToAgent::Jobs, NUDGE_WITHIN).await {
                // It asks by itself, too, only later.
                debug!(%machine, "an agent was not told of its job: {error}");
            }
        });
    }

    /// An agent asks what is to be done.
    pub(super) async fn give_job(&self, link: &LinkHandle) -> Result<ControllerReply, Refusal> {
        let claim = ClaimJob {
            serial: serial(link),
            base: self.boot_base.to_string(),
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
        lock(&self.job_steps).said(progress, Instant::now());
        Ok(())
    }

    /// An agent says how its job ended.
    pub(super) async fn take_end(
        self: &std::sync::Arc<Self>,
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
    pub(super) fn is_over(self: &std::sync::Arc<Self>, job: &Deployment) {
        lock(&self.job_steps).0.remove(&job.id);
        if let Some(images) = &self.images {
            images.arrived(&IncomingId::Capture(job.id));
        }
        self.nudge(&job.machine);
    }
}

pub(super) fn serial(link: &LinkHandle) -> Serial {
    Serial::new(&link.peer().serial)
}

#[cfg(test)]
mod tests {
    use mesh_proto::message::job::Step;

    use super::*;

    fn said(step: Step, done_bytes: u64) -> JobProgress {
        JobProgress {
            job: 7,
            step,
            done_bytes,
            total_bytes: 1000,
            wire_bytes: 0,
        }
    }

    #[test]
    fn a_rate_is_of_the_last_seconds_and_begins_anew_with_each_step() {
        let (mut steps, start) = (Steps::default(), Instant::now());
        let rate = |steps: &Steps| {
            let p = &steps.0[&DeploymentId(7)];
            (p.bytes_per_s, p.eta_s())
        };
        steps.said(said(Step::Writing, 0), start);
        assert_eq!(rate(&steps), (0, None));
        steps.said(said(Step::Writing, 100), start + Duration::from_secs(1));
        assert_eq!(rate(&steps), (100, Some(9)));
        // Half as fast: it shows when three more seconds are over, not before.
        steps.said(said(Step::Writing, 150), start + Duration::from_secs(2));
        assert_eq!(rate(&steps).0, 100);
        steps.said(said(Step::Writing, 250), start + Duration::from_secs(4));
        assert_eq!(rate(&steps), (50, Some(15)));
        steps.said(said(Step::Verifying, 0), start + Duration::from_secs(5));
        assert_eq!(rate(&steps), (0, None));
    }
}
