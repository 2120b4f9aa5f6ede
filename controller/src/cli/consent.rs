//! What destroys is asked for twice: on a terminal a person types its name, a script says `--yes`.

use std::io::{self, BufRead, IsTerminal as _};

use super::{Session, failure::Failure, output::clean};

/// `--yes` and `--dry-run`, for all that destroys.
#[derive(Debug, clap::Args)]
pub struct Consent {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Who sits there.
pub(super) struct Person {
    /// Where they type; nobody does when a script runs this.
    types: Option<Box<dyn BufRead + Send + Sync>>,
    /// Whether they read what stderr gets.
    reads: bool,
}

impl Person {
    /// At this process's terminal, if it has one.
    pub(super) fn here() -> Self {
        let there = io::stdin().is_terminal() && io::stderr().is_terminal();
        let typed = || Box::new(io::BufReader::new(io::stdin())) as Box<dyn BufRead + Send + Sync>;
        Self {
            types: there.then(typed),
            reads: io::stderr().is_terminal(),
        }
    }

    /// Who will have typed this.
    #[cfg(test)]
    pub(super) fn typing(text: &'static str) -> Self {
        Self {
            types: Some(Box::new(text.as_bytes())),
            reads: false,
        }
    }

    /// A script.
    #[cfg(test)]
    pub(super) fn nobody() -> Self {
        Self {
            types: None,
            reads: false,
        }
    }
}

impl Session<'_> {
    /// Whether `name` shall be destroyed; `loss` says what that takes along. A dry run says so and is a no.
    pub(super) fn agreed(
        &mut self,
        consent: &Consent,
        name: &str,
        loss: &str,
    ) -> Result<bool, Failure> {
        let loss = clean(loss);
        if consent.dry_run {
            eprintln!("dry run, nothing was done; it would be: {loss}");
            return Ok(false);
        }
        if consent.yes {
            return Ok(true);
        }
        let Some(lines) = &mut self.person.types else {
            let text =
                format!("{loss}: nobody is here to confirm that; give --yes, or --dry-run to look");
            return Err(Failure::Usage(text));
        };
        eprint!("{loss}; type {} to go on: ", clean(name));
        let mut typed = String::new();
        lines.read_line(&mut typed)?;
        if typed.trim() == name {
            return Ok(true);
        }
        let text = "that is not its name; nothing was done";
        Err(Failure::Local(text.to_owned()))
    }

    /// A command that is often the next one; only for people.
    pub(super) fn hint(&self, command: &str) {
        if self.person.reads {
            eprintln!("next: {command}");
        }
    }
}
