//! Deployments as people read them.

use super::watch;
use crate::{
    cli::output::{Column, Line, ago, dash, size, when},
    http::api::deployments::DeploymentDoc,
    state::Timestamp,
};

pub(super) const HEADERS: [&str; 6] = ["ID", "MACHINE", "WHAT", "STATE", "SINCE", "NEXT"];

pub(super) const WIDE: &[Column<DeploymentDoc>] = &[
    ("ROLLOUT", |job, _| dash(job.rollout)),
    ("TRIES", |job, _| job.tries.to_string()),
    ("AFTER", |job, _| job.after.word().to_owned()),
    ("ASKED", |job, now| ago(job.created, now)),
    ("BY", |job, _| job.by.clone()),
];

pub(super) fn row(job: &DeploymentDoc, now: Timestamp) -> [String; 6] {
    [
        job.id.to_string(),
        job.machine_name.clone(),
        job.title.clone(),
        job.state.word().to_owned(),
        ago(job.since, now),
        job.reason
            .clone()
            .filter(|_| !job.open)
            .unwrap_or_else(|| job.next.clone()),
    ]
}

pub(super) fn lines(job: &DeploymentDoc, now: Timestamp) -> Vec<Line> {
    let mut lines = vec![
        ("deployment", job.id.to_string()),
        ("machine", job.machine_name.clone()),
        ("what", job.title.clone()),
        ("state", job.state.word().to_owned()),
        ("since", when(job.since, now)),
        ("reason", dash(job.reason.clone())),
        (
            "next",
            dash(Some(job.next.clone()).filter(|n| !n.is_empty())),
        ),
        (
            "asked by",
            format!("{}, {}", job.by, when(job.created, now)),
        ),
    ];
    if let Some(progress) = &job.progress {
        lines.push(("progress", watch::progress_line(job.state, progress)));
    }
    if let Some(captured) = &job.captured {
        lines.push(("saved as", captured.clone()));
    }
    if let Some(written) = &job.written {
        let serial = written.serial.as_deref().unwrap_or("no serial number");
        lines.push((
            "disk",
            format!("{} ({serial}, {})", written.disk, size(written.disk_bytes)),
        ));
        let text = format!(
            "{} written, {} was there, {} over the wire, {} read back",
            size(written.written_bytes),
            size(written.kept_bytes),
            size(written.wire_bytes),
            size(written.verified_bytes)
        );
        lines.push(("bytes", text));
        lines.extend(written.edits.iter().map(|edit| ("edit", edit.clone())));
    }
    lines.extend(
        (job.history.iter()).map(|m| ("was", format!("{} {}", m.state.word(), when(m.at, now)))),
    );
    lines
}
