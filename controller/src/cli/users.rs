//! `enforcer users …`

mod password;

use clap::Subcommand;
use hyper::Method;

use super::{
    Session,
    client::encode,
    failure::Failure,
    output::{Line, Output, ago, dash, when},
};
use crate::{
    http::api::{
        users::{CreateUserBody, UserChange, UserDoc},
        words::Role,
    },
    state::Timestamp,
};

/// What can be done with people.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List people
    #[command(
        after_help = "Members of the host's group enforcer who are not listed are operators; root is always admin."
    )]
    List(Output),
    /// Show a person
    Show {
        /// Their name
        name: String,
        #[command(flatten)]
        output: Output,
    },
    /// Say what a person may
    #[command(
        after_help = "The name is that of their account on this host. They also have to be in the group enforcer, which opens the local\nsocket to them: sudo usermod -aG enforcer ann\n\nExamples:\n  enforcer users create ann --role operator\n  enforcer users create bob --role viewer --note 'the auditor'"
    )]
    Create {
        /// Their account's name
        name: String,
        /// What they may
        #[arg(long)]
        role: Role,
        /// Who signs in at the identity provider (`[oidc]`) by this name first is them
        #[arg(long)]
        oidc: bool,
        /// Words about them
        #[arg(long)]
        note: Option<String>,
    },
    /// Change what a person may
    Set {
        /// Their name
        name: String,
        /// What they may
        #[arg(long, required_unless_present_any = ["note", "disable", "enable", "oidc", "no_oidc"])]
        role: Option<Role>,
        /// Shut them out: they may nothing, and their tokens neither
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// Let them in again
        #[arg(long)]
        enable: bool,
        /// Who signs in at the identity provider (`[oidc]`) by this name first is them
        #[arg(long, conflicts_with = "no_oidc")]
        oidc: bool,
        /// Nobody who signs in there is them any more; their sessions end
        #[arg(long)]
        no_oidc: bool,
        /// Words about them
        #[arg(long)]
        note: Option<String>,
    },
    /// Set a person's password, by which they sign in to the web app
    #[command(
        after_help = "It is asked for twice, or read from standard input with --stdin. Who changes their own shows the present one: on\nstandard input in the line before. It has 15 characters at least; their sessions end.\n\nExamples:\n  enforcer users password ann\n  pass show enforcer/ann | enforcer users password ann --stdin\n  enforcer users password ann --remove"
    )]
    Password {
        /// Their name
        name: String,
        /// Read it from standard input, a line
        #[arg(long)]
        stdin: bool,
        /// Take it away: they cannot sign in any more
        #[arg(long, conflicts_with = "stdin")]
        remove: bool,
    },
    /// Strike a person out: they are again what their group says; what they own stays theirs
    Delete {
        /// Their name
        name: String,
    },
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::List(output) => {
            let items = session.client.list("/users").await?;
            session.list(&output, items, ["NAME", "ROLE", "NOTE", "SINCE"], row)
        }
        Verb::Show { name, output } => {
            let user = session.client.get(&path(&name)).await?;
            session.show(&output, user, lines)
        }
        Verb::Create {
            name,
            role,
            oidc,
            note,
        } => {
            let body = CreateUserBody {
                name,
                role,
                oidc,
                note,
            };
            let sent = session.client.send(Method::POST, "/users", &body).await;
            sent.map(drop)
        }
        Verb::Set {
            name,
            role,
            disable,
            enable,
            oidc,
            no_oidc,
            note,
        } => {
            let disabled = (disable || enable).then_some(disable);
            let body = UserChange {
                role,
                disabled,
                oidc: (oidc || no_oidc).then_some(oidc),
                note,
            };
            let sent = session
                .client
                .send(Method::PATCH, &path(&name), &body)
                .await;
            sent.map(drop)
        }
        Verb::Password {
            name, remove: true, ..
        } => password::clear(&name, session).await,
        Verb::Password {
            name,
            stdin,
            remove: false,
        } => password::set(&name, stdin, session).await,
        Verb::Delete { name } => session.client.delete(&path(&name)).await,
    }
}

fn path(name: &str) -> String {
    format!("/users/{}", encode(name))
}

/// Their role, or that they have none for now.
fn may(user: &UserDoc) -> String {
    match user.disabled {
        true => format!("disabled ({})", user.role.word()),
        false => user.role.word().to_owned(),
    }
}

/// Whether they can sign in.
fn signs_in(user: &UserDoc, now: Timestamp) -> String {
    let set = user.password_set.map(|at| format!("set {}", when(at, now)));
    dash(set)
}

fn row(user: &UserDoc, now: Timestamp) -> [String; 4] {
    [
        user.name.clone(),
        may(user),
        dash(user.note.clone()),
        ago(user.created, now),
    ]
}

fn lines(user: &UserDoc, now: Timestamp) -> Vec<Line> {
    vec![
        ("name", user.name.clone()),
        ("role", may(user)),
        ("password", signs_in(user, now)),
        ("oidc", dash(user.oidc.map(|o| o.word().to_owned()))),
        ("note", dash(user.note.clone())),
        (
            "made by",
            format!("{}, {}", user.by, when(user.created, now)),
        ),
    ]
}
