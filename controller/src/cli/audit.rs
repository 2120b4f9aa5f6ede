//! `enforcer audit list`: who did what, from where, how it ended; also live.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use super::{
    Session,
    client::{filtered, read},
    failure::Failure,
    output::{Output, clean, dash, moment},
    span::parse_span,
};
use crate::{
    http::api::{
        Page,
        audit::{AuditDoc, AuditOutcome},
    },
    state::Timestamp,
};

/// Lines shown before a live view goes on, as `tail -f` does.
const LEAD_IN: u64 = 10;
/// Lines shown otherwise.
const LIST: u64 = 100;
/// Between two looks at a live audit.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a controller that is away is asked again: its restart takes less.
const RETRIES: u32 = 60;

/// What can be done with it.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List what people, programs and other sites did or were refused, and what machines were told to boot
    #[command(
        after_help = "Only admins may look. Without --since or --after the newest lines are listed.\n\nExamples:\n  enforcer audit list\n  enforcer audit list --who ann --since 7d\n  enforcer audit list --outcome refused -f\n  enforcer audit list --what boot.told --machine web1 --since 2026-01-02T00:00:00Z -o json"
    )]
    List(Args),
}

/// Arguments of `enforcer audit list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Go on as lines are written, until Ctrl-C
    #[arg(short, long, conflicts_with = "until")]
    follow: bool,
    /// Only what this account did, or this caller: ann, token/ci:ann, peer:lab
    #[arg(long)]
    who: Option<String>,
    /// Only this kind, or family: machine.registered, machine.*
    #[arg(long, value_name = "KIND")]
    what: Option<String>,
    /// Only what ended so
    #[arg(long)]
    outcome: Option<AuditOutcome>,
    /// Only about this machine: name, id or MAC
    #[arg(long)]
    machine: Option<String>,
    /// Only from this time on: 2h, 7d, or a time such as 2026-01-02T03:04:05Z
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    since: Option<When>,
    /// Only before this time
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    until: Option<When>,
    /// Only lines with a larger number
    #[arg(long)]
    after: Option<u64>,
    /// The newest lines with a smaller number: back from the first one of another list
    #[arg(long, conflicts_with_all = ["since", "after", "follow"])]
    before: Option<u64>,
    /// How many of the newest lines to show first [default: 100, with -f 10]
    #[arg(long, conflicts_with_all = ["since", "after"])]
    limit: Option<u64>,
    /// How to print; with -f, `json` is one line each
    #[command(flatten)]
    output: Output,
}

/// A time, or a span before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    At(Timestamp),
    Ago(jiff::SignedDuration),
}

fn parse_when(text: &str) -> Result<When, String> {
    if let Ok(at) = text.parse() {
        return Ok(When::At(at));
    }
    let wrong = |_| "write a span like 2h or 7d, or a time like 2026-01-02T03:04:05Z".to_owned();
    parse_span(text)
        .map(|span| When::Ago(span.0))
        .map_err(wrong)
}

impl When {
    fn text(self, now: Timestamp) -> String {
        match self {
            Self::At(at) => at.to_string(),
            // What is longer ago than times can say is all of it.
            Self::Ago(span) => now.checked_sub(span).unwrap_or(Timestamp::MIN).to_string(),
        }
    }
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    let Verb::List(args) = verb;
    let (asked, all) = first(&args, session.now);
    let items = if all {
        session.client.list(&asked).await?
    } else {
        read::<Page<Value>>(&session.client.get(&asked).await?)?.items
    };
    if !args.follow {
        if session.printed(&args.output, &items)? {
            return Ok(());
        }
        for item in items {
            session.text(&line(&read(&item)?))?;
        }
        return Ok(());
    }
    let mut seen = args.after.unwrap_or(0);
    for item in items {
        seen = print(&args, &item, session)?;
    }
    follow(&args, seen, session).await
}

/// Where the first lines are, and whether all pages of them are wanted.
fn first(args: &Args, now: Timestamp) -> (String, bool) {
    let newest = if args.follow { LEAD_IN } else { LIST };
    let (since, until) = (
        args.since.map(|w| w.text(now)),
        args.until.map(|w| w.text(now)),
    );
    let all = args.after.is_some() || since.is_some();
    let number = |seq: Option<u64>| seq.map(|seq| seq.to_string());
    let (after, before) = (number(args.after), number(args.before));
    let limit = (!all).then(|| args.limit.unwrap_or(newest).to_string());
    let more = [
        ("after", after.as_deref()),
        ("before", before.as_deref()),
        ("since", since.as_deref()),
        ("until", until.as_deref()),
        ("limit", limit.as_deref()),
    ];
    (path(args, more), all)
}

fn path<const N: usize>(args: &Args, more: [(&str, Option<&str>); N]) -> String {
    let mut asked = vec![
        ("who", args.who.as_deref()),
        ("what", args.what.as_deref()),
        ("outcome", args.outcome.map(AuditOutcome::word)),
        ("machine", args.machine.as_deref()),
    ];
    asked.extend(more);
    filtered("/audit", asked)
}

/// Prints a line of the live view; its number.
fn print(args: &Args, raw: &Value, session: &mut Session<'_>) -> Result<u64, Failure> {
    let doc: AuditDoc = read(raw)?;
    if !session.streamed(&args.output, raw)? {
        session.text(&line(&doc))?;
    }
    Ok(doc.seq)
}

async fn follow(args: &Args, mut seen: u64, session: &mut Session<'_>) -> Result<(), Failure> {
    let mut failures = 0;
    loop {
        let after = seen.to_string();
        let asked = path(args, [("after", Some(after.as_str()))]);
        match session.client.get(&asked).await {
            Ok(page) => {
                failures = 0;
                let page: Page<Value> = read(&page)?;
                for item in &page.items {
                    seen = print(args, item, session)?;
                }
                if let Some(next) = page.next.and_then(|next| next.parse().ok()) {
                    seen = next;
                    continue;
                }
            }
            Err(Failure::Unreachable { .. }) if failures < RETRIES => {
                if failures == 0 {
                    eprintln!("the controller is gone; waiting for it");
                }
                failures += 1;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A line for people.
fn line(doc: &AuditDoc) -> String {
    let who = doc.by.clone().or_else(|| doc.machine_name.clone());
    let who = clean(&who.unwrap_or_else(|| dash(doc.mac)));
    let from = clean(&dash(doc.from.as_ref()));
    let text = clean(&doc.text);
    format!(
        "{}  {who:17}  {from:15}  {:7}  {}: {text}\n",
        moment(doc.at),
        doc.outcome.word(),
        clean(&doc.what)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_moment_or_a_span_before_now() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let told = |text: &str| parse_when(text).map(|when| when.text(now));
        assert_eq!(told("2h").unwrap(), "2026-01-01T22:00:00Z");
        assert_eq!(told("1d").unwrap(), "2026-01-01T00:00:00Z");
        let moment = "2025-12-31T10:00:00Z";
        assert_eq!(told(moment).unwrap(), moment);
        assert!(told("yesterday").unwrap_err().contains("2h or 7d"));
    }
}
