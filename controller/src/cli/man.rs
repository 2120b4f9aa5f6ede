//! `enforcer man`: the manual, a page for the program and one for each command, in the language of man(7). It is made of what
//! `--help` shows.

use std::{fmt::Write as _, fs, path::PathBuf};

use clap::{Arg, Command, CommandFactory as _};

use super::{
    Session,
    failure::{EXIT_CODES, Failure},
};
use crate::arguments::Arguments;

/// Arguments of `enforcer man`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The packages install the pages; this is for other ways of installing.\n\nExamples:\n  enforcer man > enforcer.1 && man -l enforcer.1\n  enforcer man ~/.local/share/man/man1 && man enforcer-machines"
)]
pub struct Args {
    /// A folder for all pages, such as /usr/local/share/man/man1; without it the program's own page is printed
    folder: Option<PathBuf>,
}

pub(super) fn run(args: &Args, session: &mut Session<'_>) -> Result<(), Failure> {
    let pages = pages();
    let Some(folder) = &args.folder else {
        let first = pages.first().map_or("", |(_, page)| page);
        return session.text(first);
    };
    let cannot = |e: std::io::Error| Failure::Local(format!("{}: {e}", folder.display()));
    fs::create_dir_all(folder).map_err(cannot)?;
    for (name, page) in &pages {
        fs::write(folder.join(format!("{name}.1")), page).map_err(cannot)?;
    }
    eprintln!("{} pages are in {}", pages.len(), folder.display());
    Ok(())
}

/// Every page with its name, the program's own first.
pub(super) fn pages() -> Vec<(String, String)> {
    let mut program = Arguments::command();
    program.build();
    let mut pages = vec![("enforcer".to_owned(), main_page(&program))];
    pages.extend(shown(&program).map(|command| {
        let name = format!("enforcer-{}", command.get_name());
        let page = command_page(&name, command);
        (name, page)
    }));
    pages
}

/// The commands below one that people are told of.
fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    let own = |c: &&Command| !c.is_hide_set() && c.get_name() != "help";
    command.get_subcommands().filter(own)
}

fn main_page(program: &Command) -> String {
    let mut page = head("enforcer", program);
    page += ".SH SYNOPSIS\n";
    synopsis(&mut page, program);
    page += ".SH COMMANDS\nEach has a page of its own: enforcer\\-\\fICOMMAND\\fR(1).\n";
    for command in shown(program) {
        let _ = writeln!(
            page,
            ".TP\n\\fB{}\\fR\n{}",
            plain(command.get_name()),
            plain(&about(command))
        );
    }
    page += ".SH OPTIONS\n";
    options(&mut page, program);
    page += ".SH EXIT STATUS\n";
    for line in EXIT_CODES.lines() {
        let (code, meaning) = line.split_once("  ").unwrap_or((line, ""));
        let _ = writeln!(page, ".TP\n{code}\n{}", plain(meaning));
    }
    page += ".SH ENVIRONMENT\n.TP\n\\fBNO_COLOR\\fR\nWhen it is set and not empty, nothing is coloured.\n.P\nOptions that name a variable take their value from it when they are not given.\n";
    page += ".SH FILES\n.TP\n/etc/enforcer/enforcer.toml\nThe settings of the packaged controller.\n.TP\n/run/enforcer/api.sock\nThe socket that commands use.\n.TP\n/var/lib/enforcer\nThe state folder.\n";
    page
}

fn command_page(name: &str, command: &Command) -> String {
    let mut page = head(name, command);
    page += ".SH SYNOPSIS\n";
    let verbs: Vec<&Command> = shown(command).collect();
    if verbs.is_empty() {
        synopsis(&mut page, command);
        page += ".SH DESCRIPTION\n";
        body(&mut page, command, ".SH OPTIONS\n", ".SH NOTES\n");
    } else {
        let each = |verb: &&Command| {
            let mut text = String::new();
            synopsis(&mut text, verb);
            text
        };
        page += &verbs.iter().map(each).collect::<Vec<_>>().join(".br\n");
        let _ = writeln!(page, ".SH DESCRIPTION\n{}", plain(&long_about(command)));
        page += ".SH COMMANDS\n";
        for verb in verbs {
            let _ = writeln!(page, ".SS {}", plain(verb.get_name()));
            body(&mut page, verb, "", "");
        }
    }
    page += ".SH SEE ALSO\n\\fBenforcer\\fR(1)\n";
    page
}

/// What a command does, its arguments, and what stands below its help.
fn body(page: &mut String, command: &Command, options_head: &str, notes_head: &str) {
    let _ = writeln!(page, "{}", plain(&long_about(command)));
    let mut arguments = String::new();
    options(&mut arguments, command);
    if !arguments.is_empty() {
        *page += options_head;
        *page += &arguments;
    }
    let after = command.get_after_help().map(ToString::to_string);
    if let Some(after) = after {
        *page += notes_head;
        // As it was written: examples are lines.
        let _ = writeln!(page, ".P\n.nf\n{}\n.fi", plain(&after));
    }
}

