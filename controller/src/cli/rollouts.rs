//! `enforcer rollouts …`: one order for many machines, steered on its way. `enforcer deploy LABELS …` makes them.

use clap::Subcommand;
use hyper::Method;
use serde_json::Value;

use super::{
    Session,
    client::read,
    failure::Failure,
    output::{Column, Columns, Line, Listing, Output, ago, dash, when},
};
use crate::{
    http::api::rollouts::{RolloutDoc, RolloutUpdate},
    state::Timestamp,
};

/// What can be done with rollouts.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List rollouts, newest first
    List(Listing),
    /// Show a rollout: how many wait, are at work, went well or failed
    #[command(after_help = "Its deployments: enforcer deployments list --rollout NUMBER")]
    Show {
        /// Its number
        id: u64,
        #[command(flatten)]
        output: Output,
    },
    /// Change how fast it goes, or how many failures it bears
    #[command(
        after_help = "What is at work goes on, also when there are more than that.\n\nExamples:\n  enforcer rollouts set 5 --at-once 16\n  enforcer rollouts set 5 --max-failures 10"
    )]
    Set {
        /// Its number
        id: u64,
        /// Machines at work at once
        #[arg(long, required_unless_present = "max_failures")]
        at_once: Option<u32>,
        /// After so many failures no further one begins
        #[arg(long)]
        max_failures: Option<u32>,
    },
    /// Hold it: what is at work goes on, nothing more begins
    Pause {
        /// Its number
        id: u64,
    },
    /// Let it go on; failures until now do not count any more
    Resume {
        /// Its number
        id: u64,
    },
    /// End what waits of it; what is at work goes on
    Cancel {
        /// Its number
        id: u64,
    },
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    let changed = match verb {
        Verb::List(listing) => {
            let headers = [
                "ID", "MACHINES", "WHAT", "STATE", "QUEUED", "RUNNING", "GOOD", "FAILED", "ASKED",
            ];
            let columns = Columns::new(headers, row).wide(WIDE);
            return session.listed(&listing, "/rollouts", columns).await;
        }
        Verb::Show { id, output } => {
            let rollout = session.client.get(&format!("/rollouts/{id}")).await?;
            return session.show(&output, rollout, lines);
        }
        Verb::Set {
            id,
            at_once,
            max_failures,
        } => {
            let body = RolloutUpdate {
                at_once,
                max_failures,
            };
            let path = format!("/rollouts/{id}");
            session.client.send(Method::PATCH, &path, &body).await?
        }
        Verb::Pause { id } => act(id, "pause", session).await?,
        Verb::Resume { id } => act(id, "resume", session).await?,
        Verb::Cancel { id } => act(id, "cancel", session).await?,
    };
    let rollout: RolloutDoc = read(&changed)?;
    eprintln!("rollout {}: {}", rollout.id, words(&rollout));
    Ok(())
}

async fn act(id: u64, what: &str, session: &Session<'_>) -> Result<Value, Failure> {
    let path = format!("/rollouts/{id}/{what}");
    session.client.send(Method::POST, &path, &()).await
}

fn words(rollout: &RolloutDoc) -> String {
    match rollout.next.as_str() {
        "" => rollout.state.word().to_owned(),
        next => format!("{}, {next}", rollout.state.word()),
    }
}

const WIDE: &[Column<RolloutDoc>] = &[
    ("NEXT", |r, _| r.next.clone()),
    ("AT ONCE", |r, _| r.at_once.to_string()),
    ("STOPS AT", |r, _| dash(r.max_failures)),
    ("BY", |r, _| r.by.clone()),
];

fn row(rollout: &RolloutDoc, now: Timestamp) -> [String; 9] {
    let tally = &rollout.tally;
    [
        rollout.id.to_string(),
        rollout.selector.clone(),
        dash(rollout.title.clone()),
        rollout.state.word().to_owned(),
        tally.queued.to_string(),
        tally.running.to_string(),
        tally.good.to_string(),
        tally.failed.to_string(),
        ago(rollout.created, now),
    ]
}

fn lines(rollout: &RolloutDoc, now: Timestamp) -> Vec<Line> {
    let tally = &rollout.tally;
    let failures = rollout.max_failures.map_or_else(
        || "it never stops by itself".to_owned(),
        |max| format!("it stops at {max}"),
    );
    vec![
        ("rollout", rollout.id.to_string()),
        ("machines", rollout.selector.clone()),
        ("what", dash(rollout.title.clone())),
        ("state", rollout.state.word().to_owned()),
        (
            "next",
            dash(Some(rollout.next.clone()).filter(|n| !n.is_empty())),
        ),
        ("queued", tally.queued.to_string()),
        (
            "running",
            format!("{}, at most {}", tally.running, rollout.at_once),
        ),
        ("good", tally.good.to_string()),
        ("failed", format!("{}, {failures}", tally.failed)),
        ("otherwise", tally.other.to_string()),
        (
            "asked by",
            format!("{}, {}", rollout.by, when(rollout.created, now)),
        ),
    ]
}
