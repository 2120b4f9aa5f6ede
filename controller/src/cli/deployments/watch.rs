//! Deployments followed to their end over the live stream: a live line on a terminal, a line for each new state elsewhere.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, IsTerminal as _},
    time::Duration,
};

use http_body_util::BodyExt as _;
use mesh_proto::json;

use crate::{
    cli::{
        Session, bar,
        failure::Failure,
        output::{clean, size},
        sse::{Message, Reader},
    },
    http::api::{
        deployments::{DeploymentDoc, ProgressDoc, stream::DEPLOYMENT},
        words::DeploymentState,
    },
};

/// How often a lost stream is tried again, a second apart: a controller's restart takes less.
const RETRIES: u32 = 60;
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Waits until all are over. A failed or cancelled one makes it fail.
pub(super) async fn to_the_end(ids: &[u64], session: &Session<'_>) -> Result<(), Failure> {
    let mut watched = Watched::new(ids);
    let mut failures = 0;
    while !watched.open().is_empty() {
        let before = watched.heard;
        match follow(&mut watched, session).await {
            // The controller stopped, or the connection broke; or all are over.
            Ok(()) | Err(Failure::Unreachable { .. }) if failures < RETRIES => {}
            Ok(()) => return Err(Failure::Answer("the stream keeps ending".to_owned())),
            Err(failure) => return Err(failure),
        }
        if watched.open().is_empty() {
            break;
        }
        watched.end_line();
        if failures == 0 {
            eprintln!("the controller is gone; waiting for it");
        }
        failures = if watched.heard == before {
            failures + 1
        } else {
            0
        };
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    watched.end_line();
    outcome(watched.jobs.values())
}

/// One connection's life.
async fn follow(watched: &mut Watched, session: &Session<'_>) -> Result<(), Failure> {
    let ids: Vec<String> = watched.open().iter().map(u64::to_string).collect();
    let path = format!("/deployments/stream?deployments={}", ids.join(","));
    let mut body = session.client.stream(&path).await?;
    let mut reader = Reader::default();
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.into_data().unwrap_or_default();
        for message in reader.feed(&bytes) {
            watched.hear(&message)?;
        }
    }
    Ok(())
}

/// What is followed, and what the person saw of it.
struct Watched {
    ids: Vec<u64>,
    jobs: BTreeMap<u64, DeploymentDoc>,
    said: HashMap<u64, String>,
    heard: u64,
    terminal: bool,
    drawn: usize,
}

impl Watched {
    fn new(ids: &[u64]) -> Self {
        Self {
            ids: ids.to_vec(),
            jobs: BTreeMap::new(),
            said: HashMap::new(),
            heard: 0,
            terminal: io::stderr().is_terminal(),
            drawn: 0,
        }
    }

    /// Those that are not known to be over.
    fn open(&self) -> Vec<u64> {
        let open = |id: &&u64| self.jobs.get(id).is_none_or(|job| job.open);
        self.ids.iter().filter(open).copied().collect()
    }

    /// Takes a message of the stream, and says what is new.
    fn hear(&mut self, message: &Message) -> Result<(), Failure> {
        if message.event != DEPLOYMENT {
            return Ok(());
        }
        let job: DeploymentDoc = json::from_slice(message.data.as_bytes())
            .map_err(|e| Failure::Answer(e.to_string()))?;
        self.heard += 1;
        let words = words(&job);
        if self.said.get(&job.id) != Some(&words) {
            self.end_line();
            eprintln!("{}", clean(&words));
            self.said.insert(job.id, words);
        }
        self.jobs.insert(job.id, job);
        if self.terminal
            && let Some(line) = live(self.jobs.values())
        {
            self.drawn = bar::over(&clean(&line), self.drawn);
        }
        Ok(())
    }

    /// What was drawn last stays.
    fn end_line(&mut self) {
        if self.drawn > 0 {
            eprintln!();
            self.drawn = 0;
        }
    }
}

/// What is said once.
fn words(job: &DeploymentDoc) -> String {
    let reason = job
        .reason
        .as_ref()
        .map_or_else(String::new, |r| format!(": {r}"));
    let next = match job.next.as_str() {
        // Its seconds would make each look a new line.
        next if next.is_empty() || job.deadline.is_some() => String::new(),
        next => format!(" ({next})"),
    };
    format!(
        "{}: {} {}{reason}{next}",
        job.machine_name,
        job.title,
        job.state.word()
    )
}

/// The line that is drawn again and again: of the first that works.
fn live<'a>(mut jobs: impl Iterator<Item = &'a DeploymentDoc> + Clone) -> Option<String> {
    let open = jobs.clone().filter(|job| job.open).count();
    let job = jobs.find(|job| job.open && job.progress.is_some())?;
    let line = progress_line(job.state, job.progress.as_ref()?);
    let more = if open > 1 {
        format!("; {open} are not over",)
    } else {
        String::new()
    };
    Some(format!("{}: {line}{more}", job.machine_name))
}

/// How far a step is.
pub(super) fn progress_line(state: DeploymentState, progress: &ProgressDoc) -> String {
    let wire = match progress.wire_bytes {
        0 => String::new(),
        bytes => format!("{} over the wire", size(bytes)),
    };
    let (done, total) = (progress.done_bytes, progress.total_bytes);
    bar::line(state.word(), done, total, progress.bytes_per_s, &wire)
}

/// How it went, for scripts.
fn outcome<'a>(jobs: impl Iterator<Item = &'a DeploymentDoc>) -> Result<(), Failure> {
    let bad = |job: &&DeploymentDoc| {
        matches!(
            job.state,
            DeploymentState::Failed | DeploymentState::Cancelled
        )
    };
    let failed: Vec<String> = jobs
        .filter(bad)
        .map(|job| {
            let why = job.reason.as_deref().unwrap_or("nobody knows why");
            format!(
                "deployment {} of {} {}: {why}",
                job.id,
                job.machine_name,
                job.state.word()
            )
        })
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::Local(failed.join("\n")))
    }
}
