//! Who can start a machine again, and which machines should be started for a job.

use std::sync::Arc;

use mesh_proto::message::{command::Command, link::Habitat};

use super::{Deployment, Phase, State, When, queue};
use crate::state::{
    Timestamp, View,
    machine::{Machine, MachineId, Standing},
    member::MemberState,
    policy::Accept,
    power::PowerAddress,
    rollout::RolloutId,
};

/// How long a management OS may take to restart by itself after its job, before it is told to.
const RESTARTS_ITSELF: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
/// How long an agent has to be gone before anybody else switches its machine: it may just be going down in order.
const GONE_FOR: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);
/// From being switched on to a word of the machine: the self-tests of large servers take minutes. Also how long the agent
/// of a job may be silent before its machine is switched off and on: until then its cable may be put back.
pub const STARTS_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);
/// The pause after a switch that was refused.
const AFTER_REFUSAL: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);
/// How often a machine is switched before a person has to look at it.
pub const MAX_SWITCHES: u32 = 3;

/// What can start a machine again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Its agent, over a link that stands.
    Agent(Habitat),
    /// Its management controller (IPMI or Redfish).
    Board,
    /// Magic packets.
    Wake,
    /// Nothing we have: a person presses reset.
    Nobody,
}

/// What can start this machine.
#[must_use]
pub fn means(view: &View, machine: &MachineId) -> Means {
    if let Some(member) = view.member(machine).filter(|m| m.is_alive()) {
        return Means::Agent(member.habitat);
    }
    match view.power(machine).map(|p| &p.address) {
        Some(PowerAddress::Board(_)) => Means::Board,
        Some(PowerAddress::WakeOnLan) => Means::Wake,
        None => Means::Nobody,
    }
}

/// The job for which this machine should be switched off and on, or woken, now: its agent cannot do it.
#[must_use]
pub fn to_switch<'v>(
    view: &'v View,
    machine: &Machine,
    now: Timestamp,
) -> Option<&'v Arc<Deployment>> {
    match means(view, &machine.id) {
        Means::Board | Means::Wake => {}
        Means::Agent(_) | Means::Nobody => return None,
    }
    let job = queue::in_work(view, &machine.id).or_else(|| view.queue_of(&machine.id).next())?;
    let silent = silent_for(view, job, now);
    let due = match job.phase() {
        Phase::Waiting if !queue::goes_on(view, job) => {
            job.order.when == When::Now
                && silent.is_none_or(|silent| silent >= GONE_FOR)
                && may_be_started(view, machine, job, now)
                && its_turn(view, job, now)
        }
        // Its agent went away, or never came.
        Phase::Waiting | Phase::AtWork => {
            let stood = now.duration_since(job.since);
            silent.map_or(stood, |silent| silent.min(stood)) >= STARTS_WITHIN
        }
        Phase::Starting => job.state == State::Rebooting && job.tries > 1,
        Phase::Over => false,
    };
    (due && has_rested(job, now)).then_some(job)
}

/// A machine that is registered only is started too when that boot is how it gets accepted.
pub(super) fn may_be_started(
    view: &View,
    machine: &Machine,
    job: &Deployment,
    now: Timestamp,
) -> bool {
    match queue::may_begin(view, machine, job, now) {
        Ok(()) => true,
        Err(queue::Hold::NotAccepted) => {
            machine.standing == Standing::Registered && view.policy.accept == Accept::Registered
        }
        Err(_) => false,
    }
}

/// How long its machine's agent is gone; `None`: it never had one. One that is only out of reach is not gone at all, and
/// one that was told to restart gets the time for that.
fn silent_for(view: &View, job: &Deployment, now: Timestamp) -> Option<jiff::SignedDuration> {
    let member = view.member(&job.machine)?;
    Some(match member.state {
        MemberState::Alive | MemberState::Unreachable => jiff::SignedDuration::ZERO,
        MemberState::Down | MemberState::Left => {
            let gone = now.duration_since(member.since);
            match told_already(view, &job.machine) && gone < STARTS_WITHIN {
                true => jiff::SignedDuration::ZERO,
                false => gone,
            }
        }
    })
}

fn has_rested(job: &Deployment, now: Timestamp) -> bool {
    job.switched.as_ref().is_none_or(|last| {
        let rest = match last.refused {
            Some(_) => AFTER_REFUSAL,
            None => STARTS_WITHIN,
        };
        last.times < MAX_SWITCHES && now.duration_since(last.at) >= rest
    })
}

/// It was switched as often as it may be, and did not come.
#[must_use]
pub fn given_up(job: &Deployment, now: Timestamp) -> bool {
    job.switched.as_ref().is_some_and(|last| {
        last.times >= MAX_SWITCHES && now.duration_since(last.at) >= STARTS_WITHIN
    })
}

/// Why this machine should be started again by its agent for a job, if so. A machine whose agent was told already in this
/// boot is left alone, and one that is in the management OS for its job is where it should be.
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
    let free = queue::may_begin(view, machine, first, now).is_ok() && its_turn(view, first, now);
    // An agent of the management OS asks by itself.
    (asked && free && !idle).then(|| format!("deployment {} is due", first.id))
}

/// Of a rollout's machines no more are started than may be at work, those asked for first first.
fn its_turn(view: &View, job: &Deployment, now: Timestamp) -> bool {
    let Some((rollout, free)) = job.rollout().and_then(|id| free_places(view, id)) else {
        return true;
    };
    let startable = |d: &&Arc<Deployment>| {
        d.state == State::Queued
            && (d.id == job.id || (means(view, &d.machine) != Means::Nobody && !given_up(d, now)))
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
