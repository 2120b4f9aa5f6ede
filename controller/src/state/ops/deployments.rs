//! Deployments are asked for, moved and cancelled by people.

mod cancel;
mod moved;

pub use cancel::CancelDeployment;
pub(super) use cancel::cancel;
pub use moved::MoveDeployment;

use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::Nonce,
    deployment::{Deployment, DeploymentId, KEPT, MAX_QUEUED, Moment, Order, Part, State, queue},
    event::Draft,
    machine::{Machine, MachineId},
    ops::{
        MachineRef,
        holds::{Held, may_use},
        orders::{OrderError, OrderSpec},
    },
};

/// Why a deployment cannot be asked for or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// No such machine.
    #[error("no machine is called '{0}'; `enforcer machines list` shows the known ones")]
    NoMachine(String),
    /// It cannot be done as asked.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// Somebody else has the machine.
    #[error(transparent)]
    Held(#[from] Held),
    /// The queue is full.
    #[error("{0} has {MAX_QUEUED} deployments waiting; cancel some first")]
    TooMany(String),
    /// No such deployment.
    #[error("there is no deployment {0}; `enforcer deployments list` shows the known ones")]
    NotFound(DeploymentId),
    /// It is not waiting any more.
    #[error("deployment {0} is {1}; only one that waits can be moved")]
    NotWaiting(DeploymentId, &'static str),
    /// It is over.
    #[error("deployment {0} is over: {1}")]
    Over(DeploymentId, &'static str),
    /// No such setup.
    #[error("no setup is called '{0}'; `enforcer setups list` shows the known ones")]
    NoSetup(String),
    /// A part of a setup would overwrite one before it.
    #[error(
        "{0}: two parts of the setup mean the same disk or partition; give each a place of its own"
    )]
    SameDisk(String),
}

/// A person asks for something to be done to a machine's disk.
#[derive(Debug, Clone)]
pub struct CreateDeployment {
    /// Whose.
    pub machine: MachineRef,
    /// What.
    pub order: OrderSpec,
    /// Who, for people.
    pub by: String,
    /// Fresh random name.
    pub nonce: Nonce,
}

/// A deployment that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    /// It.
    pub deployment: Deployment,
    /// Somebody had asked for the same before.
    pub existed: bool,
}

impl Transition for CreateDeployment {
    type Outcome = Result<Created, DeployError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| self.created(view, now, changes))
    }
}

impl CreateDeployment {
    fn created(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Created, DeployError> {
        let missing = || DeployError::NoMachine(self.machine.0.clone());
        let machine = self.machine.find(view).ok_or_else(missing)?;
        may_use(&machine, &self.by, now)?;
        let order = self.order.pin(view, &machine)?;
        // Two people who race for the same get the same job.
        let mut waiting = view.queue_of(&machine.id);
        if let Some(same) = waiting.find(|d| d.order == order && d.part.is_none()) {
            return Ok(Created {
                deployment: Deployment::clone(same),
                existed: true,
            });
        }
        has_room(view, &machine, 1)?;
        let deployment = Draw {
            machine: &machine.id,
            by: &self.by,
            now,
        }
        .job(view.next_deployment(), self.nonce.clone(), order, None);
        forget_oldest(view, &machine, changes);
        enqueue(&deployment, &machine, changes);
        Ok(Created {
            deployment,
            existed: false,
        })
    }
}

/// What new deployments of one request have in common.
pub(super) struct Draw<'a> {
    pub(super) machine: &'a MachineId,
    pub(super) by: &'a str,
    pub(super) now: Timestamp,
}

impl Draw<'_> {
    /// A new deployment, at the queue's end.
    pub(super) fn job(
        &self,
        id: DeploymentId,
        nonce: Nonce,
        order: Order,
        part: Option<Part>,
    ) -> Deployment {
        Deployment {
            id,
            nonce,
            machine: self.machine.clone(),
            place: i64::try_from(id.0).unwrap_or(i64::MAX),
            by: self.by.to_owned(),
            order,
            part,
            created: self.now,
            state: State::Queued,
            since: self.now,
            reason: None,
            tries: 0,
            boots: 0,
            session: None,
            captured: None,
            written: None,
            token: None,
            taken_by: None,
            switched: None,
            deadline: None,
            history: vec![Moment {
                state: State::Queued,
                at: self.now,
            }],
        }
    }
}

pub(super) fn has_room(view: &View, machine: &Machine, more: usize) -> Result<(), DeployError> {
    match view.queue_of(&machine.id).count() + more > MAX_QUEUED {
        true => Err(DeployError::TooMany(machine.name.to_string())),
        false => Ok(()),
    }
}

/// Writes a new deployment down.
pub(super) fn enqueue(deployment: &Deployment, machine: &Machine, changes: &mut Changes) {
    let text = format!(
        "{} asked to deploy {} to {}",
        deployment.by,
        deployment.title(),
        machine.name
    );
    changes.event(about("deployment.queued", deployment, text));
    changes.write(deployment.clone());
}

/// Makes room in a machine's history for one more.
pub(super) fn forget_oldest(view: &View, machine: &Machine, changes: &mut Changes) {
    let newest = view.deployments().next_back().map(|d| d.id);
    let over: Vec<_> = view
        .deployments_of(&machine.id)
        // The newest number is never given twice, so its record stays.
        .filter(|d| !d.is_open() && Some(d.id) != newest && !is_needed(view, d))
        .map(|d| d.id)
        .collect();
    for id in over.iter().take(over.len().saturating_sub(KEPT)) {
        changes.write(Key::Deployment(*id));
    }
}

/// Deletes the deployments of a machine that is forgotten.
pub(super) fn forget_deployments_of(view: &View, machine: &MachineId, changes: &mut Changes) {
    let newest = view.deployments().next_back().map(|d| d.id);
    for job in view.deployments_of(machine) {
        if Some(job.id) != newest {
            changes.write(Key::Deployment(job.id));
        } else if job.is_open() {
            let reason = "its machine was forgotten".to_owned();
            changes.write(job.to(State::Cancelled, Some(reason), job.since));
        }
    }
}

/// Whether an open one of the same setup's run needs to see that this one was done.
fn is_needed(view: &View, over: &Deployment) -> bool {
    queue::run_of(view, over).iter().any(|d| d.is_open())
}

/// An event about a deployment, with what programs want to know. Its number is the stable id of what is told about it.
pub(super) fn about(kind: &str, deployment: &Deployment, text: String) -> Draft {
    let draft = Draft::new(kind, text)
        .machine(&deployment.machine)
        .field("deployment", deployment.id.to_string())
        .field("state", deployment.state.word())
        .field("what", deployment.title());
    let draft = match &deployment.order.image {
        Some(image) => draft.field("image", image.id.to_string()),
        None => draft,
    };
    let draft = match &deployment.part {
        Some(Part::Rollout { rollout }) => draft.field("rollout", rollout.to_string()),
        Some(Part::Setup { setup, run, .. }) => draft
            .field("setup", setup.to_string())
            .field("run", run.to_string()),
        Some(Part::RollBack { failed }) => draft.field("roll-back-of", failed.to_string()),
        None => draft,
    };
    match &deployment.reason {
        Some(reason) => draft.field("reason", reason.clone()),
        None => draft,
    }
}

/// The machine's name, for sentences.
pub(super) fn name_of(view: &View, deployment: &Deployment) -> String {
    view.machine_name(&deployment.machine)
}
