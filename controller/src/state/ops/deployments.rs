//! Deployments are asked for, moved and cancelled by people.

use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::Nonce,
    deployment::{
        Deployment, DeploymentId, KEPT, MAX_QUEUED, Moment, Order, Part, Phase, State, queue,
    },
    event::Draft,
    machine::{Machine, MachineId},
    ops::{
        MachineRef,
        holds::{Held, may_use},
        job_ends::over,
        orders::{OrderError, OrderSpec},
    },
};

/// Names that one job remembers: more people than that do not race for one machine.
const MAX_KEYS: usize = 16;

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
    /// The key was used for something else.
    #[error("the key '{0}' was used for another deployment; take a new one")]
    KeyReused(String),
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
    /// Two parts of a setup would be written to one disk.
    #[error("{0}: two parts of the setup mean the same disk; give each a rule of its own")]
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
    /// The asker's own name for this request (`Idempotency-Key`).
    pub key: Option<String>,
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
        let mut changes = Changes::none();
        let created = self.created(view, now, &mut changes);
        match created {
            Ok(created) => (changes, Ok(created)),
            Err(error) => (Changes::none(), Err(error)),
        }
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
        if let Some((key, known)) = self
            .key
            .as_ref()
            .and_then(|k| Some((k, view.deployment_by_key(k)?)))
        {
            return match known.machine == machine.id {
                true => Ok(existing(known)),
                false => Err(DeployError::KeyReused(key.clone())),
            };
        }
        may_use(&machine, &self.by, now)?;
        let order = self.order.pin(view, &machine)?;
        // Two people who race for the same get the same job.
        let mut waiting = view.queue_of(&machine.id);
        if let Some(same) = waiting.find(|d| d.order == order && d.part.is_none()) {
            return Ok(self.joined(same, changes));
        }
        has_room(view, &machine, 1)?;
        let deployment = Draw {
            machine: &machine,
            by: &self.by,
            key: self.key.as_deref(),
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

impl CreateDeployment {
    /// Asked for by somebody else already; this request's name is its name, too.
    fn joined(&self, same: &Deployment, changes: &mut Changes) -> Created {
        let mut job = same.clone();
        if job.keys.len() < MAX_KEYS
            && let Some(key) = &self.key
        {
            job.keys.insert(key.clone());
            changes.write(job.clone());
        }
        existing(&job)
    }
}

fn existing(known: &Deployment) -> Created {
    Created {
        deployment: known.clone(),
        existed: true,
    }
}

/// What new deployments of one request have in common.
pub(super) struct Draw<'a> {
    pub(super) machine: &'a Machine,
    pub(super) by: &'a str,
    pub(super) key: Option<&'a str>,
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
            machine: self.machine.id.clone(),
            place: i64::try_from(id.0).unwrap_or(i64::MAX),
            by: self.by.to_owned(),
            keys: self.key.map(str::to_owned).into_iter().collect(),
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
    let machine = view.machine(&deployment.machine);
    machine.map_or_else(|| deployment.machine.to_string(), |m| m.name.to_string())
}

/// A person ends a deployment. The agent stops at its next word; a disk that was being written does not boot then. Of a
/// setup all parts end.
#[derive(Debug, Clone)]
pub struct CancelDeployment {
    /// Which.
    pub id: DeploymentId,
    /// Who, for people.
    pub by: String,
}

impl Transition for CancelDeployment {
    type Outcome = Result<Deployment, DeployError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(known) = view.deployment(self.id) else {
            return (changes, Err(DeployError::NotFound(self.id)));
        };
        match (known.is_open(), known.state) {
            (true, _) => {
                if let Err(held) = self.may_end(view, known, now) {
                    return (changes, Err(held.into()));
                }
            }
            // Said twice is said once.
            (false, State::Cancelled) => return (changes, Ok(Deployment::clone(known))),
            (false, state) => {
                return (changes, Err(DeployError::Over(self.id, state.word())));
            }
        }
        let reason = format!("{} cancelled it", self.by);
        let cancelled = cancel(view, known, &reason, now, &mut changes);
        for part in queue::run_of(view, known) {
            if part.is_open() && part.id != known.id {
                cancel(view, part, &reason, now, &mut changes);
            }
        }
        (changes, Ok(cancelled))
    }
}

