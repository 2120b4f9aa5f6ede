//! `enforcer get machines` and `enforcer describe machine web1`, for hands that are used to it: other words for `list` and `show`.

use clap::{Command, CommandFactory as _};

use super::{failure::Failure, output::clean};
use crate::arguments::Arguments;

/// The words after `get` or `describe`.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Alias {
    /// A noun, in the plural or the singular; then as for its `list` and `show`
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "NOUN"
    )]
    pub(super) words: Vec<String>,
}

/// The same command line without aliases; one that has none, or a noun that is not there, stays as it is.
#[must_use]
pub fn resolve(mut words: Vec<String>, program: &Command) -> Vec<String> {
    let Some(at) = verb(&words) else {
        return words;
    };
    let describe = match words[at].as_str() {
        "get" => false,
        "describe" => true,
        _ => return words,
    };
    let Some(noun) = words.get(at + 1).and_then(|word| noun(word, program)) else {
        return words;
    };
    // `get machines web1` shows the one.
    let named = words.get(at + 2).is_some_and(|word| !word.starts_with('-'));
    let verb = if describe || named { "show" } else { "list" };
    let verb = noun
        .find_subcommand(verb)
        .map(|verb| verb.get_name().to_owned());
    let name = noun.get_name().to_owned();
    words.splice(at..at + 2, std::iter::once(name).chain(verb));
    words
}

impl Alias {
    /// Why an alias is still one: its noun is none.
    pub(super) fn unknown(&self) -> Failure {
        let program = Arguments::command();
        let all = program.get_subcommands();
        let nouns: Vec<&str> = (all.filter(|c| c.find_subcommand("list").is_some()))
            .map(Command::get_name)
            .collect();
        let word = self.words.first().map_or("", String::as_str);
        Failure::Usage(format!(
            "'{}' is nothing to list or show; there are: {}",
            clean(word),
            nouns.join(", ")
        ))
    }
}

/// Where the first word stands that is no option of the program itself; each of those takes a value.
fn verb(words: &[String]) -> Option<usize> {
    let mut at = 1;
    loop {
        match words.get(at)? {
            word if !word.starts_with('-') => return Some(at),
            word if word.starts_with("--") && !word.contains('=') => at += 2,
            _ => at += 1,
        }
    }
}

fn noun<'a>(word: &str, program: &'a Command) -> Option<&'a Command> {
    let plural = format!("{word}s");
    let fits = |name: &str| name == word || name == plural;
    let mut all = program.get_subcommands();
    all.find(|c| {
        fits(c.get_name()) && (c.find_subcommand("list").is_some() || c.get_name() == "events")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn get_lists_or_shows_and_describe_shows() {
        for (typed, meant) in [
            ("get machines", "machines list"),
            (
                "get machines --state seen -o yaml",
                "machines list --state seen -o yaml",
            ),
            ("get machine web1", "machines show web1"),
            (
                "describe machine web1 -o json",
                "machines show web1 -o json",
            ),
            ("describe boot-config debian", "boot-configs show debian"),
            ("get leases", "leases list"),
            ("get events -f", "events -f"),
            ("--api-socket /s get images", "--api-socket /s images list"),
            ("--api-socket=/s get images", "--api-socket=/s images list"),
            // Not theirs.
            ("get nothing", "get nothing"),
            ("get", "get"),
            ("machines show get", "machines show get"),
            ("get deploy", "get deploy"),
            ("--help", "--help"),
        ] {
            let words = |line: &str| -> Vec<String> {
                let words = line.split(' ').map(str::to_owned);
                std::iter::once("enforcer".to_owned())
                    .chain(words)
                    .collect()
            };
            let found = resolve(words(typed), &Arguments::command());
            assert_eq!(found, words(meant), "{typed}");
            let taken = Arguments::try_parse_from(found).map_err(|e| e.kind());
            if !["get", "--help"].contains(&typed) {
                taken.unwrap_or_else(|e| panic!("{typed}: {e:?}"));
            }
        }
    }
}
