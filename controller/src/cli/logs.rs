//! `enforcer machines logs`: what a machine said, also live.

use http_body_util::BodyExt as _;
use serde_json::Value;

use super::{
    Session,
    client::{encode, read},
    failure::Failure,
    output::{Output, clean, when},
    sse::Reader,
};
use crate::http::api::logs::{LINE, LineDoc, LogDoc};

/// Lines shown before a live view goes on.
const LEAD_IN: usize = 10;
/// How often a lost live view is tried again, a second apart.
const RETRIES: u32 = 60;
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// Arguments of `enforcer machines logs`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  enforcer machines logs web1\n  enforcer machines logs web1 -f\n  enforcer machines logs web1 --boots\n  enforcer machines logs web1 --boot 0b4f"
)]
pub struct Args {
    /// Name, id or MAC in any spelling
    machine: String,
    /// Go on as the machine speaks, until Ctrl-C; also into its next boots
    #[arg(short, long, conflicts_with_all = ["boot", "boots"])]
    follow: bool,
    /// Lines of this boot; the first letters of its id do
    #[arg(long)]
    boot: Option<String>,
    /// List the boots there are logs of
    #[arg(long, conflicts_with = "boot")]
    boots: bool,
    /// How many of the newest lines to show [default: 1000, with -f 10]
    #[arg(long)]
    limit: Option<usize>,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: Args, session: &mut Session<'_>) -> Result<(), Failure> {
    let log: LogDoc = read(&session.client.get(&path(&args)).await?)?;
    if args.boots {
        return boots(&log, session);
    }
    if !args.follow && session.printed(&args.output, &log)? {
        return Ok(());
    }
    for line in &log.lines {
        print(&args, line, session)?;
    }
    if !args.follow {
        return Ok(());
    }
    let mut seen = log.lines.last().map(|l| (l.boot.clone(), l.n));
    for _ in 0..RETRIES {
        match watch(&args, &mut seen, session).await {
            Ok(()) | Err(Failure::Unreachable { .. }) => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    Err(Failure::Answer("the stream keeps ending".to_owned()))
}

fn path(args: &Args) -> String {
    let boot = args.boot.as_ref();
    let boot = boot.map_or_else(String::new, |b| format!("&boot={}", encode(b)));
    let lead_in = args.follow.then_some(LEAD_IN);
    let limit = args.limit.or(lead_in);
    let limit = limit.map_or_else(String::new, |n| format!("limit={n}"));
    format!("/machines/{}/logs?{limit}{boot}", encode(&args.machine))
}

fn boots(log: &LogDoc, session: &mut Session<'_>) -> Result<(), Failure> {
    let rows = log
        .boots
        .iter()
        .map(|b| format!("{}  {}\n", b.id, when(b.last, session.now)));
    let text: String = rows.collect();
    session.text(&text)
}

/// A line as people read kernel logs: `[   12.345] agent: text`.
fn print(args: &Args, line: &LineDoc, session: &mut Session<'_>) -> Result<(), Failure> {
    if session.streamed(&args.output, line)? {
        return Ok(());
    }
    let (s, ms) = (line.uptime_ms / 1000, line.uptime_ms % 1000);
    let (source, text) = (clean(&line.source), clean(&line.text));
    session.text(&format!("[{s:5}.{ms:03}] {source}: {text}\n"))
}

/// One connection's life.
async fn watch(
    args: &Args,
    seen: &mut Option<(String, u64)>,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let boot = seen
        .as_ref()
        .map_or_else(String::new, |(boot, _)| format!("boot={boot}"));
    let path = format!("/machines/{}/logs/stream?{boot}", encode(&args.machine));
    let mut body = session
        .client
        .stream_from(&path, seen.as_ref().map(|(_, n)| *n))
        .await?;
    let mut reader = Reader::default();
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.into_data().unwrap_or_default();
        for message in reader.feed(&bytes) {
            if message.event == LINE {
                let raw: Value = serde_json::from_slice(message.data.as_bytes())
                    .map_err(|e| Failure::Answer(e.to_string()))?;
                let line: LineDoc = read(&raw)?;
                print(args, &line, session)?;
                *seen = Some((line.boot, line.n));
            }
        }
    }
    Ok(())
}
