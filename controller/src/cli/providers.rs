//! `enforcer providers …`

use clap::Subcommand;

use super::{
    Session,
    client::encode,
    failure::Failure,
    output::{Line, Output, ago, dash, when},
};
use crate::{
    http::api::{providers::ProviderDoc, words::ProviderState},
    state::Timestamp,
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the Serf and Consul clusters that the configuration names, and whether they answer
    #[command(
        after_help = "starting: not asked through yet; answering; failing: one failure, asked again in a moment; silent: its members count as unreachable.\n\nExamples:\n  enforcer providers list\n  enforcer providers show lab\n  enforcer members list"
    )]
    List(Output),
    /// Show a provider: whether it answers, why not, and when it is asked again
    Show {
        /// Its name in the configuration
        provider: String,
        #[command(flatten)]
        output: Output,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List(output) => {
            let items = session.client.list("/providers").await?;
            session.list(&output, items, HEADERS, row)
        }
        Verb::Show { provider, output } => {
            let path = format!("/providers/{}", encode(&provider));
            let value = session.client.get(&path).await?;
            session.show(&output, value, details)
        }
    }
}

const HEADERS: [&str; 7] = ["NAME", "TYPE", "ADDRESS", "STATE", "SINCE", "ALIVE", "WHY"];

fn row(provider: &ProviderDoc, now: Timestamp) -> [String; 7] {
    [
        provider.name.clone(),
        provider.kind.word().to_owned(),
        provider.address.clone(),
        provider.state.word().to_owned(),
        ago(provider.since, now),
        alive(provider),
        dash(why(provider, now)),
    ]
}

fn details(provider: &ProviderDoc, now: Timestamp) -> Vec<Line> {
    let failure = provider.failure.as_ref();
    [
        ("name", provider.name.clone()),
        ("type", provider.kind.word().to_owned()),
        ("address", provider.address.clone()),
        ("state", provider.state.word().to_owned()),
        ("since", when(provider.since, now)),
        ("alive", alive(provider)),
        ("passed over", provider.passed_over.to_string()),
        ("failures in a row", provider.failures.to_string()),
        ("last failure", dash(failure.map(|f| when(f.at, now)))),
        (
            "its reason",
            dash(failure.map(|f| format!("{} ({})", f.reason, f.kind))),
        ),
        (
            "asked again",
            dash(provider.next_attempt.map(|at| when(at, now))),
        ),
    ]
    .into()
}

fn alive(provider: &ProviderDoc) -> String {
    format!("{} of {}", provider.alive, provider.members)
}

/// Why it does not answer, while it does not.
fn why(provider: &ProviderDoc, now: Timestamp) -> Option<String> {
    if provider.state == ProviderState::Answering {
        return None;
    }
    let reason = &provider.failure.as_ref()?.reason;
    Some(match provider.next_attempt {
        Some(at) => format!("{reason}; asked again {}", ago(at, now)),
        None => format!("{reason}; asked now"),
    })
}