fn head(name: &str, command: &Command) -> String {
    // What a terminal without Unicode shows for the one letter of ours that has no form there.
    let fallback = ".fchar \\[u2026] ...";
    format!(
        ".\\\" Made by `enforcer man`.\n{fallback}\n.TH {} 1 \"\" \"enforcer {}\" \"Enforcer\"\n.SH NAME\n{} \\- {}\n",
        plain(&name.to_uppercase()),
        env!("CARGO_PKG_VERSION"),
        plain(name),
        plain(about(command).trim_end_matches('.')),
    )
}

fn synopsis(page: &mut String, command: &Command) {
    let name = command.get_bin_name().unwrap_or("enforcer");
    let _ = write!(page, "\\fB{}\\fR", plain(name));
    if command
        .get_arguments()
        .any(|arg| visible(arg) && !arg.is_positional())
    {
        *page += " [\\fIOPTIONS\\fR]";
    }
    for arg in command.get_positionals().filter(|arg| visible(arg)) {
        let name = plain(&value_name(arg));
        let many = if arg.get_num_args().is_some_and(|n| n.max_values() > 1) {
            "..."
        } else {
            ""
        };
        let _ = match arg.is_required_set() {
            true => write!(page, " \\fI{name}\\fR{many}"),
            false => write!(page, " [\\fI{name}\\fR]{many}"),
        };
    }
    if shown(command).next().is_some() {
        *page += " \\fICOMMAND\\fR";
    }
    page.push('\n');
}

fn visible(arg: &Arg) -> bool {
    !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

fn options(page: &mut String, command: &Command) {
    // What every command has is on the program's own page.
    let own = command.get_name() == "enforcer";
    let arguments = command.get_arguments();
    for arg in arguments.filter(|arg| visible(arg) && (own || !arg.is_global_set())) {
        let _ = writeln!(page, ".TP\n{}\n{}", signature(arg), plain(&help(arg)));
    }
}

/// `-o, --output OUTPUT`, or what a positional is called.
fn signature(arg: &Arg) -> String {
    if arg.is_positional() {
        return format!("\\fI{}\\fR", plain(&value_name(arg)));
    }
    let short = arg.get_short().map(|letter| format!("\\fB\\-{letter}\\fR"));
    let long = arg
        .get_long()
        .map(|name| format!("\\fB\\-\\-{}\\fR", plain(name)));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let value = match arg.get_action().takes_values() {
        true => format!(" \\fI{}\\fR", plain(&value_name(arg))),
        false => String::new(),
    };
    names.join(", ") + &value
}

fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    match names.first() {
        Some(name) => name.to_string(),
        None => arg.get_id().as_str().to_uppercase(),
    }
}

/// What an argument means, what it may be, and where it comes from when it is not given.
fn help(arg: &Arg) -> String {
    let told = arg.get_long_help().or_else(|| arg.get_help());
    let mut text = told.map(ToString::to_string).unwrap_or_default();
    if !arg.get_action().takes_values() {
        return text;
    }
    let values: Vec<_> = arg.get_possible_values();
    let words: Vec<&str> = (values.iter().filter(|v| !v.is_hide_set()))
        .map(|v| v.get_name())
        .collect();
    if !words.is_empty() {
        let _ = write!(text, " [possible values: {}]", words.join(", "));
    }
    let defaults: Vec<String> = (arg.get_default_values().iter())
        .map(|v| v.to_string_lossy().into_owned())
        .collect();
    // The state folder's depends on who makes the page.
    if !defaults.is_empty() && arg.get_id() != "state" {
        let _ = write!(text, " [default: {}]", defaults.join(", "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(text, " [env: {}]", variable.to_string_lossy());
    }
    text
}

fn about(command: &Command) -> String {
    command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn long_about(command: &Command) -> String {
    let long = command.get_long_about().or_else(|| command.get_about());
    long.map(ToString::to_string).unwrap_or_default()
}

/// A text that roff prints as it is: backslashes, and letters that it would otherwise make nicer than a shell takes them.
fn plain(text: &str) -> String {
    let mut told = String::new();
    for letter in text.chars() {
        match letter {
            '\\' => told.push_str("\\e"),
            '-' => told.push_str("\\-"),
            '\'' => told.push_str("\\(aq"),
            '`' => told.push_str("\\(ga"),
            '^' => told.push_str("\\(ha"),
            '~' => told.push_str("\\(ti"),
            // At the start of a line it would begin a command.
            '.' if told.is_empty() || told.ends_with('\n') => told.push_str("\\&."),
            other => told.push(other),
        }
    }
    told
}
