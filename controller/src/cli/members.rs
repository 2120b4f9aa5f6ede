//! `enforcer members …`

use clap::Subcommand;

use super::{
    Session,
    client::{encode, filtered},
    failure::Failure,
    output::{Line, Output, ago, dash, when},
};
use crate::{
    http::api::{members::MemberDoc, words::MemberState},
    state::Timestamp,
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the machines whose agents have, or had, a link
    #[command(
        after_help = "alive: its link speaks; unreachable: silent for 6 s; down: silent for 10.5 s, and it did not call again; left: it said goodbye.\n\nExamples:\n  enforcer members list\n  enforcer members list --state down"
    )]
    List {
        /// Only members of this verdict
        #[arg(long)]
        state: Option<MemberState>,
        #[command(flatten)]
        output: Output,
    },
    /// Show a member: the verdict on it, since when and why
    Show {
        /// Name, id or MAC of its machine
        machine: String,
        #[command(flatten)]
        output: Output,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List { state, output } => {
            let path = filtered("/members", [("state", state.map(MemberState::word))]);
            let items = session.client.list(&path).await?;
            session.list(&output, items, HEADERS, row)
        }
        Verb::Show { machine, output } => {
            let path = format!("/members/{}", encode(&machine));
            let value = session.client.get(&path).await?;
            session.show(&output, value, details)
        }
    }
}

const HEADERS: [&str; 7] = [
    "NAME", "STATE", "SINCE", "RUNS IN", "LEVEL", "ADDRESS", "WHY",
];

fn row(member: &MemberDoc, now: Timestamp) -> [String; 7] {
    [
        member.name.clone(),
        member.state.word().to_owned(),
        ago(member.since, now),
        member.habitat.word().to_owned(),
        member.level.word().to_owned(),
        member.address.clone(),
        member.why.clone(),
    ]
}

fn details(member: &MemberDoc, now: Timestamp) -> Vec<Line> {
    [
        ("name", member.name.clone()),
        ("id", member.machine.clone()),
        ("state", member.state.word().to_owned()),
        ("since", when(member.since, now)),
        ("why", member.why.clone()),
        ("runs in", member.habitat.word().to_owned()),
        ("doing", dash(member.doing.as_ref())),
        ("error", dash(member.error.as_ref())),
        ("link from", member.address.clone()),
        ("gossips at", dash(member.gossip.as_ref())),
        (
            "key",
            format!("{}, level {}", member.key.word(), member.level.word()),
        ),
        ("agent", member.agent.clone()),
        ("boot", member.boot_id.clone()),
        ("generation", member.generation.to_string()),
        ("last hello", when(member.joined, now)),
    ]
    .into()
}
