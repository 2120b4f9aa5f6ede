//! The command line as a whole: the daemon, what asks it, and what works on its files.

use std::{ffi::OsString, path::PathBuf};

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{
    cli,
    config::{Flags, default_state},
    firmware::FirmwareCommand,
    management_os::ManagementOsCommand,
};

/// Boots machines over the network and decides what they run.
#[derive(Debug, Parser)]
#[command(name = "enforcer", version, subcommand_required = true)]
pub struct Arguments {
    /// Local socket of the controller's API.
    #[arg(long, env = "ENFORCER_API_SOCKET", value_name = "PATH", global = true)]
    pub api_socket: Option<PathBuf>,
    /// Controller to ask, of those of `enforcer contexts`; `local` is this host's.
    #[arg(long, env = "ENFORCER_CONTEXT", value_name = "NAME", global = true)]
    pub context: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// What this process was called with. What is wrong with it is said, and ends the process.
    #[must_use]
    pub fn read() -> Self {
        let words: Vec<OsString> = std::env::args_os().collect();
        let text: Option<Vec<String>> =
            words.iter().map(|w| Some(w.to_str()?.to_owned())).collect();
        match text {
            Some(text) => Self::parse_from(cli::resolve(text, &Self::command())),
            // A path may be anything; such a line has no aliases.
            None => Self::parse_from(words),
        }
    }
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller.
    Serve(Flags),
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it")]
    Ask(cli::Command),
    /// Build, import and list the OS that machines boot to show their hardware.
    ManagementOs {
        /// On which files.
        #[command(flatten)]
        place: Place,
        /// What.
        #[command(subcommand)]
        command: ManagementOsCommand,
    },
    /// Show and change the boot programs that machines load first.
    Firmware {
        /// On which files.
        #[command(flatten)]
        place: Place,
        /// What.
        #[command(subcommand)]
        command: FirmwareCommand,
    },
}

/// Where commands that work on files find them.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// State folder of the controller on this host.
    #[arg(long, env = "ENFORCER_STATE", value_name = "FOLDER", global = true, default_value_os_t = default_state())]
    pub state: PathBuf,
}
