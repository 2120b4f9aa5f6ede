//! `enforcer`: controller daemon and command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use enforcer::{
    config::{Config, Flags, default_state},
    management_os::{self, ManagementOsCommand},
    serve::Controller,
};
use tokio::signal::unix::{SignalKind, signal};

/// Boots machines over the network and decides what they run.
#[derive(Parser)]
#[command(name = "enforcer", version, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller.
    Serve(Flags),
    /// Build, import and list the OS that machines boot to show their hardware.
    #[command(subcommand)]
    ManagementOs(ManagementOsCommand),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(flags) => serve(&flags),
        Command::ManagementOs(command) => {
            management_os::run(&command, &default_state(), &mut std::io::stdout())
                .map_err(anyhow::Error::from)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("enforcer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(flags: &Flags) -> anyhow::Result<()> {
    let config = Config::load(flags)?;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (mut term, mut int) = (
            signal(SignalKind::terminate())?,
            signal(SignalKind::interrupt())?,
        );
        let controller = Controller::start(&config)?;
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        controller.stop().await;
        Ok(())
    })
}
