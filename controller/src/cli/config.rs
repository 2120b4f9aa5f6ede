//! `enforcer config check|show`: the settings of `enforcer serve`, without starting it.

use clap::Subcommand;

use super::{
    Session,
    failure::Failure,
    output::{Output, table},
};
use crate::config::{Config, Flags, settings};

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Read the settings as `serve` would, and tell every mistake at once
    #[command(
        after_help = "Without --config the package's file is read where it is there. The exit code is 1 when there is a mistake.\n\nExample:\n  enforcer config check --config /etc/enforcer/enforcer.toml"
    )]
    Check {
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// Show every setting as it holds
    #[command(
        after_help = "Files with passwords are named in the settings; what is in them is not shown.\n\nExamples:\n  enforcer config show\n  enforcer config show --origin --config /etc/enforcer/enforcer.toml"
    )]
    Show {
        /// And where it comes from: the default, a line of the file, a variable or a flag
        #[arg(long)]
        origin: bool,
        #[command(flatten)]
        flags: Box<Flags>,
        #[command(flatten)]
        output: Output,
    },
}

pub(super) fn run(verb: Verb, session: &mut Session<'_>) -> Result<(), Failure> {
    let wrong = |e: crate::config::ConfigError| Failure::Local(e.to_string());
    match verb {
        Verb::Check { flags } => {
            let flags = flags.or_packaged();
            Config::load(&flags).map_err(wrong)?;
            match &flags.config {
                Some(path) => eprintln!("{} can be served", path.display()),
                None => eprintln!("no file was named; the defaults can be served"),
            }
            Ok(())
        }
        Verb::Show {
            origin,
            flags,
            output,
        } => {
            let flags = flags.or_packaged().at(api_socket());
            let all = settings(&flags, &typed()).map_err(wrong)?;
            if session.printed(&output, &all)? {
                return Ok(());
            }
            let rows = all.into_iter().map(|s| {
                let from = if origin { s.origin } else { String::new() };
                [s.key, s.value, from]
            });
            session.text(&table(&rows.collect::<Vec<_>>()))
        }
    }
}

/// This process's command line, as far as it is text.
pub(super) fn typed() -> Vec<String> {
    let words = std::env::args_os();
    words.filter_map(|word| word.into_string().ok()).collect()
}

/// The socket that was named, by the flag of the whole program or by its variable.
pub(super) fn api_socket() -> Option<std::path::PathBuf> {
    let typed = typed();
    let mut words = typed.iter();
    let flag = words.find_map(|word| word.strip_prefix("--api-socket"));
    let value = match flag {
        Some("") => words.next().cloned(),
        Some(rest) => rest.strip_prefix('=').map(str::to_owned),
        None => std::env::var("ENFORCER_API_SOCKET").ok(),
    };
    value.map(Into::into)
}
