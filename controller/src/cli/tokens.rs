//! `enforcer tokens …`

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::{encode, read},
    failure::Failure,
    output::{Line, Output, ago, when},
    span::{Span, parse_span},
};
use crate::{
    http::api::{
        tokens::{CreateTokenBody, CreatedTokenDoc, TokenDoc},
        words::Role,
    },
    state::Timestamp,
};

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make a token for a program; it is shown once
    #[command(
        after_help = "Whoever has the token is whose it is, with the token's role: hand it over as you would a password.\nIt may never more than whose it is, and nothing any more once they are disabled.\n\nExamples:\n  enforcer tokens create ci --role operator\n  enforcer tokens create grafana --user ann --expires 365d\n  enforcer tokens create web-ci --role operator --label pool=web\n  enforcer tokens create ci -o json | jq -r .token"
    )]
    Create {
        /// What to call it
        name: String,
        /// What it may at most
        #[arg(long, default_value = "viewer")]
        role: Role,
        /// Whose it is to be; yours when absent. Only admins make tokens for others
        #[arg(long)]
        user: Option<String>,
        /// Only machines whose labels fit are within its reach: pool=web, rack!=r1, !spare; repeat it for more
        #[arg(long = "label", value_name = "SELECTOR")]
        labels: Vec<String>,
        /// How long it is good: `1h`, `30d`, `366d` at most
        #[arg(long, value_parser = parse_span, default_value = "30d")]
        expires: Span,
        #[command(flatten)]
        output: Output,
    },
    /// List your tokens, also those that are over; admins see all
    List(Output),
    /// Show a token; its text is not kept
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Take a token back, from the next request on
    #[command(alias = "delete")]
    Revoke {
        /// Its name
        name: String,
    },
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Create {
            name,
            role,
            user,
            labels,
            expires,
            output,
        } => {
            let body = CreateTokenBody {
                name,
                role: Some(role),
                user,
                labels: (!labels.is_empty()).then(|| labels.join(",")),
                seconds: Some(expires.seconds()),
            };
            create(&body, &output, session).await
        }
        Verb::List(output) => {
            let items = session.client.list("/tokens").await?;
            let headers = ["NAME", "STATE", "ROLE", "USER", "ENDS", "USED"];
            session.list(&output, items, headers, |token: &TokenDoc, now| {
                [
                    token.name.clone(),
                    token.state.word().to_owned(),
                    token.role.word().to_owned(),
                    token.user.clone(),
                    ago(token.expires, now),
                    used(token, now),
                ]
            })
        }
        Verb::Show { name, output } => {
            let token = session.client.get(&path(&name)).await?;
            session.show(&output, token, lines)
        }
        Verb::Revoke { name } => {
            session.client.delete(&path(&name)).await?;
            eprintln!("{name} is not good any more");
            Ok(())
        }
    }
}

async fn create(
    body: &CreateTokenBody,
    output: &Output,
    session: &mut Session<'_>,
) -> Result<(), Failure> {
    let value = session.client.send(Method::POST, "/tokens", body).await?;
    if session.printed(output, &value)? {
        return Ok(());
    }
    let created: CreatedTokenDoc = read(&value)?;
    let kept = &created.kept;
    eprintln!(
        "{} is {} as {}, ends {}; it is not shown again:",
        kept.name,
        kept.role.word(),
        kept.user,
        ago(kept.expires, session.now)
    );
    session.text(&format!("{}\n", created.token))
}

fn path(name: &str) -> String {
    format!("/tokens/{}", encode(name))
}

fn used(token: &TokenDoc, now: Timestamp) -> String {
    let never = || "never".to_owned();
    token.used.map_or_else(never, |at| ago(at, now))
}

fn lines(token: &TokenDoc, now: Timestamp) -> Vec<Line> {
    vec![
        ("name", token.name.clone()),
        ("begins", format!("enf_{}_", token.prefix)),
        ("state", token.state.word().to_owned()),
        ("role", token.role.word().to_owned()),
        ("user", token.user.clone()),
        (
            "machines",
            token.labels.clone().unwrap_or_else(|| "all".to_owned()),
        ),
        ("made by", token.by.clone()),
        ("made", when(token.created, now)),
        ("ends", when(token.expires, now)),
        ("used", used(token, now)),
    ]
}
