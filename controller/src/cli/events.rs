//! `enforcer events`: the record as a timeline, also live.

use std::time::Duration;

use http_body_util::BodyExt as _;
use serde_json::Value;

use super::{
    Session,
    client::{filtered, read},
    failure::Failure,
    output::{Output, clean, dash, moment},
    sse::{Message, Reader},
};
use crate::http::api::events::{EVENT, EventDoc, RESET};

/// Events shown before a live view goes on, as `tail -f` does.
const LEAD_IN: u64 = 10;
/// Events shown otherwise.
const LIST: u64 = 100;
/// How often a lost live view is tried again, a second apart: a controller's restart takes less.
const RETRIES: u32 = 60;
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Width of the machine's column: a MAC.
const MACHINE_WIDTH: usize = 17;

/// Arguments of `enforcer events`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer events\n  enforcer events -f --machine web1\n  enforcer events -f --site lab\n  enforcer events -f -o json | jq -r .kind"
)]
pub struct Args {
    /// Go on as events happen, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only events of this machine: name, id or MAC
    #[arg(long)]
    machine: Option<String>,
    /// What another site shows of its machines; from now on, or from behind --after
    #[arg(long, value_name = "NAME", requires = "follow", conflicts_with_all = ["machine", "limit"])]
    site: Option<String>,
    /// How many of the newest events to show first [default: 100, with -f 10]
    #[arg(long)]
    limit: Option<u64>,
    /// Only events with a larger number
    #[arg(long)]
    after: Option<u64>,
    /// How to print; with -f, `json` is one event a line
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: Args, session: &mut Session<'_>) -> Result<(), Failure> {
    if args.site.is_some() {
        return follow(&args, args.after, session).await;
    }
    let items = first(&args, session).await?;
    if !args.follow {
        return print_all(&args, items, session);
    }
    // With nothing to show yet, the stream starts at the beginning: what happens between the two questions is not lost.
    let mut seen = Some(args.after.unwrap_or(0));
    for item in items {
        let event: EventDoc = read(&item)?;
        seen = Some(event.seq);
        print(&args, &event, &item, session)?;
    }
    follow(&args, seen, session).await
}

/// The newest events, or those behind `--after`.
async fn first(args: &Args, session: &Session<'_>) -> Result<Vec<Value>, Failure> {
    let newest = if args.follow { LEAD_IN } else { LIST };
    let (name, number) = match args.after {
        Some(after) => ("after", after.to_string()),
        None => ("limit", args.limit.unwrap_or(newest).to_string()),
    };
    let asked = [(name, Some(number.as_str())), machine(args)];
    session.client.list(&filtered("/events", asked)).await
}

fn machine(args: &Args) -> (&str, Option<&str>) {
    ("machine", args.machine.as_deref())
}

fn print_all(args: &Args, items: Vec<Value>, session: &mut Session<'_>) -> Result<(), Failure> {
    if session.printed(&args.output, &items)? {
        return Ok(());
    }
    for item in items {
        session.text(&line(&read(&item)?))?;
    }
    Ok(())
}

/// An event of the live view.
fn print(
    args: &Args,
    event: &EventDoc,
    raw: &Value,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    match session.streamed(&args.output, raw)? {
        true => Ok(()),
        false => session.text(&line(event)),
    }
}

/// An event as a line of the timeline.
fn line(event: &EventDoc) -> String {
    let station = || dash(event.mac);
    let who = event.machine_name.clone().unwrap_or_else(station);
    let (who, text) = (clean(&who), clean(&event.text));
    format!("{}  {who:MACHINE_WIDTH$}  {text}\n", moment(event.at))
}

/// Follows the stream; when it is lost, comes back to where it was.
async fn follow(
    args: &Args,
    mut seen: Option<u64>,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let mut failures = 0;
    loop {
        let before = seen;
        match watch(args, &mut seen, session).await {
            // The controller stopped, or the connection broke.
            Ok(()) | Err(Failure::Unreachable { .. }) if failures < RETRIES => {}
            Ok(()) => return Err(Failure::Answer("the stream keeps ending".to_owned())),
            Err(failure) => return Err(failure),
        }
        if failures == 0 || seen != before {
            eprintln!("the controller is gone; waiting for it");
        }
        failures = if seen == before { failures + 1 } else { 1 };
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// One connection's life.
async fn watch(
    args: &Args,
    seen: &mut Option<u64>,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let after = seen.map(|seq| seq.to_string());
    let site = ("site", args.site.as_deref());
    let asked = [("after", after.as_deref()), machine(args), site];
    let path = filtered("/events/stream", asked);
    let mut body = session.client.stream(&path).await?;
    let mut reader = Reader::default();
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.into_data().unwrap_or_default();
        for message in reader.feed(&bytes) {
            show(args, &message, session)?;
            *seen = message.id.or(*seen);
        }
    }
    Ok(())
}

fn show(args: &Args, message: &Message, session: &mut Session<'_>) -> Result<(), Failure> {
    if message.event == RESET {
        eprintln!("some events were missed: the record no longer has them");
    }
    if message.event != EVENT {
        return Ok(());
    }
    let raw: Value = serde_json::from_slice(message.data.as_bytes())
        .map_err(|e| Failure::Answer(e.to_string()))?;
    print(args, &read(&raw)?, &raw, session)
}
