//! `--help` teaches: every command and every argument says what it is for.

use clap::{Command, CommandFactory as _};

use crate::arguments::Arguments;

/// Commands that change or destroy something, or take many options: their help shows one to copy.
const SHOWN: &[&str] = &[
    "backup",
    "boot-configs activate",
    "boot-configs set",
    "capture",
    "certificates list",
    "completions",
    "contexts add",
    "deploy",
    "doctor",
    "events",
    "explain",
    "firmware add",
    "images pull",
    "images push",
    "join-tokens create",
    "machines accept",
    "machines delete",
    "machines erase",
    "machines list",
    "machines register",
    "machines set",
    "man",
    "management-os build",
    "peers allow",
    "restore",
    "setups set",
    "support-bundle",
    "tokens create",
    "users password",
    "webhooks create",
];

/// Every command that people are told of, with its path.
fn walk<'a>(command: &'a Command, path: &str, all: &mut Vec<(String, &'a Command)>) {
    for inner in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        if inner.get_name() == "help" {
            continue;
        }
        let path = format!("{path} {}", inner.get_name());
        walk(inner, &path, all);
        all.push((path.trim().to_owned(), inner));
    }
}

#[test]
fn every_command_and_argument_says_what_it_is_for() {
    let mut program = Arguments::command();
    program.build();
    let mut all = Vec::new();
    walk(&program, "", &mut all);
    assert!(all.len() > 130, "{} commands", all.len());
    let mut wrong = Vec::new();
    for (path, command) in &all {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        if about.split_whitespace().count() < 2 {
            wrong.push(format!("{path}: {about:?}"));
        }
        for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            if help.split_whitespace().count() < 2 {
                wrong.push(format!("{path} {}: {help:?}", arg.get_id()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_with_more_than_a_name_show_an_example() {
    let mut program = Arguments::command();
    program.build();
    let mut all = Vec::new();
    walk(&program, "", &mut all);
    for shown in SHOWN {
        let (_, command) = all
            .iter()
            .find(|(path, _)| path == shown)
            .unwrap_or_else(|| panic!("{shown}"));
        let after = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let typed = format!("enforcer {shown}");
        assert!(after.contains(&typed), "{shown}: {after}");
    }
}
