//! The command line: `enforcer NOUN VERB`, a file per noun. It talks to the API, over the local socket; `doctor` also looks at this host.
//!
//! Data goes to stdout, words to stderr. Exit codes are in [`failure::EXIT_CODES`].

mod activations;
mod aliases;
mod audit;
mod backup;
mod bar;
mod boot_configs;
mod certificates;
mod client;
mod clock;
mod commands;
mod complete;
mod config;
mod consent;
mod contexts;
mod deployments;
mod doctor;
mod events;
mod explain;
mod facts;
mod failure;
mod files;
mod filters;
mod helpers;
mod holds;
mod images;
mod join_tokens;
mod leases;
mod logs;
mod machines;
mod man;
mod members;
mod output;
mod peers;
mod power;
mod providers;
mod reservations;
mod rollouts;
mod secret;
mod sessions;
mod setups;
mod span;
mod sse;
mod support;
mod timeline;
mod tokens;
mod trust;
mod upload;
mod users;
mod web;
mod webhooks;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Subcommand;

pub use self::aliases::resolve;
use self::{client::Client, consent::Person, failure::Failure};
use crate::{http::local, state::Timestamp};

/// What a person can ask the running controller.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Known machines: list, register, accept, command, forget
    Machines(Noun<machines::Verb>),
    /// Machines whose agents have a link: alive, unreachable, down, left
    Members(Noun<members::Verb>),
    /// Serf and Consul clusters whose members are shown, and whether they answer
    Providers(Noun<providers::Verb>),
    /// Tokens by which installed systems join: create, list, take back
    JoinTokens(Noun<join_tokens::Verb>),
    /// What machines can be told to boot: set, preview, activate
    BootConfigs(Noun<boot_configs::Verb>),
    /// Boot configs made due for machines, and how they went
    Activations(Noun<activations::Verb>),
    /// Disk images and their versions: push, pull, list, delete
    Images(Noun<images::Verb>),
    /// Write an image to a machine's disk and start it
    Deploy(deployments::Deploy),
    /// Save a machine's disk as a version of an image
    Capture(deployments::Capture),
    /// What is done to machines' disks: list, show, cancel, move, watch
    Deployments(Noun<deployments::Verb>),
    /// One order for many machines: list, show, change, pause, resume, cancel
    Rollouts(Noun<rollouts::Verb>),
    /// Ordered images that make one machine
    Setups(Noun<setups::Verb>),
    /// Say what a machine would boot now, and why
    Explain(explain::Args),
    /// What happened; `-f` follows it live
    Events(events::Args),
    /// Who did what, from where, and what machines were told to boot
    Audit(Noun<audit::Verb>),
    /// Uploaded kernels, initrds and other files
    Files(Noun<files::Verb>),
    /// Addresses fixed for machines (DHCP server mode)
    Reservations(Noun<reservations::Verb>),
    /// Addresses lent to machines (DHCP server mode)
    Leases(Noun<leases::Verb>),
    /// People: who may what on this controller
    Users(Noun<users::Verb>),
    /// What programs show in place of people: create, list, revoke
    Tokens(Noun<tokens::Verb>),
    /// Who is signed in with a password: list, sign out
    Sessions(Noun<sessions::Verb>),
    /// By what the controller proves who it is, and until when
    Certificates(Noun<certificates::Verb>),
    /// Other sites: invite, join, what they may, revoke
    Peers(Noun<peers::Verb>),
    /// Who is told what happens: webhooks and mail
    Webhooks(Noun<webhooks::Verb>),
    /// Controllers elsewhere, with tokens for them: add, use, list, remove
    #[command(alias = "context")]
    Contexts(Noun<contexts::Verb>),
    /// Look for what is wrong with this host, and say what cures it
    Doctor(Box<doctor::Args>),
    /// Write what others need to help with this controller to a new file, without secrets
    SupportBundle(Box<support::Args>),
    /// The settings of `serve`: check them, show them
    Config(Noun<config::Verb>),
    /// Write everything that the running controller knows to a new file
    Backup(backup::Backup),
    /// Put a backup in the place of the state folder; the controller must be stopped
    Restore(backup::Restore),
    /// Open the web app for yourself, on this host only
    Web(web::Args),
    /// The controller's clock, by which certificates are issued
    Clock(Noun<clock::Verb>),
    /// Another word for `list`, and for `show` when a name follows: get machines
    Get(aliases::Alias),
    /// Another word for `show`: describe machine NAME
    Describe(aliases::Alias),
    /// Print what a shell needs to complete the words of this program
    Completions(complete::Completions),
    /// What a shell's completion asks.
    #[command(hide = true)]
    Complete(complete::Complete),
    /// Print the manual, or write its pages into a folder
    Man(man::Args),
    /// What the exit codes mean, for scripts
    #[command(after_help = failure::EXIT_CODES)]
    ExitCodes,
}

/// The words behind a noun.
#[derive(Debug, clap::Args)]
pub struct Noun<V: Subcommand> {
    #[command(subcommand)]
    verb: V,
}

