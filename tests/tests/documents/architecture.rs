//! docs/ARCHITECTURE.md draws the program as it is built: what its diagrams name is in the sources, what its tree lists is there.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Where Rust is, besides what each holds that was built.
const SOURCES: [&str; 7] = [
    "agent",
    "controller",
    "fuzz/bodies",
    "image",
    "ipxe",
    "mesh-proto",
    "tests",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
}

/// The words of a folder's Rust files, and the names of the folders in it.
fn known(folder: &Path, all: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path())?;
            all.extend(words(&text).map(str::to_owned));
        } else if entry.file_type()?.is_dir() && !name.starts_with('.') && name != "target" {
            all.insert(name);
            known(&entry.path(), all)?;
        }
    }
    Ok(())
}

/// Whether a word has the form that only names in sources have: humps or an underscore. `DHCP` and `peek` need not be names.
fn is_name(word: &str) -> bool {
    let humps = word.chars().filter(char::is_ascii_uppercase).count();
    let small = word.chars().any(|c| c.is_ascii_lowercase());
    let begins = word.starts_with(|c: char| c.is_ascii_uppercase());
    begins && humps > 1 && small || word.trim_matches('_').contains('_')
}

/// The lines of a page's diagrams.
fn diagrams(page: &str) -> impl Iterator<Item = &str> {
    page.lines().filter_map(|line| line.strip_prefix("    "))
}

/// The files and folders that a tree lists in its first column; folders that begin a part of it stand without a column.
fn listed(page: &str) -> Vec<String> {
    let tree = page.split("\n## The tree\n").nth(1).unwrap_or_default();
    let tree = tree.split("\n## ").next().unwrap_or_default();
    let (mut base, mut found) = ("", Vec::new());
    for line in diagrams(tree) {
        let Some(row) = line.strip_prefix("  ") else {
            base = line.trim();
            found.push(base.to_owned());
            continue;
        };
        let names = row.split("  ").next().unwrap_or_default().split(' ');
        let names = names.filter(|name| name.ends_with('/') || name.contains('.'));
        found.extend(names.map(|name| format!("{base}{name}")));
    }
    found
}

#[test]
fn every_name_in_the_diagrams_of_the_architecture_is_one_of_the_sources() {
    let mut there = BTreeSet::new();
    for folder in SOURCES {
        known(&root().join(folder), &mut there).unwrap();
    }
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let named: BTreeSet<_> = diagrams(&page)
        .flat_map(words)
        .filter(|w| is_name(w))
        .collect();
    let gone: Vec<_> = named
        .iter()
        .filter(|name| !there.contains(**name))
        .collect();
    assert!(named.len() > 60, "{named:?}");
    assert!(
        gone.is_empty(),
        "named in ARCHITECTURE.md and nowhere in the sources: {gone:?}"
    );
}

#[test]
fn every_file_in_the_tree_of_the_architecture_is_there() {
    let page = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let listed = listed(&page);
    let gone: Vec<_> = listed
        .iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(listed.len() > 80, "{listed:?}");
    assert!(gone.is_empty(), "{gone:?}");
}

#[test]
fn names_and_trees_are_told_from_prose() {
    for name in ["NoSuchThing", "of_nobody", "IOWait"] {
        assert!(is_name(name), "{name}");
    }
    for word in ["DHCP", "peek", "Fetch", "T1", "_", ""] {
        assert!(!is_name(word), "{word}");
    }
    let page = "\n## The tree\n\n    a/src/\n      b.rs c/   what; is not.rs here\n                more of it\n    d/\n\n## End\n\n    e/\n";
    assert_eq!(listed(page), ["a/src/", "a/src/b.rs", "a/src/c/", "d/"]);
}
