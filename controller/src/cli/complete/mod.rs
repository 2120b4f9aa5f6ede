//! `enforcer completions SHELL`, and what its scripts ask: `enforcer complete`. The words come from the same tree that reads the
//! command line, so nothing is offered that it does not take; names come from the controller, quickly or not at all.

mod line;
mod live;
mod place;

use super::{Session, aliases::resolve, failure::Failure, output::clean};
use crate::arguments::Arguments;
use clap::CommandFactory as _;
use place::{Place, Wanted};

/// Lines that a shell is given: more than anybody reads.
const MOST: usize = 1_000;

/// Shells that can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Shell {
    /// GNU bash, from 4.4 on.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

impl Shell {
    /// What it reads.
    fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("enforcer.bash"),
            Self::Zsh => include_str!("enforcer.zsh"),
            Self::Fish => include_str!("enforcer.fish"),
        }
    }
}

/// Arguments of `enforcer completions`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The packages install them; this is for other ways of installing. Names of machines, boot configs, images and the like are asked\nof the controller while you type, for half a second at most.\n\nExamples:\n  enforcer completions bash > ~/.local/share/bash-completion/completions/enforcer\n  enforcer completions zsh > ~/.zfunc/_enforcer      # ~/.zfunc has to be in fpath\n  enforcer completions fish > ~/.config/fish/completions/enforcer.fish"
)]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

/// Arguments of `enforcer complete`, which the scripts call.
#[derive(Debug, clap::Args)]
pub struct Complete {
    /// The line up to the cursor, as it was typed
    #[arg(long, allow_hyphen_values = true)]
    line: Option<String>,
    /// Letters by which the shell cuts words, beside blanks
    #[arg(long, allow_hyphen_values = true, default_value = "")]
    breaks: String,
    /// In place of the line: the words behind the program's name, the last one as far as it was typed
    #[arg(last = true)]
    words: Vec<String>,
}

/// What may stand there, and what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    value: String,
    help: String,
}

pub(super) fn completions(args: &Completions, session: &mut Session<'_>) -> Result<(), Failure> {
    session.text(args.shell.script())
}

pub(super) async fn complete(args: Complete, session: &mut Session<'_>) -> Result<(), Failure> {
    let words = match &args.line {
        Some(line) => line::words(line).into_iter().skip(1).collect(),
        None => args.words,
    };
    let mut program = Arguments::command();
    program.build();
    let named = std::iter::once("enforcer".to_owned()).chain(words);
    let words = resolve(named.collect(), &program);
    let place = Place::of(&program, &words[1..]);
    let mut offers = match place.wanted() {
        Wanted::These(offers) => offers,
        Wanted::Live(source) => live::names(source, place.aim(), session).await,
        Wanted::Nothing => Vec::new(),
    };
    let typed = place.typed();
    offers.retain(|offer| offer.value.starts_with(typed));
    offers.truncate(MOST);
    let before = place.before();
    let cut = match args.line {
        Some(_) => line::cut(&format!("{before}{typed}"), &args.breaks),
        None => 0,
    };
    let lines = offers.iter().map(|offer| {
        let whole = format!("{before}{}", offer.value);
        let rest = whole.get(cut..).unwrap_or_default();
        format!("{}\t{}\n", clean(rest), clean(&offer.help))
    });
    session.text(&lines.collect::<String>())
}

#[cfg(test)]
mod tests;
