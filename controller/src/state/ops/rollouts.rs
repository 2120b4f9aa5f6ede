//! One order for many machines: asked for, changed and cancelled as one.

use std::sync::Arc;

use super::{
    deployments::{DeployError, Draw, cancel, enqueue, forget_oldest, has_room},
    orders::OrderSpec,
    setups::nth,
};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::Nonce,
    deployment::{Deployment, DeploymentId, Part},
    event::Draft,
    label::Selector,
    machine::{Machine, Standing},
    rollout::{KEPT, MAX_MACHINES, Rollout, RolloutId},
};

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
    /// The asker's own name for this request.
    pub key: Option<String>,
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
    /// It had been asked for before, with the same key.
    pub existed: bool,
}

impl Transition for CreateRollout {
    type Outcome = Result<RolledOut, DeployError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let created = self.created(view, now, &mut changes);
        match created {
            Ok(created) => (changes, Ok(created)),
            Err(error) => (Changes::none(), Err(error)),
        }
    }
}

impl CreateRollout {
    fn created(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<RolledOut, DeployError> {
        if let Some(known) = self.known(view) {
            return Ok(RolledOut {
                rollout: Rollout::clone(known),
                refused: Vec::new(),
                existed: true,
            });
        }
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
            return Err(first);
        }
        forget_rollouts(view, changes);
        let count = rollout.deployments.len();
        let text = format!(
            "{} asked to deploy to {count} machines ({}), {} at a time",
            self.by, self.selector, self.limit
        );
        changes.event(about("rollout.created", &rollout, text));
        changes.write(rollout.clone());
        Ok(RolledOut {
            rollout,
            refused,
            existed: false,
        })
    }

    fn known<'v>(&self, view: &'v View) -> Option<&'v Arc<Rollout>> {
        let key = self.key.as_ref()?;
        view.rollouts().find(|r| r.key.as_ref() == Some(key))
    }

    fn machines<'v>(&self, view: &'v View) -> Result<Vec<&'v Arc<Machine>>, DeployError> {
        if self.limit == 0 {
            return Err(DeployError::NoLimit);
        }
        let meant =
            |m: &&Arc<Machine>| m.standing != Standing::Seen && self.selector.fits(&m.labels);
        let mut machines: Vec<_> = view.machines().filter(meant).collect();
        // In the order people read them, so that the first ones go first.
        machines.sort_by(|a, b| a.name.cmp(&b.name));
        match machines.len() {
            0 => Err(DeployError::NoneFits(self.selector.to_string())),
            n if n > MAX_MACHINES => Err(DeployError::TooManyMachines(n)),
            _ => Ok(machines),
        }
    }

    fn fresh(&self, view: &View, now: Timestamp) -> Rollout {
        Rollout {
            id: view.next_rollout(),
            selector: self.selector.to_string(),
            by: self.by.clone(),
            key: self.key.clone(),
            limit: self.limit,
            max_failures: self.max_failures,
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
        has_room(view, machine, 1)?;
        let order = self.order.pin(view, machine)?;
        let draw = Draw {
            machine,
            by: &self.by,
            key: None,
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

/// Makes room for one more.
fn forget_rollouts(view: &View, changes: &mut Changes) {
    let tally = |r: &&Arc<Rollout>| {
        let tally = r.tally(view);
        tally.waiting + tally.active == 0
    };
    let over: Vec<_> = view.rollouts().filter(tally).map(|r| r.id).collect();
    // The newest number is never given twice, so its record stays.
    for id in over.iter().take(over.len().saturating_sub(KEPT)) {
        changes.write(Key::Rollout(*id));
    }
}

fn about(kind: &str, rollout: &Rollout, text: String) -> Draft {
    Draft::new(kind, text).field("rollout", rollout.id.to_string())
}

/// A person changes how fast a rollout goes, or how many failures it bears.
#[derive(Debug, Clone)]
pub struct SetRollout {
    /// Which.
    pub id: RolloutId,
    /// Machines at work at once; `None` keeps.
    pub limit: Option<u32>,
    /// Failures it bears; `None` keeps, `Some(None)`: any number.
    pub max_failures: Option<Option<u32>>,
}

impl Transition for SetRollout {
    type Outcome = Result<Rollout, DeployError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(known) = view.rollout(self.id) else {
            return (changes, Err(DeployError::NoRollout(self.id)));
        };
        let mut rollout = Rollout::clone(known);
        rollout.limit = self.limit.unwrap_or(rollout.limit);
        rollout.max_failures = self.max_failures.unwrap_or(rollout.max_failures);
        if rollout.limit == 0 {
            return (changes, Err(DeployError::NoLimit));
        }
        if rollout != **known {
            let text = format!("rollout {} was changed", rollout.id);
            changes.event(about("rollout.changed", &rollout, text));
            changes.write(rollout.clone());
        }
        (changes, Ok(rollout))
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
    type Outcome = Result<usize, DeployError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(rollout) = view.rollout(self.id) else {
            return (changes, Err(DeployError::NoRollout(self.id)));
        };
        let jobs = rollout
            .deployments
            .iter()
            .filter_map(|id| view.deployment(*id));
        let waiting: Vec<_> = jobs.filter(|d| d.is_open() && !d.is_active()).collect();
        let reason = format!("{} cancelled rollout {}", self.by, self.id);
        for job in &waiting {
            cancel(view, job, &reason, now, &mut changes);
        }
        (changes, Ok(waiting.len()))
    }
}
