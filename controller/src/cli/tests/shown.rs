//! What the README, the docs and the help show to be typed is what the program takes.

use std::path::Path;

use clap::{CommandFactory as _, Parser as _};

use crate::arguments::Arguments;

/// The words of a shell's line, as far as our examples go: quotes, and a comment or another program at the end.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for letter in line.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    let own = |word: &String| !matches!(word.as_str(), "#" | "|" | "&&" | ">");
    words.into_iter().take_while(own).collect()
}

/// Why the program does not take this line.
fn wrong(line: &str) -> Option<String> {
    let refused = Arguments::try_parse_from(words(line)).err()?;
    Some(format!("{line}\n{refused}"))
}

/// The lines of indented blocks that call the program.
fn typed(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("    "));
    let calls = lines.flat_map(|line| line.split(" && ").map(str::trim));
    let calls = calls.map(|call| call.strip_prefix("sudo ").unwrap_or(call));
    let ours = calls.filter(|call| {
        let verb = call.strip_prefix("enforcer ");
        verb.is_some_and(|v| v.starts_with(|c: char| c.is_ascii_lowercase()))
    });
    ours.map(str::to_owned).collect()
}

#[test]
fn every_command_in_the_docs_is_one_that_the_program_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap();
    let mut files: Vec<_> = docs.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "md"));
    // Its indented blocks are pictures.
    files.retain(|path| !path.ends_with("ARCHITECTURE.md"));
    files.push(root.join("README.md"));
    let texts = files.iter().map(|f| std::fs::read_to_string(f).unwrap());
    let lines: Vec<_> = texts.flat_map(|text| typed(&text)).collect();
    assert!(lines.len() > 50, "{lines:#?}");
    let wrong: Vec<_> = lines.iter().filter_map(|line| wrong(line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn examples(command: &clap::Command, all: &mut Vec<String>) {
    let help = command.get_after_help().map(ToString::to_string);
    let shown = help.unwrap_or_default();
    let (_, shown) = shown.split_once("Example").unwrap_or_default();
    let lines = shown.lines().map(str::trim);
    all.extend(
        lines
            .filter(|l| l.starts_with("enforcer "))
            .map(str::to_owned),
    );
    command.get_subcommands().for_each(|c| examples(c, all));
}

#[test]
fn every_example_of_the_help_is_one_that_the_program_takes() {
    let mut all = Vec::new();
    examples(&Arguments::command(), &mut all);
    assert!(all.len() > 50, "{all:#?}");
    let wrong: Vec<_> = all.iter().filter_map(|line| wrong(line)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
