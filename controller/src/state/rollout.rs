//! Rollouts: one order for many machines, a few of them at a time.
//!
//! The jobs wait in their machines' queues like any other. How many of them may be at work is looked up when one is about
//! to begin, so there is nothing to release and nothing that a crash could leave held.

use serde::{Deserialize, Serialize};

pub use super::number::RolloutId;
use super::{
    Timestamp, View,
    deployment::{DeploymentId, State},
};

/// Rollouts kept after their jobs are over.
pub const KEPT: usize = 64;
/// Machines one rollout may have: as many as one transaction should write.
pub const MAX_MACHINES: usize = 1_024;
/// Machines at work at once when nobody says otherwise: what one controller feeds at full speed.
pub const AT_ONCE: u32 = 8;
/// Failures that a rollout bears when nobody says otherwise: one is the machine's own, three are the image's.
pub const MAX_FAILURES: u32 = 3;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// Its number.
    pub id: RolloutId,
    /// Which machines were meant, as it was asked.
    pub selector: String,
    /// Who asked for it, for people.
    pub by: String,
    /// Jobs at work at once.
    pub limit: u32,
    /// After so many failures no further job begins; `None`: they all do.
    #[serde(default)]
    pub max_failures: Option<u32>,
    /// Failures that a person knew of when they let it go on: these do not count any more.
    #[serde(default)]
    pub forgiven: u32,
    /// Who stopped it for a while, if so.
    #[serde(default)]
    pub paused_by: Option<String>,
    /// Its jobs.
    pub deployments: Vec<DeploymentId>,
    /// When it was asked for.
    pub created: Timestamp,
}

/// How a rollout fares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Jobs are at work, or the next one begins.
    Running,
    /// A person holds it: what is at work goes on, nothing begins.
    Paused,
    /// Too many failed: what is at work goes on, nothing begins.
    Stopped,
    /// No job is left.
    Over,
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

    /// Where it stands with such a tally.
    #[must_use]
    pub fn stage(&self, tally: &Tally) -> Stage {
        let counted = tally.failed.saturating_sub(self.forgiven);
        if tally.waiting + tally.active == 0 {
            Stage::Over
        } else if self.paused_by.is_some() {
            Stage::Paused
        } else if self.max_failures.is_some_and(|max| counted >= max) {
            Stage::Stopped
        } else {
            Stage::Running
        }
    }

    /// Why none of its jobs may begin now, if so.
    #[must_use]
    pub fn holds(&self, view: &View) -> Option<String> {
        let tally = self.tally(view);
        match self.stage(&tally) {
            Stage::Running if tally.active < self.limit => None,
            Stage::Running | Stage::Paused | Stage::Stopped | Stage::Over => {
                Some(format!("rollout {} {}", self.id, self.standing(&tally)))
            }
        }
    }

    /// What comes next, or what it waits for. Empty when it is over.
    #[must_use]
    pub fn next_step(&self, tally: &Tally) -> String {
        match self.stage(tally) {
            Stage::Over => String::new(),
            Stage::Running if tally.waiting == 0 => {
                format!("the last {} are at work", tally.active)
            }
            Stage::Running if tally.active < self.limit => {
                format!("the next of {} begins", tally.waiting)
            }
            Stage::Running | Stage::Paused | Stage::Stopped => {
                format!("{}; {} wait", self.standing(tally), tally.waiting)
            }
        }
    }

    /// What stands in the way, as the end of a sentence about it.
    fn standing(&self, tally: &Tally) -> String {
        match self.stage(tally) {
            Stage::Running => format!("has {} of {} machines at work", tally.active, self.limit),
            Stage::Paused => {
                let by = self.paused_by.as_deref().unwrap_or_default();
                format!("was paused by {by}; resume it")
            }
            Stage::Stopped => {
                let failed = tally.failed;
                format!("stopped after {failed} failures; resume or cancel it")
            }
            Stage::Over => "is over".to_owned(),
        }
    }
}
