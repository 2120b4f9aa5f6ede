//! The part of step 1 that is about deployments: a job in work has the machine, one that waits may begin.

use ipxe::BootPlan;

use super::{Case, Claim, Found, Why, decided, management::boot_of, passed};
use crate::state::{
    Timestamp, View,
    deployment::{Deployment, Phase, queue},
    machine::{Machine, Standing},
};

/// The rule's stable word.
const RULE: &str = "deployment";

/// What a machine's queue says about its boot.
pub(super) enum Due<'a> {
    /// This one has the machine.
    InWork(&'a Deployment),
    /// This one may begin.
    May(&'a Deployment),
    /// This one is first, but something holds it.
    Held(&'a Deployment, queue::Hold),
}

/// Looks into the machine's queue.
pub(super) fn due<'a>(view: &'a View, machine: &'a Machine, now: Timestamp) -> Option<Due<'a>> {
    if let Some(job) = queue::in_work(view, &machine.id) {
        return Some(match (job.phase(), queue::may_be_written(view, machine)) {
            // The next part of a setup is not begun on a machine that may not be written to any more.
            (Phase::Waiting, Err(hold)) => Due::Held(job, hold),
            _ => Due::InWork(job),
        });
    }
    let first = view.queue_of(&machine.id).next()?;
    Some(match queue::may_begin(view, machine, first, now) {
        Ok(()) => Due::May(first),
        Err(hold) => Due::Held(first, hold),
    })
}

/// Why the management OS comes first: a job waits for the machine to be accepted, and there its agent can prove a key.
pub(super) fn waits_for_acceptance(due: &Due<'_>, machine: &Machine) -> Option<String> {
    match (due, machine.standing) {
        (Due::Held(job, queue::Hold::NotAccepted), Standing::Registered) => Some(format!(
            "deployment {} waits until {} is accepted",
            job.id, machine.name
        )),
        _ => None,
    }
}

/// A job that has the machine: before every boot config.
pub(super) fn in_work(case: &Case<'_>, why: &mut Vec<Why>) -> Found {
    let Some(Due::InWork(job)) = &case.job else {
        return None;
    };
    let told = format!(
        "deployment {} of {} is {}",
        job.id,
        job.title(),
        job.state.word()
    );
    match job.phase() {
        Phase::AtWork | Phase::Waiting => management(case, job, &told, why).or_else(|| {
            // What is on the disk may be half an image; it does not boot, and a config must not come in between.
            decided(
                why,
                "local-disk",
                "nothing else is run while a job is in work",
            );
            Some((BootPlan::LocalDisk(case.local), None))
        }),
        Phase::Starting => {
            decided(why, RULE, format!("{told}: its disk is started"));
            Some((
                BootPlan::LocalDisk(case.local),
                Some(Claim::HandOver(job.id)),
            ))
        }
        Phase::Over => None,
    }
}

/// The first job that waits: after one-shot configs, before standing ones.
pub(super) fn queued(case: &Case<'_>, why: &mut Vec<Why>) -> Found {
    match &case.job {
        Some(Due::May(job)) => {
            let told = format!("deployment {} of {} is first", job.id, job.title());
            management(case, job, &told, why)
        }
        Some(Due::Held(job, hold)) => passed(
            why,
            RULE,
            format!("deployment {} of {} is held: {hold}", job.id, job.title()),
        ),
        Some(Due::InWork(_)) | None => None,
    }
}

fn management(case: &Case<'_>, job: &Deployment, told: &str, why: &mut Vec<Why>) -> Found {
    match boot_of(case) {
        Ok(boot) => {
            decided(why, RULE, format!("{told}: the management OS works on it"));
            Some((BootPlan::Management(boot), Some(Claim::Serve(job.id))))
        }
        Err(found) => passed(why, RULE, format!("{told}, but the management OS {found}")),
    }
}
