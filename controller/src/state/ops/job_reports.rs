//! What the agent of a management OS says of its job: that it begins a step, how it ended. Its words count while its job
//! is at work, and no other.

use mesh_proto::message::{
    Refusal, RefusalCode,
    job::{JobEnd, JobProgress, Kexec, Outcome, Step},
};

use super::{
    deployments::{about, name_of},
    job_ends::{ended_well, fail},
    jobs::asker,
};
use crate::state::{
    Changes, Timestamp, Transition, View,
    deployment::{Deployment, DeploymentId, Phase, State, Written},
    machine::Machine,
    trust::key::Serial,
};

/// Longest reason an agent may give, characters.
const MAX_WORDS: usize = 500;

/// The deployment that an agent speaks of, when it is its machine's and at work. Asked alone for words that change nothing
/// (progress within a step, chunks).
///
/// # Errors
/// When the job is not wanted any more, or not its machine's.
pub fn still_wanted<'v>(
    view: &'v View,
    serial: &Serial,
    job: u64,
) -> Result<&'v Deployment, Refusal> {
    let (_, machine) = asker(view, serial)?;
    let job = theirs(view, machine, job)?;
    match job.phase() {
        Phase::AtWork => Ok(job),
        Phase::Waiting | Phase::Starting | Phase::Over => Err(no_job(job)),
    }
}

fn theirs<'v>(view: &'v View, machine: &Machine, job: u64) -> Result<&'v Deployment, Refusal> {
    let job = view.deployment(DeploymentId(job));
    let job = job.filter(|d| d.machine == machine.id);
    job.map(AsRef::as_ref)
        .ok_or_else(|| Refusal::new(RefusalCode::NoJob, "this machine has no such job"))
}

fn no_job(job: &Deployment) -> Refusal {
    let why = job.reason.as_deref().unwrap_or("it is not at work");
    let text = format!("deployment {} is {}: {why}", job.id, job.state.word());
    Refusal::new(RefusalCode::NoJob, text)
}

/// An agent begins a step of its job, or goes on with one.
#[derive(Debug, Clone)]
pub struct ReportStep {
    /// The certificate of its link.
    pub serial: Serial,
    /// How far it is.
    pub progress: JobProgress,
}

impl Transition for ReportStep {
    type Outcome = Result<(), Refusal>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let job = still_wanted(view, &self.serial, self.progress.job)?;
            saved_first(job, self.progress.step)?;
            let state = State::from(self.progress.step);
            if job.state != state {
                begun(view, job, state, now, changes);
            }
            Ok(())
        })
    }
}

fn begun(view: &View, job: &Deployment, state: State, now: Timestamp, changes: &mut Changes) {
    let mut next = job.to(state, None, now);
    // It goes on: what went before was no loop.
    next.boots = 1;
    let (name, title, word) = (name_of(view, job), next.title(), state.word());
    let text = format!("{name}: {title} is {word}");
    changes.event(about(&format!("deployment.{word}"), &next, text));
    changes.write(next);
}

/// A disk that is to be saved is not touched before it is.
fn saved_first(job: &Deployment, step: Step) -> Result<(), Refusal> {
    let unsaved = job.order.save_current.is_some() && job.captured.is_none();
    if unsaved && step != Step::Capturing {
        let text = "the disk has to be saved before anything else is done to it";
        return Err(Refusal::new(RefusalCode::Protocol, text));
    }
    Ok(())
}

/// An agent says how its job ended. Said twice, it is heard once.
#[derive(Debug, Clone)]
pub struct EndJob {
    /// The certificate of its link.
    pub serial: Serial,
    /// How it ended.
    pub end: JobEnd,
}

impl Transition for EndJob {
    /// The deployment as it is now.
    type Outcome = Result<Deployment, Refusal>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| self.ended(view, now, changes))
    }
}

impl EndJob {
    fn ended(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Deployment, Refusal> {
        let (_, machine) = asker(view, &self.serial)?;
        let job = theirs(view, machine, self.end.job)?;
        if job.phase() != Phase::AtWork {
            return heard_before(job, &self.end.outcome);
        }
        match &self.end.outcome {
            Outcome::Written {
                disk,
                edits,
                counts,
                kexec,
            } => {
                saved_first(job, Step::Writing)?;
                let written = Written {
                    disk: disk.clone(),
                    edits: edits.clone(),
                    counts: counts.clone(),
                    kexec: kexec.as_ref().map(plain),
                };
                Ok(ended_well(view, job, written, now, changes))
            }
            Outcome::Failed {
                reason,
                disk_touched,
            } => Ok(fail(
                view,
                job,
                &bounded(reason),
                *disk_touched,
                now,
                changes,
            )),
        }
    }
}

/// An agent's words in it made fit for people.
fn plain(kexec: &Kexec) -> Kexec {
    match kexec {
        Kexec::Loaded => Kexec::Loaded,
        Kexec::Not(why) => Kexec::Not(bounded(why)),
    }
}

/// The answer to the first word was lost on its way.
fn heard_before(job: &Deployment, outcome: &Outcome) -> Result<Deployment, Refusal> {
    let same = match outcome {
        Outcome::Written { .. } => job.written.is_some() && job.state != State::Cancelled,
        Outcome::Failed { .. } => job.state == State::Failed,
    };
    if same {
        Ok(job.clone())
    } else {
        Err(no_job(job))
    }
}

/// An agent's words, cut and cleaned for people's eyes.
pub(super) fn bounded(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(MAX_WORDS).collect()
}
