//! Where in the command line a word stands, and what may stand there: pure.

use clap::{Arg, ArgAction, Command};

use super::{
    Offer,
    live::{self, Source},
};
use crate::cli::Aim;

/// What may stand in a place.
pub(super) enum Wanted {
    /// One of these.
    These(Vec<Offer>),
    /// A name that the controller knows.
    Live(Source),
    /// Nobody can say: a path, a number, a new name.
    Nothing,
}

/// A place in the command line.
pub(super) struct Place<'a> {
    program: &'a Command,
    command: &'a Command,
    path: Vec<&'a str>,
    /// Words that were no options, behind the last command.
    positionals: usize,
    /// The option whose value comes next.
    open: Option<&'a Arg>,
    /// `--` stood there.
    plain: bool,
    used: Vec<&'a str>,
    aim: Aim,
    last: &'a str,
}

impl<'a> Place<'a> {
    /// The place of the last of these words, which follow the program's name. `program` is built.
    pub(super) fn of(program: &'a Command, words: &'a [String]) -> Self {
        let (last, before) = words
            .split_last()
            .map_or(("", &[][..]), |(l, b)| (l.as_str(), b));
        let mut place = Self {
            program,
            command: program,
            path: Vec::new(),
            positionals: 0,
            open: None,
            plain: false,
            used: Vec::new(),
            aim: Aim::default(),
            last,
        };
        before.iter().for_each(|word| place.pass(word));
        place
    }

    fn pass(&mut self, word: &'a str) {
        if let Some(arg) = self.open.take() {
            return self.given(arg, word);
        }
        if self.plain {
            self.positionals += 1;
        } else if word == "--" {
            self.plain = true;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long
                .split_once('=')
                .map_or((long, None), |(n, v)| (n, Some(v)));
            let named = |arg: &&Arg| arg.get_long() == Some(name);
            self.option(self.command.get_arguments().find(named), value);
        } else if let Some(short) = word.strip_prefix('-').filter(|s| !s.is_empty()) {
            self.shorts(short);
        } else if let Some(inner) = self.inner(word) {
            self.command = inner;
            self.path.push(inner.get_name());
            self.positionals = 0;
        } else {
            self.positionals += 1;
        }
    }

    /// `-w`, `-ojson`, `-wo json`.
    fn shorts(&mut self, letters: &'a str) {
        for (at, letter) in letters.char_indices() {
            let arg = self
                .command
                .get_arguments()
                .find(|arg| arg.get_short() == Some(letter));
            let rest = &letters[at + letter.len_utf8()..];
            let value = Some(rest).filter(|rest| !rest.is_empty());
            if arg.is_some_and(|arg| arg.get_action().takes_values()) {
                return self.option(arg, value);
            }
            self.option(arg, None);
        }
    }

    fn option(&mut self, arg: Option<&'a Arg>, value: Option<&'a str>) {
        let Some(arg) = arg else { return };
        self.used.push(arg.get_id().as_str());
        match value {
            Some(value) => self.given(arg, value),
            None if arg.get_action().takes_values() => self.open = Some(arg),
            None => {}
        }
    }

    /// Which controller is meant is said by options, too.
    fn given(&mut self, arg: &Arg, value: &str) {
        match arg.get_id().as_str() {
            "context" => self.aim.context = Some(value.to_owned()),
            "api_socket" => self.aim.api_socket = Some(value.into()),
            _ => {}
        }
    }

    /// The command of this name below this one, where one may stand.
    fn inner(&self, word: &str) -> Option<&'a Command> {
        let named = |c: &&Command| c.get_name() == word || c.get_all_aliases().any(|a| a == word);
        self.command
            .get_subcommands()
            .find(named)
            .filter(|_| self.positionals == 0)
    }

    /// What may stand there.
    pub(super) fn wanted(&self) -> Wanted {
        if let Some(arg) = self.valued() {
            return self.values(arg);
        }
        if !self.plain && self.last.starts_with('-') {
            return Wanted::These(self.options());
        }
        let commands = self.commands();
        if !commands.is_empty() {
            return Wanted::These(commands);
        }
        let positionals: Vec<&Arg> = self.command.get_positionals().collect();
        let many = |arg: &&&Arg| arg.get_num_args().is_some_and(|n| n.max_values() > 1);
        // Of several words for one name the last name takes all that follow.
        let arg = positionals.get(self.positionals);
        match arg.or_else(|| positionals.iter().rfind(many)) {
            Some(arg) => self.values(arg),
            None => Wanted::Nothing,
        }
    }

    /// The option whose value the last word is.
    fn valued(&self) -> Option<&'a Arg> {
        let by_name = || {
            let (name, _) = self.last.strip_prefix("--")?.split_once('=')?;
            self.command
                .get_arguments()
                .find(|arg| arg.get_long() == Some(name))
        };
        self.open.or_else(|| by_name().filter(|_| !self.plain))
    }

    /// What of the last word stands before what is completed: `--output=`.
    pub(super) fn before(&self) -> &'a str {
        let assigned = self.open.is_none() && !self.plain && self.last.starts_with("--");
        match self.last.find('=').filter(|_| assigned) {
            Some(at) => &self.last[..=at],
            None => "",
        }
    }

    /// What is completed, as far as it was typed.
    pub(super) fn typed(&self) -> &'a str {
        &self.last[self.before().len()..]
    }

    /// Which controller is meant.
    pub(super) fn aim(&self) -> &Aim {
        &self.aim
    }

    fn values(&self, arg: &Arg) -> Wanted {
        let possible = arg.get_possible_values();
        if !possible.is_empty() {
            let shown = possible.iter().filter(|value| !value.is_hide_set());
            let offer = |value: &clap::builder::PossibleValue| Offer {
                value: value.get_name().to_owned(),
                help: value
                    .get_help()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            };
            return Wanted::These(shown.map(offer).collect());
        }
        match live::source(&self.path, arg.get_id().as_str(), self.typed()) {
            Some(source) => Wanted::Live(source),
            None => Wanted::Nothing,
        }
    }

    fn options(&self) -> Vec<Offer> {
        let again = |arg: &Arg| {
            matches!(arg.get_action(), ArgAction::Append | ArgAction::Count)
                || !self.used.contains(&arg.get_id().as_str())
        };
        let arguments = self.command.get_arguments();
        let shown =
            arguments.filter(|arg| !arg.is_hide_set() && !arg.is_positional() && again(arg));
        let offer = |arg: &Arg| {
            Some(Offer {
                value: format!("--{}", arg.get_long()?),
                help: arg.get_help().map(ToString::to_string).unwrap_or_default(),
            })
        };
        shown.filter_map(offer).collect()
    }

    fn commands(&self) -> Vec<Offer> {
        if self.positionals > 0 || self.plain {
            return Vec::new();
        }
        let mut all: Vec<&Command> = self.command.get_subcommands().collect();
        // After `get` and `describe` come nouns.
        if matches!(self.path[..], ["get" | "describe"]) {
            let listed = |c: &&Command| c.find_subcommand("list").is_some();
            all = self.program.get_subcommands().filter(listed).collect();
        }
        let offer = |command: &Command| Offer {
            value: command.get_name().to_owned(),
            help: command
                .get_about()
                .map(ToString::to_string)
                .unwrap_or_default(),
        };
        let shown = all
            .into_iter()
            .filter(|c| !c.is_hide_set() && c.get_name() != "help");
        shown.map(offer).collect()
    }
}
