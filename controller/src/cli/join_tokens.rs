//! `enforcer join-tokens …`

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::{encode, read},
    failure::Failure,
    output::{Line, Output, ago, dash, when},
    span::{Span, parse_span},
};
use crate::{
    http::api::join_tokens::{CreateBody, CreatedDoc, JoinTokenDoc},
    state::Timestamp,
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a token by which one machine may join; it is shown once
    #[command(
        after_help = "Type the printed line on the machine, as root. Whoever has the token can join in its place: hand it over as you would a password.\n\nExamples:\n  enforcer join-tokens create\n  enforcer join-tokens create --machine web1 --for 10m\n  enforcer join-tokens create -o json | jq -r .token"
    )]
    Create {
        /// Only for this machine: name, id or MAC
        #[arg(long)]
        machine: Option<String>,
        /// How long it is good: `10m`, `2h`, `7d` at most
        #[arg(long = "for", value_parser = parse_span, default_value = "1h")]
        good_for: Span,
        #[command(flatten)]
        output: Output,
    },
    /// List tokens, also spent ones
    List {
        #[command(flatten)]
        output: Output,
    },
    /// Show a token; its text is not kept
    Show {
        /// Its name: the eight digits after `enforcer-`
        id: String,
        #[command(flatten)]
        output: Output,
    },
    /// Take a token back; a machine that joined by it stays
    Delete {
        /// Its name: the eight digits after `enforcer-`
        id: String,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Create {
            machine,
            good_for,
            output,
        } => {
            let seconds = Some(good_for.seconds());
            let body = CreateBody { machine, seconds };
            let value = session
                .client
                .send(Method::POST, "/join-tokens", &body)
                .await?;
            if session.printed(&output, &value)? {
                return Ok(());
            }
            let created: CreatedDoc = read(&value)?;
            eprintln!("on the machine, as root (the token is not shown again):");
            session.text(&format!("{}\n", created.line))
        }
        Verb::List { output } => {
            let items = session.client.list("/join-tokens").await?;
            let headers = ["ID", "STATE", "FOR", "USED BY", "MADE BY", "ENDS"];
            session.list(&output, items, headers, |token: &JoinTokenDoc, now| {
                [
                    token.id.clone(),
                    token.state.word().to_owned(),
                    whose(token),
                    dash(token.used_by.as_ref()),
                    token.by.clone(),
                    ago(token.expires, now),
                ]
            })
        }
        Verb::Show { id, output } => {
            let token = session.client.get(&path(&id)).await?;
            session.show(&output, token, lines)
        }
        Verb::Delete { id } => {
            session.client.delete(&path(&id)).await?;
            eprintln!("{id} is not good any more");
            Ok(())
        }
    }
}

fn path(id: &str) -> String {
    format!("/join-tokens/{}", encode(id))
}

fn whose(token: &JoinTokenDoc) -> String {
    let any = || "any machine".to_owned();
    token.machine.clone().unwrap_or_else(any)
}

fn lines(token: &JoinTokenDoc, now: Timestamp) -> Vec<Line> {
    vec![
        ("id", token.id.clone()),
        ("state", token.state.word().to_owned()),
        ("for", whose(token)),
        ("used by", dash(token.used_by.as_ref())),
        ("made by", token.by.clone()),
        ("made", when(token.created, now)),
        ("ends", when(token.expires, now)),
    ]
}
