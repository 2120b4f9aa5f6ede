//! `-o`, `--watch`, `--dry-run` and the words that have to be typed.

use std::io;

use tokio::sync::mpsc;

use super::*;

const MAC: &str = "52:54:00:77:00:01";

async fn registered() -> Controller {
    let c = Controller::start();
    let line = ["machines", "register", MAC, "--name", "web1"];
    c.run(&line).await.unwrap();
    c
}

#[tokio::test]
async fn a_list_and_a_show_come_in_every_format() {
    let c = registered().await;
    c.run(&["machines", "set", "web1", "--label", "pool=web"])
        .await
        .unwrap();
    assert_eq!(
        c.run(&["machines", "list", "-o", "name"]).await.unwrap(),
        "web1\n"
    );
    let wide = c.run(&["machines", "list", "-o", "wide"]).await.unwrap();
    assert!(
        wide.contains("LABELS") && wide.contains("pool=web"),
        "{wide}"
    );
    let narrow = c.run(&["machines", "list"]).await.unwrap();
    assert!(!narrow.contains("pool=web"), "{narrow}");
    let yaml = c
        .run(&["machines", "show", "web1", "-o", "yaml"])
        .await
        .unwrap();
    assert!(yaml.contains("\nlabels:\n  pool: web\n"), "{yaml}");
    assert!(
        yaml.contains("\nmacs:\n- \"52:54:00:77:00:01\"\nmember: null\n"),
        "{yaml}"
    );
    let nameless = c.run(&["images", "usage", "-o", "name"]).await;
    assert!(nameless.is_err(), "{nameless:?}");
}

/// Passes on what is written.
struct Out(mpsc::UnboundedSender<String>);

impl io::Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let sent = self.0.send(text);
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
            .map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_watched_list_prints_what_changed_and_nothing_else() {
    let c = registered().await;
    let (sender, mut said) = mpsc::unbounded_channel();
    let socket = c.folder.path().join("api.sock");
    let mut out = Out(sender);
    let line = parse(&["machines", "list", "--watch"]);
    let watching = perform(line, socket, Person::nobody(), &mut out);
    tokio::select! {
        ended = watching => panic!("it ended: {ended:?}"),
        () = changes(&c, &mut said) => {}
    }
}

/// What happens to machines, and what a watcher says of it.
async fn changes(c: &Controller, said: &mut mpsc::UnboundedReceiver<String>) {
    let first = said.recv().await.unwrap();
    assert!(
        first.starts_with("NAME") && first.contains("web1"),
        "{first}"
    );
    c.run(&[
        "machines",
        "register",
        "52:54:00:77:00:02",
        "--name",
        "web2",
    ])
    .await
    .unwrap();
    let second = said.recv().await.unwrap();
    assert!(
        second.starts_with("web2") && second.lines().count() == 1,
        "{second}"
    );
    c.run(&["machines", "delete", "web2", "--yes"])
        .await
        .unwrap();
    c.run(&[
        "machines",
        "register",
        "52:54:00:77:00:03",
        "--name",
        "web3",
    ])
    .await
    .unwrap();
    let third = loop {
        // That one is gone prints no row.
        let text = said.recv().await.unwrap();
        if !text.is_empty() {
            break text;
        }
    };
    assert!(third.starts_with("web3"), "{third}");
}

#[tokio::test]
async fn what_destroys_needs_its_name_typed_or_yes() {
    let c = registered().await;
    let gone = ["machines", "delete", MAC];
    let there = async || c.run(&["machines", "show", "web1"]).await.is_ok();
    let refused = c.run(&gone).await.unwrap_err();
    assert_eq!(
        refused.exit_code(),
        2,
        "a script has to say --yes: {refused}"
    );
    let typo = c.run_as(Person::typing("web2\n"), &gone).await;
    assert_eq!(typo.unwrap_err().exit_code(), 1);
    let ended = c.run_as(Person::typing(""), &gone).await;
    assert!(ended.is_err() && there().await);
    // Its name, also when it was called by its MAC.
    c.run_as(Person::typing("web1\n"), &gone).await.unwrap();
    assert!(!there().await);
}

#[tokio::test]
async fn a_dry_run_changes_nothing() {
    let c = registered().await;
    c.run(&["machines", "delete", "web1", "--dry-run"])
        .await
        .unwrap();
    c.run(&["machines", "erase", "web1", "--dry-run"])
        .await
        .unwrap();
    c.run(&["machines", "delete", "web1", "--dry-run", "--yes"])
        .await
        .unwrap();
    c.run(&["machines", "show", "web1"]).await.unwrap();
    assert_eq!(
        c.run(&["deployments", "list", "-o", "name"]).await.unwrap(),
        ""
    );
    let unknown = c.run(&["machines", "delete", "web9", "--dry-run"]).await;
    assert_eq!(refusal(unknown), "machine-not-found");
}

#[tokio::test]
async fn the_exit_codes_are_told_alike_everywhere() {
    let c = Controller::start();
    let told = c.run(&["exit-codes"]).await.unwrap();
    let page = include_str!("../../../../docs/OPERATIONS.md");
    for line in told.lines() {
        let (code, meaning) = line.split_once("  ").unwrap();
        let row = format!("| {code} | {meaning} |");
        assert!(page.contains(&row), "docs/OPERATIONS.md lacks: {row}");
    }
    assert_eq!(told.lines().count(), 7);
}
