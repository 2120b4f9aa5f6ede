//! Who can start a machine again, and which machines should be started for a job.

use std::sync::Arc;

use mesh_proto::message::{command::Command, link::Habitat};

use super::{Deployment, Phase, State, When, queue};
use crate::state::{
    Timestamp, View,
    machine::{Machine, MachineId},
    rollout::RolloutId,
};

/// How long a management OS may take to restart by itself after its job, before it is told to.
const RESTARTS_ITSELF: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// What can start a machine again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Its agent, over a link that stands.
    Agent(Habitat),
    /// Nothing we have: a person presses reset.
    Nobody,
}

/// What can start this machine.
#[must_use]
pub fn means(view: &View, machine: &MachineId) -> Means {
    match view.member(machine).filter(|m| m.is_alive()) {
        Some(member) => Means::Agent(member.habitat),
        None => Means::Nobody,
    }
}

/// Why this machine should be started again for a job, if so. A machine whose agent was told already in this boot is left
/// alone, and one that is in the management OS for its job is where it should be.
#[must_use]
pub fn wanted(view: &View, machine: &Machine, now: Timestamp) -> Option<String> {
    let why = match queue::in_work(view, &machine.id) {
        Some(job) => started_again(view, job, now),
        None => first_of_queue(view, machine, now),
    };
    why.filter(|_| !told_already(view, &machine.id))
}

/// The machine's boot was told to end.
fn told_already(view: &View, machine: &MachineId) -> bool {
    let Some(member) = view.member(machine) else {
        return false;
    };
    let told = |c: &Command| matches!(c, Command::Reboot);
    let mut commands = view.commands_of(machine);
    commands.any(|c| c.boot_id == member.boot_id && told(&c.command))
}

fn started_again(view: &View, job: &Deployment, now: Timestamp) -> Option<String> {
    let habitat = means(view, &job.machine);
    match (job.phase(), job.state, habitat) {
        // Somebody started the disk while the management OS was due: it did not ask us.
        (Phase::AtWork | Phase::Waiting, _, Means::Agent(Habitat::InstalledOs)) => {
            Some(format!("deployment {} is due", job.id))
        }
        (
            Phase::Starting,
            State::Written | State::Rebooting,
            Means::Agent(Habitat::ManagementOs),
        ) if now.duration_since(job.since) >= RESTARTS_ITSELF => {
            Some(format!("deployment {} is written", job.id))
        }
        _ => None,
    }
}

fn first_of_queue(view: &View, machine: &Machine, now: Timestamp) -> Option<String> {
    let first = view.queue_of(&machine.id).next()?;
    let asked = first.order.when == When::Now;
    let idle = means(view, &machine.id) == Means::Agent(Habitat::ManagementOs);
    let free = queue::may_begin(view, machine, first, now).is_ok() && its_turn(view, first);
    // An agent of the management OS asks by itself.
    (asked && free && !idle).then(|| format!("deployment {} is due", first.id))
}

/// Of a rollout's machines no more are started than may be at work, those asked for first first.
fn its_turn(view: &View, job: &Deployment) -> bool {
    let Some((rollout, free)) = job.rollout().and_then(|id| free_places(view, id)) else {
        return true;
    };
    let startable = |d: &&Arc<Deployment>| {
        d.state == State::Queued
            && (d.id == job.id || means(view, &d.machine) != Means::Nobody)
            && view.active_deployment(&d.machine).is_none()
    };
    let waiting = rollout
        .deployments
        .iter()
        .filter_map(|id| view.deployment(*id));
    let mut next = waiting.filter(startable).take(free);
    next.any(|d| d.id == job.id)
}

fn free_places(
    view: &View,
    id: RolloutId,
) -> Option<(&Arc<crate::state::rollout::Rollout>, usize)> {
    let rollout = view.rollout(id)?;
    let free = rollout.limit.saturating_sub(rollout.tally(view).active);
    Some((rollout, free as usize))
}
