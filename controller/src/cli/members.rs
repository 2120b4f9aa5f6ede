//! `enforcer members …`

use clap::Subcommand;

use super::{
    Session,
    client::encode,
    failure::Failure,
    filters::Filters,
    output::{Column, Columns, Line, Listing, Output, ago, dash, pairs, when},
};
use crate::{
    http::api::{members::MemberDoc, words::MemberState},
    state::Timestamp,
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the machines whose agents have, or had, a link, and the members of providers (Serf, Consul)
    #[command(
        after_help = "alive: its link speaks; unreachable: silent for 6 s; down: silent for 10.5 s, and it did not call again; left: it said goodbye.\n\nExamples:\n  enforcer members list\n  enforcer members list --state down\n  enforcer members list --watch"
    )]
    List {
        /// Only members of this verdict
        #[arg(long)]
        state: Option<MemberState>,
        #[command(flatten)]
        filters: Filters,
        #[command(flatten)]
        listing: Listing,
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
        Verb::List {
            state,
            filters,
            listing,
        } => {
            let path = filters.of("/members", [("state", state.map(MemberState::word))]);
            let columns = Columns::new(HEADERS, row).wide(WIDE);
            session.listed(&listing, &path, columns).await
        }
        Verb::Show { machine, output } => {
            let path = format!("/members/{}", encode(&machine));
            let value = session.client.get(&path).await?;
            session.show(&output, value, details)
        }
    }
}

/// The level of members without a key of ours.
const NO_KEY: &str = "t0";

const HEADERS: [&str; 8] = [
    "NAME", "SOURCE", "STATE", "SINCE", "RUNS IN", "LEVEL", "ADDRESS", "WHY",
];

const WIDE: &[Column<MemberDoc>] = &[
    ("DOING", |m, _| dash(m.doing.as_ref())),
    ("AGENT", |m, _| dash(m.agent.as_ref())),
    ("JOINED", |m, now| ago(m.joined, now)),
    ("TAGS", |m, _| dash(pairs(&m.tags))),
];

fn row(member: &MemberDoc, now: Timestamp) -> [String; 8] {
    [
        member.name.clone(),
        member.source.clone(),
        member.state.word().to_owned(),
        ago(member.since, now),
        dash(member.habitat.map(|h| h.word())),
        member.level.map_or(NO_KEY, |l| l.word()).to_owned(),
        dash(member.address.as_ref()),
        member.why.clone(),
    ]
}

fn details(member: &MemberDoc, now: Timestamp) -> Vec<Line> {
    [
        ("name", member.name.clone()),
        ("source", source(member)),
        ("id", dash(member.machine.as_ref())),
        ("state", member.state.word().to_owned()),
        ("since", when(member.since, now)),
        ("why", member.why.clone()),
        ("runs in", dash(member.habitat.map(|h| h.word()))),
        ("doing", dash(member.doing.as_ref())),
        ("error", dash(member.error.as_ref())),
        ("address", dash(member.address.as_ref())),
        ("gossips at", dash(member.gossip.as_ref())),
        ("key", key(member)),
        ("agent", dash(member.agent.as_ref())),
        ("boot", dash(member.boot_id.as_ref())),
        ("generation", dash(member.generation)),
        ("joined", when(member.joined, now)),
        ("tags", dash(pairs(&member.tags))),
    ]
    .into()
}

/// `mesh`, or `n1 of serf lab`.
fn source(member: &MemberDoc) -> String {
    match &member.node {
        Some(node) => format!("{node} of {}", member.source),
        None => member.source.clone(),
    }
}

fn key(member: &MemberDoc) -> String {
    match (member.key, member.level) {
        (Some(key), Some(level)) => format!("{}, level {}", key.word(), level.word()),
        _ => format!("none: level {NO_KEY}, a hint"),
    }
}
