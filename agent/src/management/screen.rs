//! What a person in front of the machine sees: who it is, how far it is, and the pairing code in digits that can be read
//! from the other side of the rack. Pure.

use std::fmt::Display;

use crate::mesh::{Stage, View};

/// Five rows of five columns a digit; `#` is in every font of every console.
const DIGITS: [[&str; 5]; 10] = [
    [" ### ", "#   #", "#   #", "#   #", " ### "],
    ["  #  ", " ##  ", "  #  ", "  #  ", " ### "],
    [" ### ", "#   #", "  ## ", " #   ", "#####"],
    ["#### ", "    #", " ### ", "    #", "#### "],
    ["#  # ", "#  # ", "#####", "   # ", "   # "],
    ["#####", "#    ", "#### ", "    #", "#### "],
    [" ### ", "#    ", "#### ", "#   #", " ### "],
    ["#####", "   # ", "  #  ", " #   ", " #   "],
    [" ### ", "#   #", " ### ", "#   #", " ### "],
    [" ### ", "#   #", " ####", "    #", " ### "],
];
const HYPHEN: [&str; 5] = ["   ", "   ", "###", "   ", "   "];

/// Room for a label.
const LABEL: usize = 11;
/// Room for a text beside it.
const COLUMNS: usize = 64;

/// What the machine knows about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    /// What the boot script called it.
    pub(super) name: Option<String>,
    /// Address with prefix length.
    pub(super) address: String,
    /// Vendor, product, serial number.
    pub(super) hardware: String,
}

/// The whole screen, a line each.
pub(super) fn render(machine: &Machine, view: &View) -> Vec<String> {
    let mut lines = vec![rule()];
    if view.identify {
        lines.push("  >>>>>>>>>>   THIS ONE   <<<<<<<<<<".to_owned());
    }
    let name = view.name.as_deref().or(machine.name.as_deref());
    let mut row =
        |label: &str, value: &dyn Display| lines.extend(folded(label, &value.to_string()));
    row("machine", &name.unwrap_or("not named yet"));
    row("hardware", &machine.hardware);
    row("address", &machine.address);
    if let Some(controller) = view.controller {
        row("controller", &controller);
    }
    row("stage", &stage(view));
    if let Some(error) = &view.error {
        row("ERROR", error);
    }
    if let Some(code) = view.shown_code().filter(|_| wants_code(view)) {
        row("code", &format!("{code}, the same as at the controller?"));
        lines.push(String::new());
        lines.extend(big(code));
        lines.push(String::new());
    }
    lines.push(rule());
    lines
}

/// A label and its text, on as many lines as it takes on a screen of 80 columns.
fn folded(label: &str, text: &str) -> Vec<String> {
    let mut lines = vec![format!("  {label:<LABEL$}")];
    let mut room = COLUMNS;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if length > room {
            lines.push(" ".repeat(2 + LABEL));
            room = COLUMNS;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
            line.push(' ');
        }
        room = room.saturating_sub(length + 1);
    }
    lines
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn rule() -> String {
    "=".repeat(64)
}

/// A machine that a person has looked at needs no code any more.
fn wants_code(view: &View) -> bool {
    view.level != Some(mesh_proto::message::enrol::Level::T2)
}

fn stage(view: &View) -> String {
    match &view.stage {
        Stage::Member => {
            let level = view
                .level
                .map_or(String::new(), |level| format!(", level {level:?}"));
            let accepted = if view.accepted {
                "accepted"
            } else {
                "not accepted yet"
            };
            format!("member{level}, {accepted}")
        }
        other => other.to_string(),
    }
}

fn big(code: &str) -> Vec<String> {
    (0..5)
        .map(|row| {
            let columns: Vec<&str> = code
                .chars()
                .filter_map(|c| glyph(c).map(|glyph| glyph[row]))
                .collect();
            format!("    {}", columns.join("  ")).trim_end().to_owned()
        })
        .collect()
}

fn glyph(c: char) -> Option<[&'static str; 5]> {
    match c {
        '-' => Some(HYPHEN),
        digit => DIGITS.get(digit.to_digit(10)? as usize).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_proto::message::enrol::Level;

    const LONG: &str = "nobody registered this machine; on the controller: enforcer machines accept \
                        52-54-00-12-34-56 --code <the code on this screen>";

    fn words(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn machine() -> Machine {
        Machine {
            name: Some("web1".into()),
            address: "10.77.0.101/24".into(),
            hardware: "LabCo Box, serial 7".into(),
        }
    }

    fn view() -> View {
        View {
            stage: Stage::Waiting(LONG.into()),
            code: Some("1234-5678".into()),
            error: Some("the secret was spent".into()),
            ..View::default()
        }
    }

    #[test]
    fn a_person_sees_address_stage_error_and_a_large_code() {
        let text = render(&machine(), &view()).join("\n");
        for part in [
            "web1",
            "10.77.0.101/24",
            &format!("waiting for a person: {LONG}"),
            "the secret was spent",
        ] {
            assert!(words(&text).contains(part), "{text}");
        }
        let rows = "      #     ###   ####   #  #        #####   ###   #####   ###";
        assert!(text.lines().any(|line| line == rows), "{text}");
        assert!(
            render(&machine(), &view())
                .iter()
                .all(|line| line.chars().count() < 80),
            "fits 80 columns"
        );
    }

    #[test]
    fn the_code_stays_until_a_person_has_compared_it() {
        let shows = |level| {
            let view = View {
                level,
                stage: Stage::Member,
                ..view()
            };
            render(&machine(), &view).join("\n").contains("####")
        };
        assert!(shows(None) && shows(Some(Level::T1)));
        assert!(!shows(Some(Level::T2)));
    }

    #[test]
    fn every_digit_looks_different() {
        let different: std::collections::BTreeSet<_> = DIGITS.iter().collect();
        assert_eq!(different.len(), DIGITS.len());
        assert!(DIGITS.iter().flatten().all(|row| row.len() == 5));
    }
}
