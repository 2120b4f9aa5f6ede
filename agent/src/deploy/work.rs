//! Jobs, one after the other: asks for one whenever it may have come, does it, reports, and says how the machine goes on.

use std::sync::Arc;
use std::time::Duration;

use mesh_proto::message::job::{After, Job, JobEnd, JobProgress, Kexec, Outcome};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::controller::{Controller, Trouble};
use super::disk::Memory;
use super::host::Host;
use super::kexec;
use super::link::LinkDesk;
use super::patience::Patience;
use super::run::{Ended, Setup, run};
use super::sources::ChunkSource;
use crate::mesh::{JobLine, Power};

/// An idle machine asks so often, should a nudge have got lost.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Between attempts to say the last word.
const SAY_AGAIN: Duration = Duration::from_secs(5);

/// Where jobs are done: the machine, and the people who watch.
pub trait Workplace: Send + Sync + 'static {
    /// The machine, as one job sees it.
    fn host(&self) -> Box<dyn Host>;

    /// Whom a job talks to, beside the loop that asks for it and reports its end: the controller that gave it.
    fn way(&self, desk: &Arc<LinkDesk>) -> Way {
        Way {
            controller: Arc::clone(desk) as Arc<dyn Controller>,
            sources: vec![Arc::clone(desk) as Arc<dyn ChunkSource>],
        }
    }

    /// How long a job waits for those who are away.
    fn patience(&self) -> Patience {
        Patience::default()
    }

    /// Counts what a job holds in buffers.
    fn memory(&self) -> Memory {
        Memory::default()
    }

    /// A sentence for the log.
    fn say(&self, text: &str);

    /// A line that programs wait for.
    fn sign(&self, line: &str);

    /// How far the job is.
    fn progress(&self, progress: &JobProgress);
}

/// Whom a job talks to.
pub struct Way {
    /// Who is told how it goes, and takes what is saved.
    pub controller: Arc<dyn Controller>,
    /// Who has chunks, best first.
    pub sources: Vec<Arc<dyn ChunkSource>>,
}

/// Does jobs until one of them ends with the machine going down.
pub async fn work(line: JobLine, place: Arc<impl Workplace>) -> Power {
    let desk = Arc::new(LinkDesk::new(line.clone(), Handle::current()));
    let mut last_word = String::new();
    loop {
        line.linked().await;
        let asking = Arc::clone(&desk);
        match blocking(move || asking.job()).await {
            Some(Ok((Some(job), _))) => {
                line.touch();
                if let Some(power) = one(*job, &line, &desk, &place).await {
                    place.say(&format!("the job is done: {}", words(power)));
                    return power;
                }
                continue;
            }
            Some(Ok((None, text))) if text != last_word => {
                if !text.is_empty() {
                    place.say(&text);
                }
                last_word = text;
            }
            // No link, or a controller that is busy: it is asked again soon enough.
            _ => {}
        }
        tokio::select! {
            () = line.nudged() => {}
            () = sleep(ASK_AGAIN) => {}
        }
    }
}

/// Does one job and reports it. How the machine goes down after it, if it does.
async fn one(
    job: Job,
    line: &JobLine,
    desk: &Arc<LinkDesk>,
    place: &Arc<impl Workplace>,
) -> Option<Power> {
    let (id, after) = (job.id, job.after);
    place.say(&format!("job {id} begins: {}", what(&job)));
    place.sign(&format!("ENFORCER JOB {id} BEGINS"));
    let doing = (Arc::clone(desk), Arc::clone(place));
    let performed = blocking(move || perform(&job, &doing.0, &*doing.1));
    let ended = tokio::select! {
        ended = performed => ended,
        () = stay_busy(line) => None,
    };
    let outcome = match ended {
        Some(Ended::Done(outcome)) => outcome,
        Some(Ended::Cancelled(why)) => {
            place.say(&format!("job {id} was cancelled: {why}"));
            place.sign(&format!("ENFORCER JOB {id} CANCELLED"));
            return None;
        }
        None => Outcome::Failed {
            reason: "the agent made a mistake and stopped; see the machine's log".to_owned(),
            disk_touched: true,
        },
    };
    let went_well = matches!(outcome, Outcome::Written { .. });
    let power = power_after(after, &outcome);
    if let Outcome::Failed { reason, .. } = &outcome {
        place.say(&format!("job {id} failed: {reason}"));
    }
    let sign = if went_well { "WRITTEN" } else { "FAILED" };
    place.sign(&format!("ENFORCER JOB {id} {sign}"));
    report(JobEnd { job: id, outcome }, desk, &**place).await;
    power
}

