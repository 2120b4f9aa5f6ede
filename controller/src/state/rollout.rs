//! Rollouts: one order for many machines, a few of them at a time.
//!
//! The jobs wait in their machines' queues like any other. How many of them may be at work is looked up when one is about
//! to begin, so there is nothing to release and nothing that a crash could leave held.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    Timestamp, View,
    deployment::{DeploymentId, State},
};

/// Rollouts kept after their jobs are over.
pub const KEPT: usize = 64;
/// Machines one rollout may have: as many as one transaction should write.
pub const MAX_MACHINES: usize = 1_024;

/// A rollout's number; later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub u64);

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for RolloutId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its number.
    pub id: RolloutId,
    /// Which machines were meant, as it was asked.
    pub selector: String,
    /// Who asked for it, for people.
    pub by: String,
    /// The asker's own name for this request.
    #[serde(default)]
    pub key: Option<String>,
    /// Jobs at work at once.
    pub limit: u32,
    /// After so many failures no further job begins; `None`: they all do.
    #[serde(default)]
    pub max_failures: Option<u32>,
    /// Its jobs.
    pub deployments: Vec<DeploymentId>,
    /// When it was asked for.
    pub created: Timestamp,
}

/// How a rollout fares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Jobs that wait.
    pub waiting: u32,
    /// Jobs at work, or whose machine starts.
    pub active: u32,
    /// Jobs that ended well.
    pub good: u32,
    /// Jobs that failed.
    pub failed: u32,
    /// Jobs that a person ended, and those that are no longer kept.
    pub other: u32,
}

impl Rollout {
    /// How its jobs stand.
    #[must_use]
    pub fn tally(&self, view: &View) -> Tally {
        let mut tally = Tally::default();
        for id in &self.deployments {
            let job = view.deployment(*id);
            let count = match job.map(|d| (d.state, d.is_active())) {
                Some((_, true)) => &mut tally.active,
                Some((State::Queued, _)) => &mut tally.waiting,
                Some((State::Online | State::Done | State::HandedOver, _)) => &mut tally.good,
                Some((State::Failed, _)) => &mut tally.failed,
                Some(_) | None => &mut tally.other,
            };
            *count += 1;
        }
        tally
    }

    /// Why none of its jobs may begin now, if so.
    #[must_use]
    pub fn holds(&self, view: &View) -> Option<String> {
        let tally = self.tally(view);
        if self.max_failures.is_some_and(|max| tally.failed >= max) {
            return Some(format!(
                "rollout {} stopped after {} failures; cancel it, or raise how many it bears",
                self.id, tally.failed
            ));
        }
        (tally.active >= self.limit).then(|| {
            format!(
                "rollout {} has {} of {} machines at work",
                self.id, tally.active, self.limit
            )
        })
    }
}
