//! A rollout on its way: faster or slower, held and let go on, ended.

use std::sync::Arc;

use super::{RolloutError, about, check};
use crate::state::{
    Changes, Timestamp, Transition, View,
    ops::deployments::cancel,
    rollout::{Rollout, RolloutId, Stage},
};

/// The rollout, when there is such a one.
fn known(view: &View, id: RolloutId) -> Result<&Arc<Rollout>, RolloutError> {
    view.rollout(id).ok_or(RolloutError::NotFound(id))
}

/// The rollout, when a job of it is left.
fn open(view: &View, id: RolloutId) -> Result<&Arc<Rollout>, RolloutError> {
    let rollout = known(view, id)?;
    match rollout.stage(&rollout.tally(view)) {
        Stage::Over => Err(RolloutError::Over(id)),
        Stage::Running | Stage::Paused | Stage::Stopped => Ok(rollout),
    }
}

/// Writes it down with an event, when anything is other than it was.
fn written(was: &Rollout, is: Rollout, kind: &str, text: String, changes: &mut Changes) -> Rollout {
    if is != *was {
        changes.event(about(kind, &is, text));
        changes.write(is.clone());
    }
    is
}

/// A person changes how fast a rollout goes, or how many failures it bears.
#[derive(Debug, Clone)]
pub struct SetRollout {
    /// Which.
    pub id: RolloutId,
    /// Machines at work at once; `None` keeps. When it shrinks, what is at work goes on.
    pub limit: Option<u32>,
    /// Failures it bears; `None` keeps.
    pub max_failures: Option<u32>,
    /// Who, for people.
    pub by: String,
}

impl Transition for SetRollout {
    type Outcome = Result<Rollout, RolloutError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let known = known(view, self.id)?;
            let mut next = Rollout::clone(known);
            next.limit = self.limit.unwrap_or(next.limit);
            next.max_failures = self.max_failures.or(next.max_failures);
            check(next.limit, next.max_failures)?;
            let text = format!(
                "{} changed rollout {}: {} at a time",
                self.by, self.id, next.limit
            );
            Ok(written(known, next, "rollout.changed", text, changes))
        })
    }
}

/// A person holds a rollout: what is at work goes on, nothing more begins.
#[derive(Debug, Clone)]
pub struct PauseRollout {
    /// Which.
    pub id: RolloutId,
    /// Who, for people.
    pub by: String,
}

impl Transition for PauseRollout {
    type Outcome = Result<Rollout, RolloutError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let known = open(view, self.id)?;
            let mut next = Rollout::clone(known);
            next.paused_by.get_or_insert_with(|| self.by.clone());
            let text = format!("{} paused rollout {}", self.by, self.id);
            Ok(written(known, next, "rollout.paused", text, changes))
        })
    }
}

/// A person lets a rollout go on that was paused, or stopped by its failures: these are forgiven, and it bears as many
/// again.
#[derive(Debug, Clone)]
pub struct ResumeRollout {
    /// Which.
    pub id: RolloutId,
    /// Who, for people.
    pub by: String,
}

impl Transition for ResumeRollout {
    type Outcome = Result<Rollout, RolloutError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let known = open(view, self.id)?;
            let tally = known.tally(view);
            let mut next = Rollout::clone(known);
            match known.stage(&tally) {
                // Nothing holds it, so nothing is forgiven.
                Stage::Running | Stage::Over => {}
                Stage::Paused | Stage::Stopped => {
                    (next.paused_by, next.forgiven) = (None, tally.failed);
                }
            }
            let text = format!("{} let rollout {} go on", self.by, self.id);
            Ok(written(known, next, "rollout.resumed", text, changes))
        })
    }
}

/// A person ends what waits of a rollout; what is at work goes on.
#[derive(Debug, Clone)]
pub struct CancelRollout {
    /// Which.
    pub id: RolloutId,
    /// Who, for people.
    pub by: String,
}

impl Transition for CancelRollout {
    /// How many were ended.
    type Outcome = Result<usize, RolloutError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let rollout = known(view, self.id)?;
            let mut after = view.clone();
            let reason = format!("{} cancelled rollout {}", self.by, self.id);
            let jobs = rollout.deployments.iter();
            let waiting = jobs
                .filter_map(|id| view.deployment(*id))
                .filter(|d| d.is_open() && !d.is_active());
            let mut ended = 0;
            for job in waiting {
                // Whether it is the last one is seen behind the others.
                let cancelled = cancel(&after, job, &reason, now, changes);
                after.absorb(&cancelled.into());
                ended += 1;
            }
            Ok(ended)
        })
    }
}
