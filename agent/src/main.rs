//! `enforcer-agent`: prints the machine's facts, joins a site, stays its member, or runs the management OS.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;
use enforcer_agent::cli::{Cli, Command, FactsArgs};
use enforcer_agent::daemon::{self, DaemonError};
use enforcer_agent::{facts, management, randomness};

/// `EX_CONFIG` of sysexits(3): a person has to do something first; the systemd unit does not try again.
const NEEDS_A_PERSON: u8 = 78;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Facts(args) => print_facts(&args).map_err(Into::into),
        Command::Management => management::run().map_err(Into::into),
        Command::Join(args) => block_on(daemon::join(&args)),
        Command::Daemon(args) => block_on(daemon::run(&args)),
        Command::Leave(args) => block_on(daemon::leave(&args.state)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("enforcer-agent: {}", story(&error));
            if error.is_final() {
                ExitCode::from(NEEDS_A_PERSON)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// One thread: the agent waits nearly always, and every further thread costs memory on every machine.
fn block_on(work: impl Future<Output = Result<(), DaemonError>>) -> Result<(), DaemonError> {
    randomness::wait();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}

/// An error with its causes.
fn story(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn print_facts(args: &FactsArgs) -> std::io::Result<()> {
    let facts = facts::gather(Path::new("/"));
    if args.digest {
        println!("{}", facts.digest());
        return Ok(());
    }
    println!("{}", serde_json::to_string_pretty(&facts)?);
    Ok(())
}
