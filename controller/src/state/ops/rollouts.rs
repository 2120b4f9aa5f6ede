//! One order for many machines: asked for as one. [`steer`] changes it on its way.

mod steer;

use std::sync::Arc;

pub use steer::{CancelRollout, PauseRollout, ResumeRollout, SetRollout};

use super::{
    deployments::{DeployError, Draw, enqueue, forget_oldest, has_room},
    holds::may_use,
    orders::OrderSpec,
    setups::nth,
};
use crate::ordered::sort_by;
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::Nonce,
    deployment::{Deployment, DeploymentId, Part},
    event::Draft,
    label::Selector,
    machine::{Machine, Standing},
    rollout::{KEPT, MAX_MACHINES, Rollout, RolloutId, Stage},
};

/// Why a rollout cannot be asked for or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RolloutError {
    /// It can be done for none of its machines; the reason for the first.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// The selector means no machine.
    #[error("no registered machine fits '{0}'")]
    NoneFits(String),
    /// Too many machines at once.
    #[error("{0} machines are meant, and one rollout has at most {MAX_MACHINES}; choose fewer")]
    TooManyMachines(usize),
    /// A limit of none.
    #[error("a rollout needs at least one machine at work at a time")]
    NoLimit,
    /// It would never begin.
    #[error("a rollout bears at least one failure: with 1 it stops at the first")]
    NoFailures,
    /// No such rollout.
    #[error("there is no rollout {0}; `enforcer rollouts list` shows the known ones")]
    NotFound(RolloutId),
    /// No job of it is left.
    #[error("rollout {0} is over")]
    Over(RolloutId),
}

/// A person asks for the same on many machines, a few at a time.
#[derive(Debug, Clone)]
pub struct CreateRollout {
    /// Which machines; those that are only seen are never meant.
    pub selector: Selector,
    /// What.
    pub order: OrderSpec,
    /// Machines at work at once.
    pub limit: u32,
    /// After so many failures no further one begins.
    pub max_failures: Option<u32>,
    /// Who, for people.
    pub by: String,
    /// Fresh random name, from which each deployment gets its own.
    pub nonce: Nonce,
}

/// A rollout that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RolledOut {
    /// It.
    pub rollout: Rollout,
    /// Machines that were meant and for which it cannot be done, with the reason.
    pub refused: Vec<(String, DeployError)>,
}

impl Transition for CreateRollout {
    type Outcome = Result<RolledOut, RolloutError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| self.created(view, now, changes))
    }
}

impl CreateRollout {
    fn created(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<RolledOut, RolloutError> {
        let machines = self.machines(view)?;
        let (mut rollout, mut refused) = (self.fresh(view, now), Vec::new());
        for machine in machines {
            let next = view.next_deployment().0 + rollout.deployments.len() as u64;
            match self.job(view, machine, &rollout, DeploymentId(next), now) {
                Ok(job) => {
                    forget_oldest(view, machine, changes);
                    enqueue(&job, machine, changes);
                    rollout.deployments.push(job.id);
                }
                Err(error) => refused.push((machine.name.to_string(), error)),
            }
        }
        if rollout.deployments.is_empty() {
            let (_, first) = refused.swap_remove(0);
            return Err(first.into());
        }
        forget_rollouts(view, changes);
        let count = rollout.deployments.len();
        let text = format!(
            "{} asked to deploy to {count} machines ({}), {} at a time",
            self.by, self.selector, self.limit
        );
        changes.event(about("rollout.created", &rollout, text));
        changes.write(rollout.clone());
        Ok(RolledOut { rollout, refused })
    }

    fn machines<'v>(&self, view: &'v View) -> Result<Vec<&'v Arc<Machine>>, RolloutError> {
        check(self.limit, self.max_failures)?;
        let meant =
            |m: &&Arc<Machine>| m.standing != Standing::Seen && self.selector.fits(&m.labels);
        let mut machines: Vec<_> = view.machines().filter(meant).collect();
        // In the order people read them, so that the first ones go first.
        sort_by(&mut machines, |a, b| a.name.cmp(&b.name));
        match machines.len() {
            0 => Err(RolloutError::NoneFits(self.selector.to_string())),
            n if n > MAX_MACHINES => Err(RolloutError::TooManyMachines(n)),
            _ => Ok(machines),
        }
    }

    fn fresh(&self, view: &View, now: Timestamp) -> Rollout {
        Rollout {
            id: view.next_rollout(),
            selector: self.selector.to_string(),
            by: self.by.clone(),
            limit: self.limit,
            max_failures: self.max_failures,
            forgiven: 0,
            paused_by: None,
            deployments: Vec::new(),
            created: now,
        }
    }

    fn job(
        &self,
        view: &View,
        machine: &Machine,
        rollout: &Rollout,
        id: DeploymentId,
        now: Timestamp,
    ) -> Result<Deployment, DeployError> {
        may_use(machine, &self.by, now).map_err(DeployError::Held)?;
        has_room(view, machine, 1)?;
        let order = self.order.pin(view, machine)?;
        let draw = Draw {
            machine: &machine.id,
            by: &self.by,
            now,
        };
        let part = Part::Rollout {
            rollout: rollout.id,
        };
        // One of them known does not tell the others'.
        let nonce = nth(&self.nonce, rollout.deployments.len() as u64 + 1);
        Ok(draw.job(id, nonce, order, Some(part)))
    }
}

/// Whether a rollout can go on with these at all.
fn check(limit: u32, max_failures: Option<u32>) -> Result<(), RolloutError> {
    match (limit, max_failures) {
        (0, _) => Err(RolloutError::NoLimit),
        (_, Some(0)) => Err(RolloutError::NoFailures),
        _ => Ok(()),
    }
}

/// Makes room for one more.
fn forget_rollouts(view: &View, changes: &mut Changes) {
    let is_over = |r: &&Arc<Rollout>| r.stage(&r.tally(view)) == Stage::Over;
    let over: Vec<_> = view.rollouts().filter(is_over).map(|r| r.id).collect();
    // The newest number is never given twice, so its record stays.
    for id in over.iter().take(over.len().saturating_sub(KEPT)) {
        changes.write(Key::Rollout(*id));
    }
}

fn about(kind: &str, rollout: &Rollout, text: String) -> Draft {
    Draft::new(kind, text).field("rollout", rollout.id.to_string())
}

/// A job of a rollout ended: that it was the last, or one failure too many, is told.
pub(super) fn part_ended(view: &View, id: RolloutId, ended: &Deployment, changes: &mut Changes) {
    let Some(rollout) = view.rollout(id) else {
        return;
    };
    let mut after = view.clone();
    after.absorb(&ended.clone().into());
    let (before, tally) = (rollout.tally(view), rollout.tally(&after));
    let (was, is) = (rollout.stage(&before), rollout.stage(&tally));
    if was == is {
        return;
    }
    let kind = match is {
        Stage::Stopped => "rollout.stopped",
        Stage::Over => "rollout.done",
        Stage::Running | Stage::Paused => return,
    };
    let text = match is {
        Stage::Stopped => format!("rollout {id} {}", rollout.next_step(&tally)),
        _ => format!(
            "rollout {id} is over: {} good, {} failed, {} ended otherwise",
            tally.good, tally.failed, tally.other
        ),
    };
    let draft = about(kind, rollout, text)
        .field("good", tally.good.to_string())
        .field("failed", tally.failed.to_string());
    changes.event(draft);
}
