//! Whose turn it is: what a machine's queue has for it now, and what holds a job back.

use std::{fmt, sync::Arc};

use mesh_proto::message::enrol::Level;

use super::{Deployment, Part, Phase, State};
use crate::state::{
    Timestamp, View,
    activation::Kind,
    image::Visibility,
    machine::{Machine, MachineId, Standing},
    trust::key::EnrolledKey,
    user::UserName,
};

/// Why a job is not given to its machine. Nothing is written to a disk as long as one of these stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// Nobody said that the machine is ours.
    NotRegistered,
    /// None of its keys was taken yet.
    NotAccepted,
    /// A key waits for a person.
    Pending,
    /// Two claim to be it.
    Disputed,
    /// Its key was not proved well enough; the words say what for.
    Level(&'static str),
    /// A boot config comes first.
    Config(String),
    /// Its rollout does not let it begin.
    Rollout(String),
    /// Somebody else has the machine: who, until when.
    Reserved(UserName, Timestamp),
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRegistered => f.write_str("the machine is only seen: register it"),
            Self::NotAccepted => f.write_str("waits until the machine is accepted"),
            Self::Pending => {
                f.write_str("a key waits for a person: accept or refuse it (`machines show`)")
            }
            Self::Disputed => {
                f.write_str("the machine is disputed: decide which it is (`machines resolve`)")
            }
            Self::Level(what) => write!(
                f,
                "waits for T2: {what}; compare the pairing code (`machines accept NAME --code ...`)"
            ),
            Self::Config(name) => write!(f, "the boot config {name} is due and comes first"),
            Self::Rollout(words) => f.write_str(words),
            Self::Reserved(holder, until) => {
                write!(f, "the machine is reserved for {holder} until {until}")
            }
        }
    }
}

/// Whether a disk of this machine may be touched at all.
///
/// # Errors
/// With what is missing.
pub fn may_be_written(view: &View, machine: &Machine) -> Result<(), Hold> {
    match machine.standing {
        Standing::Seen => return Err(Hold::NotRegistered),
        Standing::Registered => return Err(Hold::NotAccepted),
        Standing::Accepted => {}
    }
    if machine.disputed.is_some() {
        return Err(Hold::Disputed);
    }
    if view.pending_of(&machine.id).next().is_some() {
        return Err(Hold::Pending);
    }
    Ok(())
}

/// Whether a deployment that waits may begin on its machine now. That it is the first of its queue is the caller's to see.
///
/// # Errors
/// With what holds it.
pub fn may_begin(
    view: &View,
    machine: &Machine,
    job: &Deployment,
    now: Timestamp,
) -> Result<(), Hold> {
    may_be_written(view, machine)?;
    let mut due = view.activations_of(&machine.id);
    if let Some(due) = due.find(|a| a.kind == Kind::OneShot && a.is_due(now)) {
        return Err(Hold::Config(due.config.name.to_string()));
    }
    if let Some(hold) = kept_off(machine, job, now) {
        return Err(hold);
    }
    match rollout_holds(view, job) {
        Some(words) => Err(Hold::Rollout(words)),
        None => Ok(()),
    }
}

/// A job that waits since before the reservation goes on waiting; one that mends another is that one's.
fn kept_off(machine: &Machine, job: &Deployment, now: Timestamp) -> Option<Hold> {
    let mends = matches!(job.part, Some(Part::RollBack { .. }));
    let hold = machine.hold.as_ref().filter(|_| !mends)?;
    let off = hold.keeps_off(&job.by, now);
    off.then(|| Hold::Reserved(hold.holder.clone(), hold.until))
}

fn rollout_holds(view: &View, job: &Deployment) -> Option<String> {
    view.rollout(job.rollout()?)?.holds(view)
}

/// Whether what is in this job may go to a machine with this key.
///
/// # Errors
/// With what it would be too good for.
pub fn may_have(view: &View, job: &Deployment, key: &EnrolledKey) -> Result<(), Hold> {
    match secret_in(view, job) {
        Some(what) if key.level < Level::T2 => Err(Hold::Level(what)),
        Some(_) | None => Ok(()),
    }
}

/// What of a job is not for everybody.
#[must_use]
pub fn secret_in(view: &View, job: &Deployment) -> Option<&'static str> {
    let visibility = |pinned: &crate::state::image::Pinned| {
        let image = view.image(&pinned.id.image);
        image.map_or(Visibility::Private, |i| i.visibility)
    };
    if !job.order.provision.is_empty() {
        return Some("files for the new system");
    }
    if job.order.join {
        return Some("a join token");
    }
    match job.order.image.as_ref().map(visibility) {
        Some(Visibility::Private) => Some("private image"),
        Some(Visibility::Public) | None => None,
    }
}

/// What the queue has for a machine: the job that has it, or the next part of a setup that was begun.
#[must_use]
pub fn in_work<'v>(view: &'v View, machine: &MachineId) -> Option<&'v Arc<Deployment>> {
    view.active_deployment(machine).or_else(|| {
        let first = view.queue_of(machine).next()?;
        goes_on(view, first).then_some(first)
    })
}

/// Whether this job goes on with a setup of which an earlier part was done.
#[must_use]
pub fn goes_on(view: &View, job: &Deployment) -> bool {
    let Some(Part::Setup { run, index, .. }) = &job.part else {
        return false;
    };
    let earlier = |d: &&Arc<Deployment>| matches!(&d.part, Some(Part::Setup { run: r, index: i, .. }) if r == run && i < index);
    let mut parts = view.deployments_of(&job.machine).filter(earlier);
    parts.any(|d| d.state == State::Done)
}

/// The parts of the same setup's run, this one included, in order.
pub fn run_of<'v>(view: &'v View, job: &Deployment) -> Vec<&'v Arc<Deployment>> {
    let Some(Part::Setup { run, .. }) = &job.part else {
        return Vec::new();
    };
    let same =
        |d: &&Arc<Deployment>| matches!(&d.part, Some(Part::Setup { run: r, .. }) if r == run);
    view.deployments_of(&job.machine).filter(same).collect()
}

/// The jobs before this one on its machine.
#[must_use]
pub fn ahead(view: &View, job: &Deployment) -> usize {
    let active = view.active_deployment(&job.machine).is_some();
    let before = |d: &&Arc<Deployment>| (d.place, d.id) < (job.place, job.id);
    match job.phase() {
        Phase::Waiting => {
            usize::from(active) + view.queue_of(&job.machine).take_while(before).count()
        }
        Phase::AtWork | Phase::Starting | Phase::Over => 0,
    }
}