/// A machine at work is not idle, also when a disk erases itself for hours without a word. Never returns.
async fn stay_busy(line: &JobLine) {
    loop {
        line.touch();
        sleep(ASK_AGAIN).await;
    }
}

fn perform(job: &Job, desk: &Arc<LinkDesk>, place: &impl Workplace) -> Ended {
    let (host, way) = (place.host(), place.way(desk));
    let mut partition_id: [u8; 16] = rand::random();
    // A random id in the form that tools expect (RFC 9562 §5.4, stored little-endian as tables do).
    partition_id[7] = partition_id[7] & 0x0F | 0x40;
    partition_id[8] = partition_id[8] & 0x3F | 0x80;
    let watcher = |progress: &JobProgress| place.progress(progress);
    let setup = Setup {
        host: &*host,
        controller: &*way.controller,
        sources: way.sources.iter().map(|source| &**source).collect(),
        patience: place.patience(),
        watcher: &watcher,
        memory: place.memory(),
        partition_id,
    };
    let mut ended = run(job, &setup);
    if let Ended::Done(outcome) = &mut ended
        && job.after == After::Kexec
    {
        outcome_of_kexec(outcome, &*host, &setup.memory);
    }
    ended
}

/// Before the report, so that the controller knows which way the machine goes.
fn outcome_of_kexec(outcome: &mut Outcome, host: &dyn Host, memory: &Memory) {
    let Outcome::Written { disk, kexec, .. } = outcome else {
        return;
    };
    let disks = host.disks();
    let prepared = match disks.iter().find(|found| found.name == disk.name) {
        Some(disk) => kexec::prepare(host, disk, memory),
        None => Err(format!("{} is gone", disk.name)),
    };
    *kexec = Some(match prepared {
        Ok(()) => Kexec::Loaded,
        Err(why) => {
            host.say(&format!("the written kernel is not started at once: {why}"));
            Kexec::Not(why)
        }
    });
}

/// Until the controller has it, or wants it no more: the machine must not go down before.
async fn report(end: JobEnd, desk: &Arc<LinkDesk>, place: &impl Workplace) {
    let mut told = false;
    loop {
        let (desk, end) = (Arc::clone(desk), end.clone());
        match blocking(move || desk.end(end)).await {
            Some(Err(Trouble::Away(why))) => {
                if !told {
                    place.say(&format!("the end of the job is not reported yet: {why}"));
                }
                told = true;
                sleep(SAY_AGAIN).await;
            }
            Some(Err(refused)) => return place.say(&format!("the report: {refused}")),
            Some(Ok(())) | None => return,
        }
    }
}

/// `None`: it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

fn power_after(after: After, outcome: &Outcome) -> Option<Power> {
    let Outcome::Written { kexec, .. } = outcome else {
        return None;
    };
    match (after, kexec) {
        (After::Kexec, Some(Kexec::Loaded)) => Some(Power::Kernel),
        (After::Reboot | After::Kexec, _) => Some(Power::Restart),
        (After::PowerOff, _) => Some(Power::Off),
        (After::Stay, _) => None,
    }
}

fn words(power: Power) -> &'static str {
    match power {
        Power::Restart => "restarting into the disk",
        Power::Kernel => "starting the written kernel",
        Power::Off => "powering off",
    }
}

fn what(job: &Job) -> String {
    let capture = job
        .capture
        .as_ref()
        .map(|capture| format!("save the disk as {}", capture.name));
    let erase = job.erase.map(|_| "erase the disk".to_owned());
    let image = job
        .image
        .as_ref()
        .map(|image| format!("write {}", image.name));
    let parts: Vec<_> = [capture, erase, image].into_iter().flatten().collect();
    parts.join(", ")
}
