//! After the writing: the machine restarts, its disk is started, the new system speaks; or it does not, and is given one
//! more try.

use mesh_proto::message::job::{After, Kexec};

use super::{
    deployments::{about, name_of},
    job_ends::{fail, over, within},
    job_reports::bounded,
};
use crate::state::{
    Changes, Timestamp, Transition, View,
    activation::Nonce,
    deployment::{Deployment, DeploymentId, MAX_TRIES, Phase, State, Until},
    machine::MachineId,
};

/// How the controller knows that a new system is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Its agent opened a link.
    Agent,
    /// It called back with the job's nonce.
    PhoneHome,
    /// It answered the probe.
    Probe,
}

impl Evidence {
    fn words(self) -> &'static str {
        match self {
            Self::Agent => "its agent speaks",
            Self::PhoneHome => "it called home",
            Self::Probe => "it answered the probe",
        }
    }
}

/// The disk of a written machine is started: its local-disk script was served, or its kernel started without the firmware.
pub(super) fn hand_over(
    view: &View,
    id: DeploymentId,
    how: &str,
    now: Timestamp,
    changes: &mut Changes,
) {
    let Some(job) = view.deployment(id) else {
        return;
    };
    match job.state {
        State::Written | State::Rebooting => {}
        // A retry of the same boot, or the new system restarted.
        _ => return,
    }
    let mut next = job.to(State::HandedOver, Some(how.to_owned()), now);
    next.deadline = next.is_open().then(|| now + within(&next));
    let text = format!(
        "{} starts {} from its disk",
        name_of(view, job),
        next.title()
    );
    changes.event(about("deployment.handed-over", &next, text));
    over(view, &next, now, changes);
    changes.write(next);
}

/// The link of a machine's agent ended: one whose disk is written restarts.
pub(super) fn link_ended(view: &View, machine: &MachineId, now: Timestamp, changes: &mut Changes) {
    let Some(job) = view.active_deployment(machine) else {
        return;
    };
    if job.state != State::Written {
        return;
    }
    let kexec = job
        .written
        .as_ref()
        .and_then(|written| written.kexec.as_ref());
    match (job.order.after, kexec) {
        // The firmware does not see this start, so nobody will ask for a script.
        (After::Kexec, Some(Kexec::Loaded)) => hand_over(
            view,
            job.id,
            "its kernel was started by kexec",
            now,
            changes,
        ),
        (After::Kexec, Some(Kexec::Not(why))) => {
            let why = format!("its kernel was not started by kexec: {why}");
            restarts(view, job, Some(why), now, changes);
        }
        (After::Kexec, None) | (After::Reboot | After::PowerOff | After::Stay, _) => {
            restarts(view, job, None, now, changes);
        }
    }
}

fn restarts(
    view: &View,
    job: &Deployment,
    why: Option<String>,
    now: Timestamp,
    changes: &mut Changes,
) {
    let because = why
        .as_ref()
        .map_or_else(String::new, |why| format!(" ({why})"));
    let next = job.to(State::Rebooting, why, now);
    let text = format!(
        "{} restarts into {}{because}",
        name_of(view, job),
        next.title()
    );
    changes.event(about("deployment.rebooting", &next, text));
    changes.write(next);
}

/// The new system is there.
pub(super) fn online(
    view: &View,
    job: &Deployment,
    evidence: Evidence,
    now: Timestamp,
    changes: &mut Changes,
) -> bool {
    match job.state {
        State::Written | State::Rebooting | State::HandedOver => {}
        _ => return false,
    }
    let next = job.to(State::Online, Some(evidence.words().to_owned()), now);
    let text = format!(
        "{} is online on {}: {}",
        next.title(),
        name_of(view, job),
        evidence.words()
    );
    changes.event(about("deployment.online", &next, text));
    over(view, &next, now, changes);
    changes.write(next);
    true
}

