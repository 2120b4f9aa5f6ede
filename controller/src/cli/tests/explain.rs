//! `enforcer explain` and what can be supposed: golden answers, and nothing written.

use std::{fmt::Write as _, path::Path};

use super::*;
use crate::state::View;

/// A machine with a config that is armed, and another config.
async fn furnished() -> Controller {
    let c = Controller::start();
    let kernel = c.write("vmlinuz", "kernel");
    let facts = ["--cmdline", "arch={{ machine.facts.arch }}"];
    for line in [
        &[
            "machines",
            "register",
            "52:54:00:77:00:01",
            "--name",
            "web1",
        ][..],
        &["boot-configs", "set", "live", "--kernel", &kernel],
        &[
            &["boot-configs", "set", "by-facts", "--kernel", &kernel][..],
            &facts,
        ]
        .concat(),
        &["boot-configs", "activate", "live", "web1", "--until", "2h"],
    ] {
        c.run(line)
            .await
            .unwrap_or_else(|e| panic!("{line:?}: {e}"));
    }
    c
}

/// Every answer is the same whenever it is asked, and stands in this file.
const LINES: &[&str] = &[
    "explain web1",
    "explain web1 --without-activation",
    "explain web1 --state seen",
    "explain web1 --state accepted --without-activation --after-management",
    "explain web1 --without-activation --activated by-facts",
    "explain web1 --firmware raspberry-pi --label pool=web --label spare-",
    "explain 52:54:00:77:00:09",
    "explain 52:54:00:77:00:09 --state registered",
    "explain 52:54:00:77:00:09 --state registered --activated live --firmware uefi --arch arm64",
];

/// All that is known, without the time that events carry.
fn known(c: &Controller) -> View {
    View::clone(&c.site.api.store.view())
}

#[tokio::test]
async fn answers_to_what_is_supposed_are_golden_and_nothing_is_written() {
    let c = furnished().await;
    c.site.api.store.flush().await.unwrap();
    let (before, commits) = (known(&c), c.site.api.store.stats().commits);
    let mut told = String::new();
    for line in LINES {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = c
            .run(&words)
            .await
            .unwrap_or_else(|e| panic!("{line}: {e}"));
        let _ = writeln!(told, "$ enforcer {line}\n{answer}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/tests/explain.txt");
    if std::env::var_os("ENFORCER_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &told).unwrap();
    }
    assert_eq!(told, std::fs::read_to_string(&path).unwrap());
    c.site.api.store.flush().await.unwrap();
    assert!(known(&c) == before, "something was written");
    assert_eq!(c.site.api.store.stats().commits, commits);
}

#[tokio::test]
async fn in_time_what_is_armed_is_over() {
    let c = furnished().await;
    let now = c.run(&["explain", "web1", "--at", "1h"]).await.unwrap();
    assert!(
        now.starts_with("if it asked at ") && now.contains("would boot: config"),
        "{now}"
    );
    let later = c
        .run(&["explain", "web1", "--at", "3h", "-o", "json"])
        .await
        .unwrap();
    let later: serde_json::Value = serde_json::from_str(&later).unwrap();
    assert_ne!(later["plan"], "config", "{later}");
    assert_eq!(later["supposed"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_come_to_be_is_refused_as_the_command_would_be() {
    let c = furnished().await;
    for (line, code) in [
        ("explain web1 --activated none", "boot-config-not-found"),
        ("explain web1 --activated by-facts", "already-active"),
        (
            "explain web1 --without-activation --state seen --activated live",
            "machine-not-registered",
        ),
        ("explain web1 --firmware bios --arch arm64", "bad-value"),
        (
            "explain web1 --firmware raspberry-pi --arch x64",
            "bad-value",
        ),
        ("explain web1 --label pool", "bad-value"),
        ("explain web1 --label =x", "bad-value"),
        ("explain web9 --state seen", "machine-not-found"),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(refusal(c.run(&words).await), code, "{line}");
    }
}
