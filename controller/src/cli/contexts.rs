//! `enforcer contexts …`: the controllers that a person works with from elsewhere.

mod file;
mod server;

use clap::Subcommand;

use super::{
    Session,
    client::{Client, read},
    failure::Failure,
    output::{Output, dash, table},
    secret::{self, read_secret},
};
use crate::http::api::users::WhoDoc;

pub(super) use self::{
    file::{Context, Contexts},
    server::Server,
};

/// The name of what is used without any context.
const LOCAL: &str = "local";

/// What can be done with them.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Keep a controller's address and a token for it
    #[command(
        after_help = "The token is read from standard input, or from a file; arguments are seen by every user of a host. It is kept in\n$XDG_CONFIG_HOME/enforcer/contexts.toml (~/.config/enforcer), readable for you only.\n\nA controller's own CA is ca/ca.crt in its state folder, and `enforcer serve` logs its fingerprint at the start.\n\nExamples:\n  enforcer contexts add lab --server https://boot.example.org:4843 --ca-file ca.crt --token-file token\n  enforcer contexts add lab --server https://10.0.0.5:4843 --fingerprint 3f1c… --token-file token\n  enforcer --context lab machines list"
    )]
    Add {
        /// What to call it
        name: String,
        /// Its address: https://NAME:4843; http:// only on this host
        #[arg(long, value_name = "URL")]
        server: String,
        /// PEM file of the CA that speaks for it; without one, this host's CAs
        #[arg(long, value_name = "FILE", conflicts_with = "fingerprint")]
        ca_file: Option<std::path::PathBuf>,
        /// SHA-256 of its CA's certificate, or of its own, in hex digits
        #[arg(long, value_name = "SHA256")]
        fingerprint: Option<String>,
        /// File of the token; `-` is standard input
        #[arg(long, value_name = "FILE", default_value = "-")]
        token_file: String,
        /// Keep it without asking it
        #[arg(long)]
        unchecked: bool,
    },
    /// Use it from now on where no --context is given; `local` is the socket of this host
    Use {
        /// Its name
        name: String,
    },
    /// List them; the one in use has a star
    List(Output),
    /// Forget one, with its token
    #[command(alias = "delete")]
    Remove {
        /// Its name
        name: String,
    },
}

/// The names of all that are kept, and `local`; none when they cannot be read.
pub(super) fn names() -> Vec<String> {
    let kept = Contexts::load().map(|c| c.contexts.into_keys().collect());
    let mut names: Vec<String> = kept.unwrap_or_default();
    names.push(LOCAL.to_owned());
    names
}

/// The client of the context that is meant: a named one, else the one in use; `None`: this host's socket.
pub(super) fn chosen(named: Option<&str>) -> Result<Option<Client>, Failure> {
    let contexts = Contexts::load()?;
    let name = match named {
        Some(LOCAL) => return Ok(None),
        Some(name) => name,
        None => match &contexts.current {
            Some(name) => name,
            None => return Ok(None),
        },
    };
    let context = contexts.get(name)?;
    Ok(Some(Client::to(Server::of(context)?)))
}

pub(super) async fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    match verb {
        Verb::Add {
            name,
            server,
            ca_file,
            fingerprint,
            token_file,
            unchecked,
        } => {
            if name == LOCAL {
                let text = "'local' is the socket of this host; take another name";
                return Err(Failure::Usage(text.to_owned()));
            }
            let mut contexts = Contexts::load()?;
            let ca = ca_file.as_deref().map(server::read_ca).transpose()?;
            let fingerprint = fingerprint.as_deref().map(server::plain_digits);
            let mut context = Context {
                server,
                ca,
                fingerprint: fingerprint.transpose()?,
                token: String::new(),
            };
            // What cannot be an address is said before the token is asked for.
            Server::of(&context)?;
            context.token = token(&token_file)?;
            if !unchecked {
                let client = Client::to(Server::of(&context)?);
                let who: WhoDoc = read(&client.get("/whoami").await?)?;
                eprintln!("you are {} there ({})", who.name, who.role.word());
            }
            contexts.put(&name, context)?;
            contexts.save()?;
            eprintln!("kept; `enforcer contexts use {name}` makes it the one in use");
            Ok(())
        }
        Verb::Use { name } => {
            let mut contexts = Contexts::load()?;
            if name == LOCAL {
                contexts.current = None;
            } else {
                contexts.get(&name)?;
                contexts.current = Some(name);
            }
            contexts.save()
        }
        Verb::List(output) => list(&Contexts::load()?, &output, session),
        Verb::Remove { name } => {
            let mut contexts = Contexts::load()?;
            contexts.remove(&name)?;
            contexts.save()
        }
    }
}

/// The token: typed unseen, piped, or from a file.
fn token(file: &str) -> Result<String, Failure> {
    let token = match file {
        "-" => secret::ask("token: ")?,
        file => read_secret(file)?,
    };
    let plain = token.bytes().all(|b| b.is_ascii_graphic());
    let wrong =
        || Failure::Usage("this is no token; `enforcer tokens create` prints one".to_owned());
    plain.then_some(token).ok_or_else(wrong)
}

/// Never with their tokens.
fn list(contexts: &Contexts, output: &Output, session: &mut Session<'_>) -> Result<(), Failure> {
    let shown = contexts.contexts.iter().map(|(name, context)| {
        let current = contexts.current.as_ref() == Some(name);
        serde_json::json!({
            "name": name,
            "server": context.server,
            "current": current,
            "fingerprint": context.fingerprint,
            "own_ca": context.ca.is_some(),
        })
    });
    let shown: Vec<_> = shown.collect();
    if session.printed(output, &shown)? {
        return Ok(());
    }
    let mut rows = vec![["", "NAME", "SERVER", "FINGERPRINT"].map(str::to_owned)];
    for (name, context) in &contexts.contexts {
        let star = match contexts.current.as_ref() == Some(name) {
            true => "*",
            false => "",
        };
        rows.push([
            star.to_owned(),
            name.clone(),
            context.server.clone(),
            dash(context.fingerprint.as_ref()),
        ]);
    }
    session.text(&table(&rows))
}
