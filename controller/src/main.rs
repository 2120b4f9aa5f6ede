//! `enforcer`: controller daemon and command line.

use std::{io::stdout, process::ExitCode};

use enforcer::{
    arguments::{Arguments, Command},
    cli, firmware, management_os, serve,
};

fn main() -> ExitCode {
    let Arguments {
        command,
        api_socket,
        context,
    } = Arguments::read();
    let done = match command {
        Command::Ask(command) => {
            let aim = cli::Aim {
                context,
                api_socket,
            };
            return cli::run(command, aim);
        }
        Command::Serve(flags) => serve::run(&flags.at(api_socket)),
        Command::ManagementOs { place, command } => {
            management_os::run(&command, &place.state, &mut stdout()).map_err(Into::into)
        }
        Command::Firmware { place, command } => {
            firmware::run(&command, &place.state, &mut stdout())
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
