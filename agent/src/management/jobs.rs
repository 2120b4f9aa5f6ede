//! Jobs in the management OS: done on this machine, told on its consoles and in its log.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_proto::message::job::JobProgress;
use tokio::time::Instant;

use super::console::Consoles;
use crate::deploy::{self, Host, ThisMachine, Workplace};
use crate::journal::Journal;
use crate::mesh::{JobLine, Power};

/// Between two lines on how far a job is: a serial line is also a log.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// Does jobs until one of them ends with the machine going down. `tools` is where their archive is.
pub(super) async fn work(
    line: JobLine,
    tools: Option<String>,
    consoles: &Consoles,
    journal: &Journal,
) -> Power {
    let place = Here {
        tools,
        consoles: consoles.clone(),
        journal: journal.clone(),
        lines: Mutex::default(),
    };
    deploy::work(line, Arc::new(place)).await
}

/// This machine and its consoles.
struct Here {
    tools: Option<String>,
    consoles: Consoles,
    journal: Journal,
    lines: Mutex<Lines>,
}

impl Workplace for Here {
    fn host(&self) -> Box<dyn Host> {
        let (journal, tools) = (self.journal.clone(), self.tools.clone());
        Box::new(ThisMachine::new(journal, Path::new(super::RUN), tools))
    }

    fn say(&self, text: &str) {
        self.journal.say(text);
    }

    fn sign(&self, line: &str) {
        self.consoles.bare(line);
    }

    fn progress(&self, progress: &JobProgress) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.due(progress, Instant::now()) {
            self.consoles.line(&line);
        }
    }
}

/// Which reports become lines for people.
#[derive(Debug, Default)]
struct Lines {
    last: Option<(JobProgress, Instant, Instant)>,
}

impl Lines {
    fn due(&mut self, progress: &JobProgress, now: Instant) -> Option<String> {
        let begun = match &self.last {
            Some((last, told, begun)) if is_same_step(last, progress) => {
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

fn is_same_step(last: &JobProgress, now: &JobProgress) -> bool {
    (last.job, last.step) == (now.job, now.step)
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