impl CancelDeployment {
    /// One's own is always one's to end, also on a machine that others have.
    fn may_end(&self, view: &View, known: &Deployment, now: Timestamp) -> Result<(), Held> {
        match view.machine(&known.machine) {
            Some(machine) if known.by != self.by => may_use(machine, &self.by, now),
            Some(_) | None => Ok(()),
        }
    }
}

/// Writes a deployment's end by somebody's word down.
pub(super) fn cancel(
    view: &View,
    known: &Deployment,
    reason: &str,
    now: Timestamp,
    changes: &mut Changes,
) -> Deployment {
    let was = known.state.word();
    let next = known.to(State::Cancelled, Some(reason.to_owned()), now);
    let text = format!(
        "{} for {} ended while it was {was}: {reason}",
        next.title(),
        name_of(view, &next)
    );
    changes.event(about("deployment.cancelled", &next, text));
    over(view, &next, now, changes);
    changes.write(next.clone());
    next
}

/// A person moves a waiting deployment within its machine's queue. A setup's parts stay together: they move as one.
#[derive(Debug, Clone)]
pub struct MoveDeployment {
    /// Which.
    pub id: DeploymentId,
    /// Its new place among those that wait, the first is 0.
    pub to: usize,
}

impl Transition for MoveDeployment {
    /// The queue as it is then.
    type Outcome = Result<Vec<DeploymentId>, DeployError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(known) = view.deployment(self.id) else {
            return (changes, Err(DeployError::NotFound(self.id)));
        };
        if known.phase() != Phase::Waiting || queue::goes_on(view, known) {
            let error = DeployError::NotWaiting(self.id, known.state.word());
            return (changes, Err(error));
        }
        let queue: Vec<&Deployment> = view.queue_of(&known.machine).map(AsRef::as_ref).collect();
        let places: Vec<i64> = queue.iter().map(|d| d.place).collect();
        let order = self.order(view, known, &queue);
        for (job, place) in order.iter().zip(&places) {
            if job.place != *place {
                let mut next = Deployment::clone(job);
                next.place = *place;
                changes.write(next);
            }
        }
        if !changes.is_empty() {
            let text = format!("{} for {} was moved", known.title(), name_of(view, known));
            changes.event(about("deployment.moved", known, text));
        }
        (changes, Ok(order.iter().map(|d| d.id).collect()))
    }
}

impl MoveDeployment {
    /// The queue in its new order: groups that belong together, one of them elsewhere.
    fn order<'a>(
        &self,
        view: &View,
        known: &Deployment,
        queue: &[&'a Deployment],
    ) -> Vec<&'a Deployment> {
        let (moved, others): (Vec<&Deployment>, Vec<&Deployment>) =
            queue.iter().partition(|d| group(d) == group(known));
        let first = others.first();
        // What was begun is not put behind anything.
        let begun = first.filter(|d| queue::goes_on(view, d)).map(|d| group(d));
        let mut at = self.to.min(others.len());
        let inside = |at: usize| {
            let (before, after) = (
                at.checked_sub(1).and_then(|b| others.get(b)),
                others.get(at),
            );
            let together = matches!((before, after), (Some(b), Some(a)) if group(b) == group(a));
            together || after.is_some_and(|a| begun.is_some() && Some(group(a)) == begun)
        };
        while at < others.len() && inside(at) {
            at += 1;
        }
        let (front, back) = others.split_at(at);
        [front, &moved, back].concat()
    }
}

/// What a deployment is moved with.
fn group(deployment: &Deployment) -> DeploymentId {
    match &deployment.part {
        Some(Part::Setup { run, .. }) => *run,
        Some(Part::Rollout { .. } | Part::RollBack { .. }) | None => deployment.id,
    }
}
