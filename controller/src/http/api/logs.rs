//! What machines said while they ran, boot by boot; also live.

use std::convert::Infallible;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

use super::{
    events::{KEEP_ALIVE, last_seen},
    machines,
    page::page_limit,
};
use crate::{
    http::{
        Api,
        answer::Json,
        error::{Code, Problem},
        extract::{Params, Segment},
    },
    mesh::logs::{Boot, Line, Logs},
    state::{Timestamp, machine::MachineId},
};

/// The name of lines in the live view.
pub const LINE: &str = "line";

/// Lines of a machine's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Log)]
pub struct LogDoc {
    /// The boots there are logs of, the newest last.
    pub boots: Vec<BootDoc>,
    /// The boot these lines are of; absent when there is no log at all.
    pub boot: Option<String>,
    /// The lines, oldest first.
    pub lines: Vec<LineDoc>,
}

/// A boot of which there is a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LoggedBoot)]
pub struct BootDoc {
    /// Its kernel's boot id.
    pub id: String,
    /// When its last line came.
    pub last: Timestamp,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = LogLine)]
pub struct LineDoc {
    /// The boot it is of.
    pub boot: String,
    /// Its number in that boot; where numbers are missing, lines are.
    pub n: u64,
    /// Milliseconds since the machine's kernel started.
    pub uptime_ms: u64,
    /// Who said it: `agent`, `kernel`, a job's step.
    pub source: String,
    /// What was said.
    pub text: String,
}

impl BootDoc {
    fn of(boot: Boot) -> Self {
        Self {
            id: boot.id,
            last: Timestamp::from_second(boot.last_unix_s).unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }
}

impl LineDoc {
    fn of(boot: &str, line: Line) -> Self {
        Self {
            boot: boot.to_owned(),
            n: line.n,
            uptime_ms: line.line.uptime_ms,
            source: line.line.source,
            text: line.line.text,
        }
    }
}

/// Which lines to show.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// Which boot, or the first letters of its id; without it the newest.
    #[serde(default)]
    boot: Option<String>,
    /// Lines wanted at most, 1 to 1000: the newest ones.
    #[serde(default)]
    limit: Option<usize>,
}

/// Shows the newest lines that a machine said in a boot.
#[utoipa::path(get, path = "/machines/{machine}/logs", tag = "machines", operation_id = "machines_logs",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling"), LogQuery),
    responses((status = 200, body = LogDoc)))]
pub(crate) async fn list(
    State(api): State<Api>,
    machine: Segment,
    Params(query): Params<LogQuery>,
) -> Result<Json<LogDoc>, Problem> {
    let id = machines::find(&api.store.view(), &machine.0)?.id.clone();
    let limit = page_limit(query.limit)?;
    let logs = api.mesh()?.logs().clone();
    let read = move || newest(&logs, &id, query.boot.as_deref(), limit);
    Ok(Json(blocking(read).await?))
}

fn newest(
    logs: &Logs,
    id: &MachineId,
    boot: Option<&str>,
    limit: usize,
) -> Result<LogDoc, Problem> {
    let boots = logs.boots(id).map_err(unreadable)?;
    let boot = choose(&boots, boot)?;
    let mut lines = match &boot {
        Some(boot) => logs.lines(id, boot, 0).map_err(unreadable)?,
        None => Vec::new(),
    };
    lines.drain(..lines.len().saturating_sub(limit));
    let of = boot.clone().unwrap_or_default();
    Ok(LogDoc {
        boots: boots.into_iter().map(BootDoc::of).collect(),
        lines: lines.into_iter().map(|l| LineDoc::of(&of, l)).collect(),
        boot,
    })
}

/// The boot that `wanted` begins, or the newest.
fn choose(boots: &[Boot], wanted: Option<&str>) -> Result<Option<String>, Problem> {
    let Some(wanted) = wanted else {
        return Ok(boots.last().map(|b| b.id.clone()));
    };
    let found = boots.iter().rev().find(|b| b.id.starts_with(wanted));
    let none = || {
        Problem::new(
            Code::BootNotFound,
            "there is no log of this boot; without `boot` the newest is shown, and all are listed with it",
        )
    };
    found.map(|b| Some(b.id.clone())).ok_or_else(none)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|e| Err(Problem::new(Code::Internal, e.to_string())))
}

#[expect(clippy::needless_pass_by_value, reason = "it maps errors")]
fn unreadable(error: std::io::Error) -> Problem {
    tracing::error!(%error, "the folder of logs fails");
    Problem::new(
        Code::Internal,
        format!("the log cannot be read ({error}); the controller's log has more"),
    )
}

/// Where a live view of a log starts.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// The boot that `Last-Event-ID` is of; without it the newest.
    #[serde(default)]
    boot: Option<String>,
}

