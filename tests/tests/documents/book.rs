//! The documents as mdBook makes a book of them: it builds without a warning, has every page, and each of its links leads somewhere in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab;

/// What a page links, loads and shows.
const LINKS: [&str; 2] = ["href", "src"];

/// The values of an attribute, in the order of the page.
fn values<'p>(page: &'p str, attribute: &str) -> Vec<&'p str> {
    let begin = format!(" {attribute}=\"");
    let rest = page.split(begin.as_str()).skip(1);
    rest.filter_map(|rest| Some(rest.split_once('"')?.0))
        .collect()
}

/// A path without `.` and `..`; nothing when it leads out of where it begins.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) => whole.push(name),
            Component::ParentDir if whole.pop() => {}
            _ => return None,
        }
    }
    Some(whole)
}

/// A book that was built: its pages by their path in it, and all its files.
struct Book {
    pages: BTreeMap<PathBuf, String>,
    files: BTreeSet<PathBuf>,
}

impl Book {
    fn read(folder: &Path) -> Result<Self> {
        let mut book = Self {
            pages: BTreeMap::new(),
            files: BTreeSet::new(),
        };
        book.add(folder, Path::new(""))?;
        Ok(book)
    }

    fn add(&mut self, folder: &Path, below: &Path) -> Result<()> {
        for entry in fs::read_dir(folder.join(below))? {
            let entry = entry?;
            let path = below.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                self.add(folder, &path)?;
                continue;
            }
            if path.extension().is_some_and(|end| end == "html") {
                self.pages
                    .insert(path.clone(), fs::read_to_string(entry.path())?);
            }
            self.files.insert(path);
        }
        Ok(())
    }

    /// Whether a link of a page leads to a file of the book, and to a place in it.
    fn leads(&self, page: &Path, target: &str) -> bool {
        let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
        let folder = page.parent().unwrap_or(Path::new(""));
        let meant = match file {
            "" => Some(page.to_owned()),
            file => inside(&folder.join(file)),
        };
        let Some(meant) = meant.filter(|meant| self.files.contains(meant)) else {
            return false;
        };
        let text = self.pages.get(&meant);
        fragment.is_empty() || text.is_some_and(|text| values(text, "id").contains(&fragment))
    }

    /// Links into the book that lead nowhere, and how many there are in all.
    fn broken(&self) -> (Vec<String>, usize) {
        let (mut wrong, mut seen) = (Vec::new(), 0);
        // That page is shown at any address, and links from the book's root, wherever that will be.
        let placed = |page: &Path| page != Path::new("404.html");
        for (page, text) in self.pages.iter().filter(|(page, _)| placed(page)) {
            let targets = LINKS.iter().flat_map(|name| values(text, name));
            let own = targets.filter(|t| !t.contains(':') && !t.is_empty());
            for target in own {
                seen += 1;
                if !self.leads(page, target) {
                    wrong.push(format!("{}: {target}", page.display()));
                }
            }
        }
        (wrong, seen)
    }
}

#[test]
fn the_documents_build_as_a_book_in_which_every_link_leads_somewhere() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut script = Command::new("sh");
    script.arg(root.join("tests/mdbook.sh"));
    let mdbook = lab::output(script)?;
    let folder = tempfile::tempdir()?;
    let mut build = Command::new(mdbook.trim());
    build.arg("build").arg("--dest-dir").arg(folder.path());
    let done = build.arg(&root).output().context("mdbook")?;
    let said = String::from_utf8_lossy(&done.stderr);
    let quiet = !said.contains("WARN") && !said.contains("ERROR");
    ensure!(done.status.success() && quiet, "{said}");

    let book = Book::read(folder.path())?;
    for page in fs::read_dir(root.join("docs"))? {
        let page = page?.path();
        let name = page.file_name().context("a name")?;
        let listed = page.extension().is_some_and(|end| end == "md") && name != "SUMMARY.md";
        let built = Path::new(name).with_extension("html");
        ensure!(
            !listed || book.pages.contains_key(&built),
            "{} is no page of the book",
            page.display()
        );
    }
    let (wrong, seen) = book.broken();
    ensure!(seen > 500, "{seen} links found");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn a_link_leads_to_a_file_of_the_book_and_to_a_place_that_is_there() {
    let page = r##"<a href="#b">x</a> <h2 id="b">b</h2> <img src="../p.png">"##;
    let book = Book {
        pages: [("in/a.html".into(), page.to_owned())].into(),
        files: ["in/a.html".into(), "p.png".into()].into(),
    };
    let leads = |target| book.leads(Path::new("in/a.html"), target);
    assert_eq!(book.broken(), (Vec::new(), 2));
    assert!(leads("a.html#b") && leads("./a.html"));
    assert!(!leads("#c") && !leads("b.html") && !leads("../../p.png") && !leads("../p.png#b"));
}
