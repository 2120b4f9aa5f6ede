//! The manual, as groff reads it.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use super::*;
use crate::cli::man::pages;

/// A page as a person sees it; what groff has to complain of is none.
fn rendered(page: &str) -> String {
    on("-Tascii", page);
    on("-Tutf8", page)
}

/// The same on a kind of terminal.
fn on(terminal: &str, page: &str) -> String {
    let mut groff = Command::new("groff")
        .args(["-man", "-k", terminal, "-ww", "-P-c", "-rLL=200n"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    groff
        .stdin
        .take()
        .unwrap()
        .write_all(page.as_bytes())
        .unwrap();
    let done = groff.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success() && complaints.is_empty(),
        "{complaints}\n{page}"
    );
    // Bold and italic letters are struck twice.
    let text = String::from_utf8(done.stdout).unwrap();
    let mut plain = String::new();
    for letter in text.chars() {
        match letter {
            '\u{8}' => drop(plain.pop()),
            _ => plain.push(letter),
        }
    }
    plain
}

#[test]
fn every_page_of_the_manual_is_one_that_groff_takes_without_a_word() {
    let pages = pages();
    assert!(pages.len() > 35, "{}", pages.len());
    let all = pages
        .iter()
        .fold(String::new(), |all, (_, page)| all + page);
    assert!(
        !all.contains("\n.SH COMPLETE"),
        "what scripts call is nobody's page"
    );
    rendered(&all);
}

#[test]
fn a_page_has_what_the_help_says_as_it_was_written() {
    let pages = pages();
    let page = |name: &str| {
        let (_, page) = pages.iter().find(|(n, _)| n == name).unwrap();
        rendered(page)
    };
    let machines = page("enforcer-machines");
    for text in [
        "enforcer-machines - Known machines: list, register, accept, command, forget",
        "enforcer machines set [OPTIONS] MACHINE",
        "--power-secret-file",
        "Only machines that were just seen, or that somebody registered",
        "[possible values: seen, registered, accepted]",
        "  enforcer machines list -o json | jq -r '.[].name'",
        "  enforcer machines set web1 --label pool=web --label spare-",
    ] {
        assert!(machines.contains(text), "{text}\n{machines}");
    }
    let main = page("enforcer");
    for text in [
        "NO_COLOR",
        "no controller answers",
        "[env: ENFORCER_API_SOCKET]",
        "support-bundle",
    ] {
        assert!(main.contains(text), "{text}\n{main}");
    }
    assert!(
        !main.lines().any(|line| line.trim() == "complete"),
        "{main}"
    );
}

#[tokio::test]
async fn the_pages_are_written_into_a_folder() {
    let c = Controller::start();
    let folder = c.folder.path().join("share/man/man1");
    c.run(&["man", &folder.display().to_string()])
        .await
        .unwrap();
    let page = std::fs::read_to_string(folder.join("enforcer-explain.1")).unwrap();
    assert!(page.contains(".TH ENFORCER\\-EXPLAIN 1"), "{page}");
    assert!(c.run(&["man"]).await.unwrap().contains(".TH ENFORCER 1"));
}
