//! Nothing that a machine calls itself, and nothing that a person gives, breaks out of its place in an answer file.

use std::process::Command;

use proptest::{prelude::*, sample::select};

use super::{
    tests::{config, flatcar, preset},
    *,
};
use crate::state::{
    Timestamp,
    activation::Nonce,
    machine::{Machine, MachineId},
    template::Scope,
};

fn each_system() -> [Preset; 6] {
    let custom = Preset {
        release: None,
        ..preset(Os::Custom, "http://10.0.0.2/own", "")
    };
    [
        preset(Os::Debian, "https://a/debian", "bookworm"),
        preset(Os::Ubuntu, "https://a", "24.04"),
        preset(Os::Alpine, "https://a/alpine", "v3.20"),
        preset(Os::Fedora, "https://a", "42"),
        flatcar(),
        custom,
    ]
}

/// The command line and every answer for web1, whose firmware and agent call it `itself`.
fn told(config: &BootConfig, itself: &str) -> BTreeMap<String, String> {
    let mac = ipxe::MacAddr([2, 0, 0, 0, 0, 9]);
    let mut machine = Machine::seen(MachineId::from_random(7), mac, Timestamp::UNIX_EPOCH);
    machine.name = "web1".parse().unwrap();
    (machine.uuid, machine.serial) = (Some(itself.to_owned()), Some(itself.to_owned()));
    let scope = Scope {
        machine: &machine,
        facts: None,
        base: "http://10.0.0.1:4880",
        nonce: &Nonce::from_random(1),
    };
    let Program::Kernel { cmdline, .. } = &config.program else {
        panic!("a preset makes a kernel's config");
    };
    let cmdline = (&"command line".to_owned(), cmdline);
    let all = config.answers.iter().chain([cmdline]);
    all.map(|(name, text)| (name.clone(), scope.render(text).unwrap()))
        .collect()
}

#[test]
fn a_hostile_machine_changes_no_answer() {
    let hostile = "x'\"; reboot #\n{{ 7 * 7 }} $(reboot)";
    for preset in each_system() {
        let config = config(preset);
        assert_eq!(told(&config, hostile), told(&config, "friendly"));
    }
}

/// A text that a person may give: allowed characters, or what could break out of some format.
fn given() -> impl Strategy<Value = String> {
    let parts = select(
        &[
            "a",
            "7",
            ".",
            "-",
            "_",
            "+",
            "/",
            "@",
            ":",
            ",",
            "=",
            "%",
            "[",
            "]",
            "[[keys]]",
            "..",
            " ",
            "'",
            "\"",
            "\\",
            "\n",
            "\r",
            "\0",
            "{{ name }}",
            "{%",
            "$(x)",
            "`x`",
            ";",
            "#",
            "&",
            "|",
            "<",
            "\u{85}",
            "é",
        ][..],
    );
    let usual = "[a-z0-9][a-z0-9.+/@:,_-]{0,20}";
    let odd = prop::collection::vec(parts, 1..6).prop_map(|parts| parts.concat());
    prop_oneof![2 => usual, 3 => odd, 1 => any::<String>()]
}

/// What stands where does not matter: as many lines, and as many words in each, as with usual words.
fn shape(text: &str) -> Vec<usize> {
    text.split('\n')
        .map(|l| l.split_whitespace().count())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_a_person_gives_is_refused_or_stays_in_its_place(
        at in 0..6_usize, field in 0..8_usize, text in given()
    ) {
        let mut preset = each_system()[at].clone();
        if field == 1 && preset.release.is_none() {
            return Ok(());
        }
        let usual = config(preset.clone());
        let mut key = false;
        match field {
            0 => preset.location = Some(format!("http://a/{text}")),
            1 => preset.release = Some(text.clone()),
            2 => preset.locale = Some(text.clone()),
            3 => preset.keyboard = Some(text.clone()),
            4 => preset.timezone = Some(text.clone()),
            5 => preset.disk = Some(format!("/dev/{text}")),
            6 => preset.packages = vec![text.clone()],
            _ => {
                key = true;
                preset.ssh_keys = vec![format!("ssh-ed25519 {text} me@desk")];
            }
        }
        let means_something = |c: char| "'\"\\$`;&|<>(){}#~*?!^".contains(c) || c.is_control() || !c.is_ascii();
        // Of a location, the folder of a user.
        let shown = if field == 0 { format!("/{text}").replace("/~", "/") } else { text.clone() };
        let harmless = !shown.contains(means_something) && (key || !text.contains(' '));
        let disk = field == 5;
        let Ok(config) = build("web".parse().unwrap(), preset) else {
            return Ok(());
        };
        prop_assert!(harmless, "{}", text);
        let (told, usual) = (told(&config, "x"), told(&usual, "x"));
        for (name, text) in &told {
            let before = &usual[name];
            prop_assert_eq!(text.lines().count(), before.lines().count() + usize::from(disk && name == "user-data"), "{}", text);
            // A key has blanks of its own, and a disk of one's own stands where the search for one stood.
            if !key && !disk {
                prop_assert_eq!(shape(text), shape(before), "{}", text);
            }
            if name == "config.ign" {
                let read = serde_json::from_str::<serde_json::Value>(text);
                prop_assert!(read.is_ok(), "{}", text);
            }
            if name == "enforcer.start" || name == "answers" {
                let read = Command::new("sh").args(["-n", "-c", text]).status().unwrap();
                prop_assert!(read.success(), "{}", text);
            }
        }
    }
}
