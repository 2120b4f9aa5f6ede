//! `enforcer sessions …`

use clap::Subcommand;

use super::{
    Session,
    client::encode,
    failure::Failure,
    output::{Line, Output, ago, dash, when},
};
use crate::{http::api::sessions::SessionDoc, state::Timestamp};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List who is signed in: your sessions; admins see all
    List(Output),
    /// Show a session
    Show {
        /// What it is called
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Sign somebody out, from the next request on
    #[command(
        alias = "delete",
        after_help = "A new password (enforcer users password NAME) ends all sessions of its person; so does enforcer users set NAME --disable."
    )]
    Revoke {
        /// What it is called
        name: String,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List(output) => {
            let items = session.client.list("/sessions").await?;
            let headers = ["NAME", "USER", "FROM", "SINCE", "USED", "ENDS"];
            session.list(&output, items, headers, |signed_in: &SessionDoc, now| {
                [
                    signed_in.name.clone(),
                    signed_in.user.clone(),
                    dash(signed_in.from.clone()),
                    ago(signed_in.created, now),
                    ago(signed_in.used, now),
                    ago(signed_in.ends, now),
                ]
            })
        }
        Verb::Show { name, output } => {
            let signed_in = session.client.get(&path(&name)).await?;
            session.show(&output, signed_in, lines)
        }
        Verb::Revoke { name } => {
            session.client.delete(&path(&name)).await?;
            eprintln!("{name} is not good any more");
            Ok(())
        }
    }
}

fn path(name: &str) -> String {
    format!("/sessions/{}", encode(name))
}

fn lines(session: &SessionDoc, now: Timestamp) -> Vec<Line> {
    vec![
        ("name", session.name.clone()),
        ("user", session.user.clone()),
        ("from", dash(session.from.clone())),
        ("signed in", when(session.created, now)),
        ("used", when(session.used, now)),
        ("ends unused", when(session.ends, now)),
        ("ends", when(session.last, now)),
    ]
}
