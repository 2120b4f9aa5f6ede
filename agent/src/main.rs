//! `enforcer-agent`: prints the machine's facts, or runs the management OS.

use std::path::Path;
use std::process::ExitCode;

use enforcer_agent::{facts, management};

const USAGE: &str = "enforcer-agent: the Enforcer agent

usage: enforcer-agent facts        print what this machine is made of, as JSON (serial numbers need root)
       enforcer-agent management   run the management OS; only its /init starts this
       enforcer-agent --version";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match words
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["facts"] => print_facts(),
        ["management"] => management::run(),
        ["--version"] => {
            println!("enforcer-agent {}", env!("CARGO_PKG_VERSION"));
            Ok(())
        }
        ["--help" | "-h" | "help"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    outcome.map_or_else(
        |error| {
            eprintln!("enforcer-agent: {error}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn print_facts() -> std::io::Result<()> {
    let json = serde_json::to_string_pretty(&facts::gather(Path::new("/")))?;
    println!("{json}");
    Ok(())
}
