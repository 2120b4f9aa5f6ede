//! `enforcer`: controller daemon and command line.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use enforcer::{
    cli,
    config::{Config, Flags, default_state},
    firmware::{self, FirmwareCommand},
    http::local,
    management_os::{self, ManagementOsCommand},
    serve::Controller,
};
use tokio::signal::unix::{SignalKind, signal};

/// Boots machines over the network and decides what they run.
#[derive(Parser)]
#[command(name = "enforcer", version, subcommand_required = true)]
struct Cli {
    /// Local socket of the controller's API.
    #[arg(long, env = "ENFORCER_API_SOCKET", value_name = "PATH", global = true)]
    api_socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the controller.
    Serve(Flags),
    #[command(flatten)]
    Ask(cli::Command),
    /// Build, import and list the OS that machines boot to show their hardware.
    ManagementOs {
        #[command(flatten)]
        place: Place,
        #[command(subcommand)]
        command: ManagementOsCommand,
    },
    /// Show and change the boot programs that machines load first.
    Firmware {
        #[command(flatten)]
        place: Place,
        #[command(subcommand)]
        command: FirmwareCommand,
    },
}

/// Where commands that work on files find them.
#[derive(clap::Args)]
struct Place {
    /// State folder of the controller on this host.
    #[arg(long, env = "ENFORCER_STATE", value_name = "FOLDER", global = true, default_value_os_t = default_state())]
    state: PathBuf,
}

fn main() -> ExitCode {
    let Cli {
        command,
        api_socket,
    } = Cli::parse();
    let done = match command {
        Command::Serve(flags) => serve(&Flags {
            api_socket,
            ..flags
        }),
        Command::Ask(command) => {
            return cli::run(command, api_socket.unwrap_or_else(local::find));
        }
        Command::ManagementOs { place, command } => {
            management_os::run(&command, &place.state, &mut std::io::stdout())
                .map_err(anyhow::Error::from)
        }
        Command::Firmware { place, command } => {
            firmware::run(&command, &place.state, &mut std::io::stdout())
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
