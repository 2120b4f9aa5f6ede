//! Every `enforcer …` that a page of the documents names is a command of this program, with these words.

mod architecture;
mod book;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{CommandFactory as _, Parser as _, error::ErrorKind};
use enforcer::{arguments::Arguments, cli};

/// Where `enforcer` is called in a page: line, words, and whether it is a whole command (in a block) or a mention (in the prose).
fn calls(page: &str) -> Vec<(usize, Vec<String>, bool)> {
    let (mut found, mut fenced) = (Vec::new(), false);
    for (number, line) in (1..).zip(page.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            let commands = line.split("&&").filter_map(|part| call(part.trim()));
            found.extend(commands.map(|words| (number, words, true)));
        } else {
            let shown = line.split('`').skip(1).step_by(2).filter_map(call);
            found.extend(shown.map(|words| (number, words, false)));
        }
    }
    found
}

/// The words of a command, without what stands before it (a prompt, `sudo`) and behind it (a comment, a pipe); nothing
/// where a person has to fill something in.
fn call(text: &str) -> Option<Vec<String>> {
    let typed = match text.split_once("$ ") {
        Some((prompt, rest)) if !prompt.contains(' ') => rest.trim_start(),
        _ => text,
    };
    let typed = typed.strip_prefix("sudo ").unwrap_or(typed);
    if !typed.starts_with("enforcer ") || typed.starts_with("enforcer  ") || typed.contains("NOUN")
    {
        return None;
    }
    let (mut words, mut quote) = (vec![String::new()], None);
    for letter in typed.chars() {
        let last = words.last_mut().expect("there is one from the start");
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (None, '\'' | '"') => quote = Some(letter),
            (None, ' ') if !last.is_empty() => words.push(String::new()),
            (None, ' ') => {}
            (None, '#' | '|' | '>' | '\\') if last.is_empty() => break,
            _ => last.push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    (!words.iter().any(|word| word.contains('…'))).then_some(words)
}

/// Why a call is none of this program's.
fn wrong(words: Vec<String>, whole: bool) -> Option<String> {
    // `deployments cancel NUMBER` or `--local-boot exit|sanboot`: a person chooses.
    let chosen = |word: &String| {
        !word.contains('|') && !word.chars().all(|letter| letter.is_ascii_uppercase())
    };
    let chosen = words.iter().all(chosen);
    let words = cli::resolve(words, &Arguments::command());
    let error = Arguments::try_parse_from(words).err()?;
    let begun = match error.kind() {
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => true,
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => !chosen,
        _ => false,
    };
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp);
    (!(asked || begun && !whole)).then(|| error.to_string())
}

/// The README, the changelog and every page of the book.
fn pages() -> io::Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut pages = vec![root.join("README.md"), root.join("CHANGELOG.md")];
    for entry in fs::read_dir(root.join("docs"))? {
        pages.push(entry?.path());
    }
    pages.retain(|page| page.extension().is_some_and(|end| end == "md"));
    pages.sort();
    Ok(pages)
}

#[test]
fn every_command_of_the_documents_is_one_of_this_program() {
    let (mut seen, mut refused) = (0, Vec::new());
    for page in pages().unwrap() {
        for (line, words, whole) in calls(&fs::read_to_string(&page).unwrap()) {
            seen += 1;
            let why = wrong(words, whole);
            refused.extend(why.map(|why| format!("{}:{line}: {why}", page.display())));
        }
    }
    assert!(seen > 200, "{seen} calls found");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn a_command_is_found_behind_prompts_and_before_comments_and_must_be_ours() {
    let page = "    lab$ enforcer machines list --site hq   # theirs\n`enforcer events` and `sudo enforcer nonsense -x`\n\
                ```sh\nsudo make && sudo enforcer boot-configs set a --cmdline 'b c' | less\nenforcer peers join …\n```\n";
    let found = calls(page);
    let expected: [(usize, &[&str], bool); 4] = [
        (1, &["enforcer", "machines", "list", "--site", "hq"], true),
        (2, &["enforcer", "events"], false),
        (2, &["enforcer", "nonsense", "-x"], false),
        (
            4,
            &["enforcer", "boot-configs", "set", "a", "--cmdline", "b c"],
            true,
        ),
    ];
    let expected = expected.map(|(line, words, whole)| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        (line, words, whole)
    });
    assert_eq!(found, expected);
    assert_eq!(wrong(found[0].1.clone(), true), None);
    assert!(wrong(found[2].1.clone(), false).is_some());
    let unfinished = ["enforcer", "deploy", "web1"].map(str::to_owned).to_vec();
    assert_eq!(wrong(unfinished.clone(), false), None);
    assert!(wrong(unfinished, true).is_some());
}
