//! Whatever a template says, and whatever a machine calls itself: filling in ends within its bounds, and a value stays one.

use std::fmt::Write as _;

use proptest::{prelude::*, sample::select};

use super::*;
use crate::state::{
    Timestamp,
    machine::MachineId,
    matching::examples::{disk, facts},
};

/// A template filled in for a machine that calls itself, and its disk, `text`.
fn filled(template: &str, text: &str) -> Result<String, TemplateError> {
    let mac = ipxe::MacAddr([2, 0, 0, 0, 0, 1]);
    let mut machine = Machine::seen(MachineId::from_random(7), mac, Timestamp::UNIX_EPOCH);
    machine.serial = Some(text.to_owned());
    let mut facts = facts(1);
    facts.disks = vec![disk(text)];
    let scope = Scope {
        machine: &machine,
        facts: Some(&facts),
        base: "http://10.0.0.1:4880",
        nonce: &Nonce::from_random(1),
    };
    scope.render(template)
}

/// Pieces of templates; put together anyhow they are mostly nonsense, sometimes a bomb.
const PIECES: [&str; 52] = [
    "{{ ",
    " }}",
    "{% ",
    " %}",
    "{# ",
    " #}",
    "{%- raw %}",
    "{% endraw -%}",
    "{% if a %}",
    "{% elif serial %}",
    "{% else %}",
    "{% endif %}",
    "{% for x in range(99999) %}",
    "{% for k in serial|list %}",
    "{% endfor %}",
    "{% set a = serial %}",
    "{% set a = a|json %}",
    "{% set a = a|list %}",
    "{{ a }}",
    "serial",
    "machine.facts.disks",
    "[0]",
    ".serial",
    "|json",
    "|shell",
    "|url",
    "|list",
    "|map('json')",
    "|map('replace', 'x', serial)",
    "|join(serial)",
    "|replace('x', serial)",
    "|upper",
    "|sort",
    "|first",
    "|default('')",
    " ~ ",
    " if a else ",
    "not ",
    " and ",
    " is defined",
    " in ",
    "(",
    ")",
    ", ",
    "'",
    "\"",
    "\\",
    "-",
    "2 ** 99",
    "\n",
    "x",
    "loop.index",
];

fn soup() -> impl Strategy<Value = String> {
    let piece = (
        select(&PIECES[..]),
        prop_oneof![9 => Just(1_usize), 1 => 2..400_usize],
    );
    let text = prop::collection::vec(piece, 0..24);
    text.prop_map(|pieces| pieces.iter().map(|(p, n)| p.repeat(*n)).collect())
}

fn hostile() -> impl Strategy<Value = String> {
    let breaks_out = select(
        &[
            "'",
            "\"",
            "\\",
            "\n",
            "\r\n",
            "\0",
            "{{ 7 * 7 }}",
            "{% raw %}",
            "$(reboot)",
            "`reboot`",
            "; reboot #",
            " init=/bin/sh",
            "\u{85}",
            "\u{2028}",
            "%0a",
            "&",
            "d-i x string y",
            "a",
        ][..],
    );
    let known = prop::collection::vec(breaks_out, 0..6).prop_map(|parts| parts.concat());
    prop_oneof![known, any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_template_escapes_its_bounds(template in soup(), inside in soup(), text in hostile()) {
        for template in [template, format!("{{{{ {inside} }}}}"), format!("{{% set a = {inside} %}}{{{{ a }}}}")] {
            if let Ok(text) = filled(&template, &text) {
                prop_assert!(text.len() <= MAX_RENDERED);
            }
        }
    }

    #[test]
    fn what_a_machine_calls_itself_stays_one_value(text in hostile()) {
        for value in ["serial", "machine.facts.disks[0].serial"] {
            let quoted = |filter: &str| filled(&format!("<{{{{ {value} | {filter} }}}}>"), &text);
            let inner = |told: String| told[1..told.len() - 1].to_owned();
            for json in ["json", "yaml"] {
                let told = inner(quoted(json).unwrap());
                prop_assert!(!told.contains(char::is_control));
                prop_assert_eq!(&serde_json::from_str::<String>(&told).unwrap(), &text);
            }
            let told = inner(quoted("url").unwrap());
            prop_assert!(told.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
            if let Ok(told) = quoted("shell").map(inner) {
                let bare = told.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')).unwrap();
                prop_assert!(!bare.replace(r"'\''", "").contains('\''), "{}", told);
                prop_assert!(!told.contains(char::is_control));
            }
            if let Ok(told) = quoted("line").map(inner) {
                prop_assert_eq!(&told, &text);
                prop_assert!(!told.contains(char::is_control) && !told.ends_with('\\'));
            }
            if let Ok(told) = quoted("word").map(inner) {
                prop_assert_eq!(&told, &text);
                prop_assert!(!told.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"\\".contains(c)));
            }
        }
    }
}

#[test]
fn a_template_is_refused_before_the_renderer_goes_too_deep_for_its_stack() {
    for part in ["not ", "-", "(", "a if a else ", "a and ", "a|upper|"] {
        let mut deep = part.repeat(60_000);
        let _ = write!(deep, "serial");
        for template in [format!("{{{{ {deep} }}}}"), format!("{{{{ {deep}")] {
            assert!(filled(&template, "x").is_err(), "{part}");
        }
    }
    let elifs = "{% elif a %}".repeat(10_000);
    assert!(filled(&format!("{{% if a %}}{elifs}{{% endif %}}"), "x").is_err());
}
