//! How a deployment ends: written, failed, with what follows for the rest of its setup and for the saved disk.

use mesh_proto::message::job::{After, DiskRule};

use super::{
    deployments::{Draw, about, cancel, name_of},
    rollouts::part_ended,
    tokens::end_token,
};
use crate::state::{
    Changes, Timestamp, View,
    deployment::{
        Deployment, DeploymentId, Order, Part, Phase, State, Until, When, Written, queue,
    },
    image::Pinned,
};

/// How long a machine may take from the end of the writing to its local disk's script, when nobody waits for more: the
/// self-tests of large servers take minutes.
const RESTARTS_WITHIN_S: u32 = 15 * 60;

/// All is on the disk and was read back.
pub(super) fn ended_well(
    view: &View,
    job: &Deployment,
    written: Written,
    now: Timestamp,
    changes: &mut Changes,
) -> Deployment {
    let starts = job.order.image.is_some()
        && match job.order.after {
            After::Reboot | After::Kexec => true,
            After::PowerOff | After::Stay => false,
        };
    let disk = &written.disk;
    let on = format!("{} ({} bytes)", disk.name, disk.bytes);
    let name = name_of(view, job);
    let mut next = if starts {
        let mut next = job.to(State::Written, None, now);
        next.tries = 1;
        next.deadline = Some(now + within(&next));
        next
    } else {
        job.to(State::Done, None, now)
    };
    next.written = Some(written);
    let (kind, text) = match next.state {
        State::Written => (
            "deployment.written",
            format!("{name}: {} is on disk {on} and was read back", next.title()),
        ),
        _ => (
            "deployment.done",
            format!("{name}: {} is done on disk {on}", next.title()),
        ),
    };
    changes.event(about(kind, &next, text));
    over(view, &next, now, changes);
    changes.write(next.clone());
    next
}

/// What follows from a deployment's end, whichever it was; nothing while it is open.
pub(super) fn over(view: &View, ended: &Deployment, now: Timestamp, changes: &mut Changes) {
    if ended.is_open() {
        return;
    }
    end_tokens(view, ended, now, changes);
    if let Some(rollout) = ended.rollout() {
        part_ended(view, rollout, ended, changes);
    }
}

/// A token for the new system ends with the job: of a setup, with the whole.
fn end_tokens(view: &View, ended: &Deployment, now: Timestamp, changes: &mut Changes) {
    let more = match &ended.part {
        Some(Part::Setup { index, count, .. }) => index + 1 < *count,
        Some(Part::Rollout { .. } | Part::RollBack { .. }) | None => false,
    };
    // The rest of a setup is still to be written, and starts the machine.
    if ended.state == State::Done && more {
        return;
    }
    end_token(view, ended, now, changes);
    for part in queue::run_of(view, ended) {
        end_token(view, part, now, changes);
    }
}

/// How long somebody waits for the next sign of a machine that was written.
pub(super) fn within(job: &Deployment) -> jiff::SignedDuration {
    let seconds = match (&job.order.until, job.state) {
        (Until::Online { within_s, .. }, State::HandedOver) => *within_s,
        (Until::Online { within_s, .. }, _) => (*within_s).max(RESTARTS_WITHIN_S),
        (Until::HandedOver, _) => RESTARTS_WITHIN_S,
    };
    jiff::SignedDuration::from_secs(seconds.into())
}

/// A deployment failed. The rest of its setup is not done, and the saved disk is written back when that was asked for and
/// what was on the disk is gone.
pub(super) fn fail(
    view: &View,
    job: &Deployment,
    reason: &str,
    disk_touched: bool,
    now: Timestamp,
    changes: &mut Changes,
) -> Deployment {
    let next = job.to(State::Failed, Some(reason.to_owned()), now);
    let text = format!(
        "{} failed on {}: {reason}",
        next.title(),
        name_of(view, job)
    );
    let touched = if disk_touched { "yes" } else { "no" };
    changes.event(about("deployment.failed", &next, text).field("disk-touched", touched));
    over(view, &next, now, changes);
    changes.write(next.clone());
    for part in queue::run_of(view, job) {
        if part.phase() == Phase::Waiting && part.id != job.id {
            let why = format!("part {} of its setup failed", job.id);
            cancel(view, part, &why, now, changes);
        }
    }
    if disk_touched && job.order.roll_back {
        roll_back(view, job, now, changes);
    }
    next
}

/// The saved disk is written back, before anything else that waits for the machine.
fn roll_back(view: &View, job: &Deployment, now: Timestamp, changes: &mut Changes) {
    let Some(saved) = &job.captured else { return };
    let found = view.image(&saved.image);
    let Some((image, version)) = found.and_then(|i| Some((i, i.version(Some(saved.number))?)))
    else {
        return;
    };
    let first = view.queue_of(&job.machine).next();
    let draw = Draw {
        machine: &job.machine,
        by: "the roll-back",
        now,
    };
    let order = Order {
        disk: same_disk(job),
        partition: None,
        save_current: None,
        erase: None,
        image: Some(Pinned::of(image, version)),
        grow: false,
        provision: Vec::new(),
        join: false,
        after: After::Reboot,
        until: Until::HandedOver,
        roll_back: false,
        when: When::Now,
    };
    let part = Part::RollBack { failed: job.id };
    let (id, nonce) = (view.next_deployment(), job.nonce.derived("roll-back"));
    let back = Deployment {
        place: first.map_or(0, |d| d.place) - 1,
        reason: Some(format!("deployment {} failed", job.id)),
        ..draw.job(id, nonce, order, Some(part))
    };
    let text = format!(
        "{} is to be what it was: {saved} is written back",
        name_of(view, job)
    );
    changes.event(about("deployment.queued", &back, text));
    changes.write(back);
}

/// Also without a serial number the disk is the one that was written.
fn same_disk(job: &Deployment) -> DiskRule {
    let mut rule = job.order.disk.clone();
    if let Some(serial) = job.written.as_ref().and_then(|w| w.disk.serial.clone()) {
        rule.serial = Some(serial);
    }
    rule
}

/// The boot of `session` is served the management OS for this job. `Err` carries the job's end: a cap was reached.
pub(super) fn served(
    view: &View,
    id: DeploymentId,
    session: &str,
    now: Timestamp,
    changes: &mut Changes,
) -> Result<(), ()> {
    let Some(job) = view.deployment(id) else {
        return Ok(());
    };
    // A retry of the same boot.
    if job.session.as_deref() == Some(session) && job.phase() == Phase::AtWork {
        return Ok(());
    }
    if job.boots >= crate::state::deployment::MAX_BOOTS {
        let reason = format!(
            "{} boots of the management OS, and in none of them an agent did the job",
            job.boots
        );
        let touched = job.state > State::Capturing;
        fail(view, job, &reason, touched, now, changes);
        return Err(());
    }
    let mut next = match job.phase() {
        Phase::Waiting => job.to(State::Served, None, now),
        Phase::AtWork | Phase::Starting | Phase::Over => Deployment::clone(job),
    };
    next.boots += 1;
    next.session = Some(session.to_owned());
    if job.phase() == Phase::Waiting {
        let text = format!(
            "{} was given the management OS for {}",
            name_of(view, job),
            next.title()
        );
        changes.event(about("deployment.served", &next, text));
    }
    changes.write(next);
    Ok(())
}
