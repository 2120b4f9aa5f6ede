//! `enforcer activations …`

use clap::Subcommand;

use super::{
    Session,
    client::filtered,
    failure::Failure,
    output::{Column, Columns, Line, Listing, Output, ago, dash, when},
};
use crate::{http::api::activations::ActivationDoc, state::Timestamp};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List boot configs that were made due for machines
    #[command(
        after_help = "Examples:\n  enforcer activations list --open\n  enforcer activations list --machine web1"
    )]
    List {
        /// Only those of this machine: name, id or MAC
        #[arg(long)]
        machine: Option<String>,
        /// Only those that are not closed
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        listing: Listing,
    },
    /// Show an activation
    Show {
        /// Its number
        id: u64,
        #[command(flatten)]
        output: Output,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List {
            machine,
            open,
            listing,
        } => {
            let asked = [
                ("machine", machine.as_deref()),
                ("open", open.then_some("true")),
            ];
            let path = filtered("/activations", asked);
            let columns = Columns::new(HEADERS, row).wide(WIDE);
            session.listed(&listing, &path, columns).await
        }
        Verb::Show { id, output } => {
            let value = session.client.get(&format!("/activations/{id}")).await?;
            session.show(&output, value, details)
        }
    }
}

const HEADERS: [&str; 8] = [
    "ID", "MACHINE", "CONFIG", "KIND", "STAGE", "BOOTS", "ARMED", "REASON",
];

const WIDE: &[Column<ActivationDoc>] = &[
    ("EVIDENCE", |a, _| a.evidence.word().to_owned()),
    ("SELECTOR", |a, _| dash(a.selector.as_ref())),
    ("UNTIL", |a, now| dash(a.until.map(|until| ago(until, now)))),
    ("CLOSED", |a, now| dash(a.closed.map(|at| ago(at, now)))),
];

fn row(activation: &ActivationDoc, now: Timestamp) -> [String; 8] {
    [
        activation.id.to_string(),
        activation.machine_name.clone(),
        activation.config.clone(),
        activation.kind.word().to_owned(),
        activation.stage.word().to_owned(),
        activation.boots.to_string(),
        ago(activation.armed, now),
        dash(activation.reason.as_ref()),
    ]
}

fn details(activation: &ActivationDoc, now: Timestamp) -> Vec<Line> {
    let when = |at| when(at, now);
    let config = format!("{} (revision {})", activation.config, activation.revision);
    let boots = format!(
        "{} fetched files, {} only the script",
        activation.boots, activation.scripts
    );
    let by = activation.selector.as_ref().map(|selector| {
        let priority = activation.priority.unwrap_or_default();
        format!("{selector} (priority {priority})")
    });
    [
        ("id", activation.id.to_string()),
        ("machine", activation.machine_name.clone()),
        ("config", config),
        ("kind", activation.kind.word().to_owned()),
        ("selector", dash(by)),
        ("stage", activation.stage.word().to_owned()),
        ("evidence", activation.evidence.word().to_owned()),
        ("boots", boots),
        ("owner", dash(activation.owner_site.as_ref())),
        ("granted to", dash(activation.granted_to.as_ref())),
        ("armed", when(activation.armed)),
        ("until", dash(activation.until.map(when))),
        ("closed", dash(activation.closed.map(when))),
        ("reason", dash(activation.reason.as_ref())),
    ]
    .into()
}
