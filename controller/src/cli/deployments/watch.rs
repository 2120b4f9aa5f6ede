//! Deployments followed to their end: a live line on a terminal, a line for each new state elsewhere.

use std::{
    collections::HashMap,
    io::{self, IsTerminal as _},
    time::Duration,
};

use crate::{
    cli::{
        Session, bar,
        client::read,
        failure::Failure,
        output::{clean, size},
    },
    http::api::{
        deployments::{DeploymentDoc, ProgressDoc},
        words::DeploymentState,
    },
};

/// Between two looks: agents speak twice a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Waits until all are over. A failed or cancelled one makes it fail.
pub(super) async fn to_the_end(ids: &[u64], session: &Session<'_>) -> Result<(), Failure> {
    let terminal = io::stderr().is_terminal();
    let (mut said, mut drawn) = (HashMap::new(), 0);
    loop {
        let mut jobs = Vec::new();
        for id in ids {
            let job: DeploymentDoc =
                read(session.client.get(&format!("/deployments/{id}")).await?)?;
            let words = words(&job);
            if said.get(id) != Some(&words) {
                if drawn > 0 {
                    eprintln!();
                    drawn = 0;
                }
                eprintln!("{}", clean(&words));
                said.insert(*id, words);
            }
            jobs.push(job);
        }
        if terminal && let Some(line) = live(&jobs) {
            drawn = bar::over(&clean(&line), drawn);
        }
        if jobs.iter().all(|job| !job.open) {
            if drawn > 0 {
                eprintln!();
            }
            return outcome(&jobs);
        }
        tokio::time::sleep(LOOK_EVERY).await;
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
fn live(jobs: &[DeploymentDoc]) -> Option<String> {
    let open = jobs.iter().filter(|job| job.open).count();
    let job = jobs.iter().find(|job| job.open && job.progress.is_some())?;
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
fn outcome(jobs: &[DeploymentDoc]) -> Result<(), Failure> {
    let bad = |job: &&DeploymentDoc| {
        matches!(
            job.state,
            DeploymentState::Failed | DeploymentState::Cancelled
        )
    };
    let failed: Vec<String> = jobs
        .iter()
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
