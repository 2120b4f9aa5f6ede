//! Jobs in the management OS: asks for one whenever it may have come, does it, reports, and says how the machine goes on.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_proto::message::job::{After, Job, JobEnd, JobProgress, Outcome};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::console::Consoles;
use crate::deploy::{self, Ended, LinkDesk, Memory, Patience, Setup, ThisMachine, Trouble};
use crate::journal::Journal;
use crate::mesh::{JobLine, Power};

/// An idle machine asks so often, should a nudge have got lost.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Between attempts to say the last word.
const SAY_AGAIN: Duration = Duration::from_secs(5);
/// Between two lines on how far a job is: a serial line is also a log.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Does jobs until one of them ends with the machine going down. `tools` is where their archive is.
pub(super) async fn work(
    line: JobLine,
    tools: Option<String>,
    consoles: &Consoles,
    journal: &Journal,
) -> Power {
    let desk = Arc::new(LinkDesk::new(line.clone(), Handle::current()));
    let mut last_word = String::new();
    loop {
        line.linked().await;
        let asking = Arc::clone(&desk);
        match blocking(move || asking.job()).await {
            Some(Ok((Some(job), _))) => {
                line.touch();
                let after = job.after;
                if let Some(power) = one(*job, &line, tools.clone(), &desk, consoles, journal).await
                {
                    journal.say(&format!("the job is done: {}", words(after)));
                    return power;
                }
                continue;
            }
            Some(Ok((None, text))) if text != last_word => {
                if !text.is_empty() {
                    journal.say(&text);
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
    tools: Option<String>,
    desk: &Arc<LinkDesk>,
    consoles: &Consoles,
    journal: &Journal,
) -> Option<Power> {
    let (id, after) = (job.id, job.after);
    journal.say(&format!("job {id} begins: {}", what(&job)));
    consoles.bare(&format!("ENFORCER JOB {id} BEGINS"));
    let doing = (Arc::clone(desk), journal.clone(), consoles.clone());
    let performed = blocking(move || perform(&job, tools, &doing.0, &doing.2, doing.1));
    let ended = tokio::select! {
        ended = performed => ended,
        () = stay_busy(line) => None,
    };
    let outcome = match ended {
        Some(Ended::Done(outcome)) => outcome,
        Some(Ended::Cancelled(why)) => {
            journal.say(&format!("job {id} was cancelled: {why}"));
            consoles.bare(&format!("ENFORCER JOB {id} CANCELLED"));
            return None;
        }
        None => Outcome::Failed {
            reason: "the agent made a mistake and stopped; see the machine's log".to_owned(),
            disk_touched: true,
        },
    };
    let went_well = matches!(outcome, Outcome::Written { .. });
    if let Outcome::Failed { reason, .. } = &outcome {
        journal.say(&format!("job {id} failed: {reason}"));
    }
    let sign = if went_well { "WRITTEN" } else { "FAILED" };
    consoles.bare(&format!("ENFORCER JOB {id} {sign}"));
    report(JobEnd { job: id, outcome }, desk, journal).await;
    went_well.then(|| power_after(after)).flatten()
}

/// A machine at work is not idle, also when a disk erases itself for hours without a word. Never returns.
async fn stay_busy(line: &JobLine) {
    loop {
        line.touch();
        sleep(ASK_AGAIN).await;
    }
}

fn perform(
    job: &Job,
    tools: Option<String>,
    desk: &LinkDesk,
    consoles: &Consoles,
    journal: Journal,
) -> Ended {
    let host = ThisMachine::new(journal, Path::new(super::RUN), tools);
    let mut partition_id: [u8; 16] = rand::random();
    // A random id in the form that tools expect (RFC 9562 §5.4, stored little-endian as tables do).
    partition_id[7] = partition_id[7] & 0x0F | 0x40;
    partition_id[8] = partition_id[8] & 0x3F | 0x80;
    let lines = Mutex::new(Lines::default());
    let watcher = |progress: &JobProgress| {
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.due(progress, Instant::now()) {
            consoles.line(&line);
        }
    };
    let setup = Setup {
        host: &host,
        controller: desk,
        sources: vec![desk],
        patience: Patience::default(),
        watcher: &watcher,
        memory: Memory::default(),
        partition_id,
    };
    deploy::run(job, &setup)
}

/// Until the controller has it, or wants it no more: the machine must not go down before.
async fn report(end: JobEnd, desk: &Arc<LinkDesk>, journal: &Journal) {
    let mut told = false;
    loop {
        let (desk, end) = (Arc::clone(desk), end.clone());
        match blocking(move || desk.end(end)).await {
            Some(Err(Trouble::Away(why))) => {
                if !told {
                    journal.say(&format!("the end of the job is not reported yet: {why}"));
                }
                told = true;
                sleep(SAY_AGAIN).await;
            }
            Some(Err(refused)) => return journal.say(&format!("the report: {refused}")),
            Some(Ok(())) | None => return,
        }
    }
}

/// `None`: it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Starting the written kernel without the firmware is left to a later version: it restarts instead.
fn power_after(after: After) -> Option<Power> {
    match after {
        After::Reboot | After::Kexec => Some(Power::Restart),
        After::PowerOff => Some(Power::Off),
        After::Stay => None,
    }
}

fn words(after: After) -> &'static str {
    match after {
        After::Reboot => "restarting into the disk",
        After::Kexec => "restarting into the disk (kexec is not supported yet)",
        After::PowerOff => "powering off",
        After::Stay => "staying",
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

/// Which reports become lines for people.
#[derive(Debug, Default)]
struct Lines {
    last: Option<(JobProgress, Instant, Instant)>,
}

impl Lines {
    fn due(&mut self, progress: &JobProgress, now: Instant) -> Option<String> {
        let begun = match &self.last {
            Some((last, told, begun)) if last.step == progress.step => {
                if now - *told < BETWEEN_LINES {
                    return None;
                }
                *begun
            }
            _ => now,
        };
        self.last = Some((progress.clone(), now, begun));
        Some(line(progress, now - begun))
    }
}

/// `writing: 512 of 2048 MiB, 98 MiB/s, 15 s left`.
fn line(progress: &JobProgress, took: Duration) -> String {
    let step = progress.step.name();
    let mib = |bytes: u64| bytes >> 20;
    let (done, total) = (progress.done_bytes, progress.total_bytes);
    if done == 0 || took.is_zero() {
        return format!("{step}: {} MiB", mib(total));
    }
    let rate = (done as f64 / took.as_secs_f64()).max(1.0);
    let left = total.saturating_sub(done) as f64 / rate;
    let rate = rate / f64::from(1 << 20);
    format!(
        "{step}: {} of {} MiB, {rate:.0} MiB/s, {left:.0} s left",
        mib(done),
        mib(total)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::message::job::Step;

    fn progress(step: Step, mib: u64) -> JobProgress {
        JobProgress {
            job: 1,
            step,
            done_bytes: mib << 20,
            total_bytes: 1000 << 20,
            wire_bytes: 0,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_step_has_a_line_at_once_and_then_now_and_then() {
        let mut lines = Lines::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            lines.due(&progress(Step::Writing, 0), start).unwrap(),
            "writing: 1000 MiB"
        );
        assert_eq!(lines.due(&progress(Step::Writing, 100), after(1)), None);
        let line = lines.due(&progress(Step::Writing, 500), after(10)).unwrap();
        assert_eq!(line, "writing: 500 of 1000 MiB, 50 MiB/s, 10 s left");
        assert_eq!(lines.due(&progress(Step::Writing, 510), after(11)), None);
        assert!(
            lines
                .due(&progress(Step::Verifying, 0), after(11))
                .is_some()
        );
    }
}
