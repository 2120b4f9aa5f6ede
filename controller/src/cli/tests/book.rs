//! The documents as a book: every page is in its table of contents, every link leads somewhere, every code of the API has its cure.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every Markdown file below a folder; what is hidden or built is nobody's page.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if name.starts_with('.') || ["target", "node_modules"].contains(&&*name) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            found.extend(pages(&path));
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A page's lines without those of fenced and indented blocks, where brackets are no links and `#` begins a comment.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence && !line.starts_with("    ")
    })
}

/// Where the links of a line lead.
fn links(line: &str) -> Vec<&str> {
    // What stands between backticks is shown, not linked.
    let spoken = line.split('`').step_by(2);
    let targets = spoken.flat_map(|part| part.split("](").skip(1));
    targets
        .filter_map(|rest| Some(rest.split_once(')')?.0))
        .collect()
}

/// A heading's anchor, as forges and mdBook make it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

/// Why a page's link leads nowhere.
fn broken(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    let folder = page.parent().expect("a page has a folder");
    let meant = if file.is_empty() {
        page.to_owned()
    } else {
        folder.join(file)
    };
    let known =
        meant.exists() && (fragment.is_empty() || anchors(&text(&meant)).contains(fragment));
    (!known).then(|| format!("{}: {target}", page.display()))
}

#[test]
fn every_relative_link_and_anchor_of_the_documents_leads_somewhere() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages(&root()) {
        for target in prose(&text(&page)).flat_map(links) {
            seen += 1;
            wrong.extend(broken(&page, target));
        }
    }
    assert!(seen > 40, "{seen} links found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_of_the_docs_is_in_the_books_table_of_contents_once() {
    let docs = root().join("docs");
    let summary = text(&docs.join("SUMMARY.md"));
    let mut listed: Vec<_> = prose(&summary)
        .flat_map(links)
        .map(|t| docs.join(t))
        .collect();
    listed.sort();
    let mut written = pages(&docs);
    written.retain(|page| !page.ends_with("SUMMARY.md"));
    assert_eq!(listed, written);
}

/// The codes that begin the rows of a page's tables.
fn codes(page: &str) -> BTreeSet<String> {
    let page = text(&root().join("docs").join(page));
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| Some(row.split_once('`')?.0.to_owned()))
        .collect()
}

#[test]
fn every_code_of_the_doctor_has_its_cure() {
    let page = text(&root().join("docs/TROUBLESHOOTING.md"));
    let rows = page.lines().filter_map(|line| line.strip_prefix("| **"));
    let cured: Vec<_> = rows
        .filter_map(|row| Some(row.split_once("**")?.0))
        .collect();
    assert_eq!(cured, crate::doctor::CODES);
}

#[test]
fn every_problem_of_the_api_has_its_cure() {
    let known = codes("API-PROBLEMS.md");
    assert!(known.len() > 50, "{known:?}");
    let cured = codes("TROUBLESHOOTING.md");
    let differ: Vec<_> = known.symmetric_difference(&cured).collect();
    assert!(
        differ.is_empty(),
        "known and without a row, or the reverse: {differ:?}"
    );
}
