//! How far the running steps of deployments are. Only in memory, for people who watch: what counts is the step itself,
//! and that is in the store.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use mesh_proto::message::job::JobProgress;
use tokio::sync::watch;

use super::lock;
use crate::state::deployment::DeploymentId;

/// A rate is measured over so long: shorter ones jump, longer ones lag.
const RATE_OVER: Duration = Duration::from_secs(3);
/// What was silent for so long is no news any more.
const FORGOTTEN: Duration = Duration::from_secs(3600);

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

/// The running steps of all deployments; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Steps(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    running: Mutex<HashMap<DeploymentId, Progress>>,
    said: watch::Sender<u64>,
}

impl Steps {
    /// How far the running step of a deployment is.
    #[must_use]
    pub fn of(&self, id: DeploymentId) -> Option<Progress> {
        lock(&self.0.running).get(&id).cloned()
    }

    /// Changes with each word of an agent.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.0.said.subscribe()
    }

    /// An agent said how far it is.
    pub(crate) fn said(&self, said: JobProgress, now: Instant) {
        let id = DeploymentId(said.job);
        {
            let mut running = lock(&self.0.running);
            let before = running.get(&id).filter(|p| p.said.step == said.step);
            let fresh = Progress {
                bytes_per_s: before.map_or(0, |p| p.bytes_per_s),
                from: before.map_or((now, said.done_bytes), |p| p.from),
                said,
                at: now,
            };
            running.insert(id, measured(fresh));
            running.retain(|_, p| now.duration_since(p.at) < FORGOTTEN);
        }
        self.0.said.send_modify(|n| *n += 1);
    }

    /// A deployment's work is over.
    pub(crate) fn ended(&self, id: DeploymentId) {
        lock(&self.0.running).remove(&id);
        self.0.said.send_modify(|n| *n += 1);
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
        let (steps, start) = (Steps::default(), Instant::now());
        let rate = |steps: &Steps| {
            let p = steps.of(DeploymentId(7)).unwrap();
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