/// Streams the lines a machine says from now on, over all its boots (server-sent events).
///
/// Each has its number in its boot as `id`; a client that comes back with `Last-Event-ID` and `boot` misses nothing.
#[utoipa::path(get, path = "/machines/{machine}/logs/stream", tag = "machines", operation_id = "machines_logs_stream",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling"), StreamQuery,
        ("Last-Event-ID" = Option<u64>, Header, description = "The last number the client has seen")),
    responses((status = 200, body = LineDoc, content_type = "text/event-stream")))]
pub(crate) async fn stream(
    State(api): State<Api>,
    machine: Segment,
    Params(query): Params<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = machines::find(&api.store.view(), &machine.0)?.id.clone();
    let seen = last_seen(&headers)?;
    Ok(live(
        api.mesh()?.logs().clone(),
        id,
        (query.boot, seen),
        api.stop.clone(),
    )
    .into_response())
}

/// Where a live view stands.
#[derive(Debug, Clone, Default)]
struct Cursor {
    boot: Option<String>,
    next: u64,
}

fn live(
    logs: Logs,
    id: MachineId,
    seen: (Option<String>, Option<u64>),
    stop: CancellationToken,
) -> Sse<impl Stream<Item = Result<SseEvent, Infallible>>> {
    let stream = async_stream::stream! {
        let mut grown = logs.subscribe();
        let (of, who) = (logs.clone(), id.clone());
        let begun = tokio::task::spawn_blocking(move || begin(&of, &who, seen)).await;
        let Ok(mut cursor) = begun else { return };
        yield Ok(SseEvent::default().comment("live"));
        loop {
            grown.borrow_and_update();
            let (logs, id, at) = (logs.clone(), id.clone(), cursor.clone());
            let step = tokio::task::spawn_blocking(move || step(&logs, &id, &at)).await;
            let Ok(Ok((lines, next))) = step else { return };
            cursor = next;
            for line in lines {
                let data = serde_json::to_string(&line).unwrap_or_default();
                yield Ok(SseEvent::default().event(LINE).id(line.n.to_string()).data(data));
            }
            tokio::select! {
                changed = grown.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    };
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// Behind the last line seen, or behind all there is.
fn begin(logs: &Logs, id: &MachineId, (boot, seen): (Option<String>, Option<u64>)) -> Cursor {
    let newest = || Some(logs.boots(id).ok()?.last()?.id.clone());
    let boot = boot.or_else(newest);
    let last = |boot: &String| Some(logs.lines(id, boot, 0).ok()?.last()?.n);
    let seen = seen.or_else(|| boot.as_ref().and_then(last));
    Cursor {
        boot,
        next: seen.map_or(0, |n| n + 1),
    }
}

/// What was said since: the rest of the boot looked at, and all of a newer one.
fn step(logs: &Logs, id: &MachineId, at: &Cursor) -> std::io::Result<(Vec<LineDoc>, Cursor)> {
    let newest = logs.boots(id)?.last().map(|b| b.id.clone());
    let mut next = at.clone();
    let mut told = Vec::new();
    let mut take = |boot: &str, from: u64| -> std::io::Result<u64> {
        let lines = logs.lines(id, boot, from)?;
        let behind = lines.last().map_or(from, |l| l.n + 1);
        told.extend(lines.into_iter().map(|l| LineDoc::of(boot, l)));
        Ok(behind)
    };
    if let Some(boot) = &at.boot {
        next.next = take(boot, at.next)?;
    }
    if let Some(boot) = newest.filter(|b| at.boot.as_ref() != Some(b)) {
        next = Cursor {
            next: take(&boot, 0)?,
            boot: Some(boot),
        };
    }
    Ok((told, next))
}

#[cfg(test)]
mod tests {
    use mesh_proto::message::link::{LogChunk, LogLine};

    use super::*;

    fn say(logs: &Logs, boot: &str, first: u64, text: &str) {
        let line = LogLine {
            uptime_ms: 1,
            source: "agent".to_owned(),
            text: text.to_owned(),
        };
        let chunk = LogChunk {
            boot_id: boot.to_owned(),
            first,
            lines: vec![line],
        };
        logs.append(&MachineId::from_random(1), &chunk).unwrap();
    }

    #[test]
    fn a_live_view_goes_on_into_the_next_boot_and_tells_nothing_twice() {
        let state = tempfile::tempdir().unwrap();
        let (logs, id) = (Logs::open(state.path()), MachineId::from_random(1));
        say(&logs, "aa", 0, "before");
        let at = begin(&logs, &id, (None, None));
        say(&logs, "aa", 1, "one");
        say(&logs, "bb", 0, "two");
        let (told, at) = step(&logs, &id, &at).unwrap();
        let texts = |told: Vec<LineDoc>| told.into_iter().map(|l| l.text).collect::<Vec<_>>();
        assert_eq!(texts(told), ["one", "two"]);
        say(&logs, "bb", 1, "three");
        assert_eq!(texts(step(&logs, &id, &at).unwrap().0), ["three"]);
    }
}
