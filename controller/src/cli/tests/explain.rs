//! `enforcer explain` and what can be supposed: golden answers, and nothing written.

use std::{fmt::Write as _, path::Path};

use ipxe::{Firmware, MacAddr};

use super::*;
use crate::state::{
    Record, View, Write,
    boot::{Suppose, SupposeError},
    facts::FactsRecord,
    label::{LabelText, MAX_LABELS},
    machine::{Acceptance, AcceptedBy, Machine, Standing},
    matching::examples,
};

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

/// web1 with one of each: an activation, a deployment, facts, a label.
async fn laden() -> (View, MacAddr) {
    let c = furnished().await;
    let disk = c.write("disk", &"d".repeat(1 << 20));
    for line in [
        "machines set web1 --label spare=yes".to_owned(),
        format!("images push {disk} debian"),
        "deploy web1 debian".to_owned(),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        c.run(&words)
            .await
            .unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    let (mut view, mac) = (known(&c), "52:54:00:77:00:01".parse().unwrap());
    let facts = FactsRecord {
        machine: view.machine_by_mac(mac).unwrap().id.clone(),
        facts: examples::facts(1),
        digest: String::new(),
        boot_id: String::new(),
        at: Timestamp::UNIX_EPOCH,
        history: Vec::new(),
    };
    view.absorb(&Write::Put(Record::Facts(facts.into())));
    (view, mac)
}

#[tokio::test]
async fn each_supposition_changes_what_it_names_and_nothing_else() {
    let (view, mac) = laden().await;
    let spare: LabelText = "spare".parse().unwrap();
    let shown = |view: &View| {
        let machine = view.machine_by_mac(mac).unwrap();
        let (id, labels) = (&machine.id, &machine.labels);
        (
            view.activations_of(id).count(),
            view.deployments_of(id).count(),
            view.facts(id).is_some(),
            labels.contains_key(&spare),
            machine.firmware == Some(Firmware::Bios),
        )
    };
    let of = |suppose: Suppose| suppose.of(&view, mac, Timestamp::now());
    let nothing = Suppose::default;
    assert_eq!(shown(&of(nothing()).unwrap()), (1, 1, true, true, false));
    let none: [(LabelText, Option<LabelText>); 1] = [(spare.clone(), None)];
    for (suppose, expected) in [
        (
            Suppose {
                without_activation: true,
                ..nothing()
            },
            (0, 1, true, true, false),
        ),
        (
            Suppose {
                without_deployment: true,
                ..nothing()
            },
            (1, 0, true, true, false),
        ),
        (
            Suppose {
                without_facts: true,
                ..nothing()
            },
            (1, 1, false, true, false),
        ),
        (
            Suppose {
                labels: none.into(),
                ..nothing()
            },
            (1, 1, true, false, false),
        ),
        (
            Suppose {
                firmware: Some(Firmware::Bios),
                ..nothing()
            },
            (1, 1, true, true, true),
        ),
    ] {
        assert_eq!(
            shown(&of(suppose.clone()).unwrap()),
            expected,
            "{suppose:?}"
        );
    }
}

#[tokio::test]
async fn no_more_labels_are_supposed_than_a_machine_may_have() {
    let (view, mac) = laden().await;
    let of = |suppose: Suppose| suppose.of(&view, mac, Timestamp::now());
    let label = |n: usize| {
        let text: LabelText = format!("label{n}").parse().unwrap();
        (text.clone(), Some(text))
    };
    // It has one already.
    let labels = |count| Suppose {
        labels: (0..count).map(label).collect(),
        ..Suppose::default()
    };
    assert!(of(labels(MAX_LABELS - 1)).is_ok());
    assert_eq!(
        of(labels(MAX_LABELS)).err(),
        Some(SupposeError::TooManyLabels)
    );
}

#[tokio::test]
async fn who_is_supposed_to_be_less_than_accepted_was_not_accepted() {
    let (mut view, mac) = laden().await;
    let mut machine = Machine::clone(view.machine_by_mac(mac).unwrap());
    machine.standing = Standing::Accepted;
    machine.accepted = Some(Acceptance {
        how: AcceptedBy::BootSecret,
        at: Timestamp::UNIX_EPOCH,
    });
    view.absorb(&Write::Put(Record::Machine(machine.into())));
    for (standing, accepted) in [
        (Standing::Accepted, true),
        (Standing::Registered, false),
        (Standing::Seen, false),
    ] {
        let suppose = Suppose {
            standing: Some(standing),
            ..Suppose::default()
        };
        let supposed = suppose.of(&view, mac, Timestamp::now()).unwrap();
        let machine = supposed.machine_by_mac(mac).unwrap();
        assert_eq!(
            (machine.standing, machine.accepted.is_some()),
            (standing, accepted)
        );
    }
}