/// The job whose new system a machine's word is about: the one that has the machine, or the newest that was handed over
/// without anybody waiting.
pub(super) fn started<'v>(view: &'v View, machine: &MachineId) -> Option<&'v Deployment> {
    if let Some(active) = view.active_deployment(machine) {
        return (active.phase() == Phase::Starting).then_some(active.as_ref());
    }
    let begun = |d: &&std::sync::Arc<Deployment>| d.phase() == Phase::Over;
    let newest = view.deployments_of(machine).rfind(begun)?;
    (newest.state == State::HandedOver).then_some(newest.as_ref())
}

/// The new system calls back with its job's nonce: `GET|POST /boot/n/NONCE/online`.
#[derive(Debug, Clone)]
pub struct PhoneHome {
    /// The job's nonce.
    pub nonce: Nonce,
    /// `None`: it is up; else its words about its failure.
    pub failure: Option<String>,
}

impl Transition for PhoneHome {
    /// Whether there is such a job.
    type Outcome = bool;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, bool) {
        let mut changes = Changes::none();
        let Some(job) = view.deployment_by_nonce(&self.nonce) else {
            return (changes, false);
        };
        match (&self.failure, job.phase()) {
            (None, _) => {
                online(view, job, Evidence::PhoneHome, now, &mut changes);
            }
            (Some(words), Phase::Starting) => {
                let reason = format!("the new system reported: {}", bounded(words));
                fail(view, job, &reason, true, now, &mut changes);
            }
            (Some(_), Phase::Waiting | Phase::AtWork | Phase::Over) => {}
        }
        (changes, true)
    }
}

/// The probe of a deployment was answered.
#[derive(Debug, Clone, Copy)]
pub struct ProbeAnswered(pub DeploymentId);

impl Transition for ProbeAnswered {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        // What answered before the disk was started is not the new system.
        let started = view
            .deployment(self.0)
            .filter(|d| d.state == State::HandedOver);
        if let Some(job) = started {
            online(view, job, Evidence::Probe, now, &mut changes);
        }
        (changes, ())
    }
}

/// Whether [`PassDeadlines`] has something to do.
#[must_use]
pub fn deadline_passed(view: &View, now: Timestamp) -> bool {
    view.open_deployments().any(|d| is_late(d, now))
}

fn is_late(job: &Deployment, now: Timestamp) -> bool {
    job.deadline.is_some_and(|at| now >= at)
}

/// Nobody spoke in time: once more, or it failed.
#[derive(Debug, Clone, Copy)]
pub struct PassDeadlines;

impl Transition for PassDeadlines {
    /// The jobs whose machines should be started again now.
    type Outcome = Vec<Deployment>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let mut again = Vec::new();
        let mut after = view.clone();
        for job in view.open_deployments().filter(|d| is_late(d, now)) {
            let from = changes.writes.len();
            if job.tries < MAX_TRIES {
                again.push(retry(view, job, now, &mut changes));
            } else {
                // Two roll-backs at once need two numbers.
                fail(&after, job, &silence(job), true, now, &mut changes);
            }
            changes.writes[from..].iter().for_each(|w| after.absorb(w));
        }
        (changes, again)
    }
}

fn silence(job: &Deployment) -> String {
    let tries = job.tries;
    match (&job.order.until, job.state) {
        (Until::Online { within_s, .. }, State::HandedOver) => {
            format!("the new system did not speak within {within_s} s, {tries} starts")
        }
        _ => format!("the machine did not ask for its disk after {tries} restarts"),
    }
}

fn retry(view: &View, job: &Deployment, now: Timestamp, changes: &mut Changes) -> Deployment {
    let reason = format!("{}; it is started once more", silence(job));
    let mut next = job.to(State::Rebooting, Some(reason.clone()), now);
    next.tries += 1;
    next.deadline = Some(now + within(&next));
    let text = format!("{} on {}: {reason}", next.title(), name_of(view, job));
    changes.event(about("deployment.retried", &next, text));
    changes.write(next.clone());
    next
}