/// What commands work with.
struct Session<'a> {
    client: Client,
    /// Where data goes.
    out: &'a mut (dyn Write + Send),
    /// What "3m ago" is measured from.
    now: Timestamp,
    /// Who is asked, and gets hints.
    person: Person,
}

/// Which controller is meant.
#[derive(Debug, Clone, Default)]
pub struct Aim {
    /// The context that was named.
    pub context: Option<String>,
    /// The local socket that was named; a named context is stronger, one that is only in use is weaker.
    pub api_socket: Option<PathBuf>,
}

impl Aim {
    fn client(self) -> Result<Client, Failure> {
        let chosen = match (&self.context, &self.api_socket) {
            (None, Some(_)) => None,
            (context, _) => contexts::chosen(context.as_deref())?,
        };
        let socket = || self.api_socket.unwrap_or_else(local::find);
        Ok(chosen.unwrap_or_else(|| Client::new(socket())))
    }
}

/// Asks the controller and prints what it says.
#[must_use]
pub fn run(command: Command, aim: Aim) -> ExitCode {
    // A context that cannot be used can still be removed.
    let client = match command {
        Command::Contexts(_) => Ok(Client::new(local::find())),
        // They are about this host's files: never those of one controller with the words of another.
        Command::Backup(_)
        | Command::Restore(_)
        | Command::Doctor(_)
        | Command::Config(_)
        | Command::SupportBundle(_) => Ok(Client::new(aim.api_socket.unwrap_or_else(local::find))),
        // Words are completed also where the context in use cannot be.
        Command::Complete(_) => Ok(aim.client().unwrap_or_else(|_| Client::new(local::find()))),
        _ => aim.client(),
    };

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => {
            let person = Person::here();
            runtime.block_on(async { perform(command, client?, person, &mut io::stdout()).await })
        }
        Err(error) => Err(Failure::Local(format!("cannot start: {error}"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // `enforcer … | head` has read enough.
        Err(Failure::Output(e)) if e.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("enforcer: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// One command, its data written to `out`.
async fn perform(
    command: Command,
    client: impl Into<Client>,
    person: Person,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let mut session = Session {
        client: client.into(),
        out,
        now: Timestamp::now(),
        person,
    };
    match command {
        Command::Machines(noun) => machines::run(noun.verb, &mut session).await,
        Command::Members(noun) => members::run(noun.verb, &mut session).await,
        Command::Providers(noun) => providers::run(noun.verb, &mut session).await,
        Command::JoinTokens(noun) => join_tokens::run(noun.verb, &mut session).await,
        Command::BootConfigs(noun) => boot_configs::run(noun.verb, &mut session).await,
        Command::Activations(noun) => activations::run(noun.verb, &mut session).await,
        Command::Images(noun) => images::run(noun.verb, &mut session).await,
        Command::Deploy(args) => deployments::deploy(args, &mut session).await,
        Command::Capture(args) => deployments::capture(args, &mut session).await,
        Command::Deployments(noun) => deployments::run(noun.verb, &mut session).await,
        Command::Rollouts(noun) => rollouts::run(noun.verb, &mut session).await,
        Command::Setups(noun) => setups::run(noun.verb, &mut session).await,
        Command::Explain(args) => explain::run(args, &mut session).await,
        Command::Events(args) => events::run(args, &mut session).await,
        Command::Audit(noun) => audit::run(noun.verb, &mut session).await,
        Command::Files(noun) => files::run(noun.verb, &mut session).await,
        Command::Reservations(noun) => reservations::run(noun.verb, &mut session).await,
        Command::Leases(noun) => leases::run(noun.verb, &mut session).await,
        Command::Users(noun) => users::run(noun.verb, &mut session).await,
        Command::Tokens(noun) => tokens::run(noun.verb, &mut session).await,
        Command::Sessions(noun) => sessions::run(noun.verb, &mut session).await,
        Command::Certificates(noun) => certificates::run(noun.verb, &mut session).await,
        Command::Peers(noun) => peers::run(noun.verb, &mut session).await,
        Command::Webhooks(noun) => webhooks::run(noun.verb, &mut session).await,
        Command::Contexts(noun) => contexts::run(noun.verb, &mut session).await,
        Command::Doctor(args) => doctor::run(*args, &mut session).await,
        Command::SupportBundle(args) => support::run(*args, &mut session).await,
        Command::Config(noun) => config::run(noun.verb, &mut session),
        Command::Backup(args) => backup::backup(args, &session).await,
        Command::Restore(args) => backup::restore(args).await,
        Command::Web(args) => web::run(&args, &mut session).await,
        Command::Clock(noun) => clock::run(noun.verb, &mut session).await,
        Command::Get(alias) | Command::Describe(alias) => Err(alias.unknown()),
        Command::Completions(args) => complete::completions(&args, &mut session),
        Command::Complete(args) => complete::complete(args, &mut session).await,
        Command::Man(args) => man::run(&args, &mut session),
        Command::ExitCodes => session.text(&format!("{}\n", failure::EXIT_CODES)),
    }
}

#[cfg(test)]
mod tests;
