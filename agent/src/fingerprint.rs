//! Which board this is, as far as an installed key needs to know: a disk that was cloned or moved must not take the
//! identity of another machine along (DESIGN §7). Pure; firmware lies, so no single value decides.

use std::collections::BTreeSet;

use mesh_proto::facts::HardwareFacts;
use serde::{Deserialize, Serialize};

/// What is compared. Absent is what firmware left blank or filled with a placeholder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// SMBIOS system uuid.
    #[serde(default)]
    pub uuid: Option<String>,
    /// SMBIOS system serial number.
    #[serde(default)]
    pub serial: Option<String>,
    /// SMBIOS board serial number.
    #[serde(default)]
    pub board_serial: Option<String>,
    /// Burned-in addresses of the network cards.
    #[serde(default)]
    pub macs: BTreeSet<String>,
}

/// Texts that whole batches of boards share, lower case.
const PLACEHOLDERS: [&str; 12] = [
    "to be filled by o.e.m.",
    "to be filled by oem",
    "default string",
    "system serial number",
    "base board serial number",
    "not specified",
    "not applicable",
    "none",
    "n/a",
    "unknown",
    "0123456789",
    "123456789",
];

impl Fingerprint {
    /// Takes it from the facts.
    #[must_use]
    pub fn of(facts: &HardwareFacts) -> Self {
        Self {
            uuid: telling(facts.smbios.uuid.as_deref()),
            serial: telling(facts.smbios.serial.as_deref()),
            board_serial: telling(facts.smbios.board_serial.as_deref()),
            macs: facts
                .nics
                .iter()
                .filter_map(|nic| telling(Some(nic.identity())))
                .collect(),
        }
    }

    /// Whether the two are one board: more values agree than differ. Values that one side lacks do not count (an agent
    /// without root sees no serial numbers); where nothing at all can be compared, nothing speaks against it.
    #[must_use]
    pub fn is_same_board(&self, other: &Self) -> bool {
        let texts = [
            (&self.uuid, &other.uuid),
            (&self.serial, &other.serial),
            (&self.board_serial, &other.board_serial),
        ];
        let mut votes: Vec<bool> = texts
            .into_iter()
            .filter_map(|(a, b)| Some(a.as_ref()? == b.as_ref()?))
            .collect();
        if !self.macs.is_empty() && !other.macs.is_empty() {
            // One card in common is enough: cards are added and replaced.
            votes.push(!self.macs.is_disjoint(&other.macs));
        }
        let agree = votes.iter().filter(|same| **same).count();
        votes.is_empty() || agree > votes.len() - agree
    }
}

/// The value, unless it is one that many boards share: a placeholder, or all digits alike (zero, FF).
fn telling(value: Option<&str>) -> Option<String> {
    let value = value?.trim().to_ascii_lowercase();
    let mut digits = value.bytes().filter(u8::is_ascii_alphanumeric);
    let first = digits.next()?;
    let repeats = digits.all(|digit| digit == first);
    (!repeats && !PLACEHOLDERS.contains(&value.as_str())).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(uuid: &str, serial: &str, board_serial: &str, macs: &[&str]) -> Fingerprint {
        Fingerprint {
            uuid: telling(Some(uuid)),
            serial: telling(Some(serial)),
            board_serial: telling(Some(board_serial)),
            macs: macs.iter().filter_map(|mac| telling(Some(mac))).collect(),
        }
    }

    #[test]
    fn more_must_agree_than_differ() {
        let home = board(
            "11-aa",
            "S1",
            "B1",
            &["52:54:00:00:00:01", "52:54:00:00:00:02"],
        );
        for (other, want, why) in [
            (home.clone(), true, "the same"),
            (
                board("11-aa", "S1", "B1", &["52:54:00:00:00:09"]),
                true,
                "a new card",
            ),
            (
                board("11-aa", "S1", "B2", &["52:54:00:00:00:02"]),
                true,
                "a repaired board",
            ),
            (
                board("22-bb", "S2", "B2", &["52:54:00:00:00:01"]),
                false,
                "a card that was moved",
            ),
            (
                board("22-bb", "S2", "B2", &["52:54:00:00:00:07"]),
                false,
                "another machine",
            ),
            (
                board("11-aa", "", "", &["52:54:00:00:00:07"]),
                false,
                "a batch with one uuid",
            ),
            (board("", "", "", &[]), true, "nothing can be read"),
            (
                board("", "", "", &["52:54:00:00:00:01"]),
                true,
                "an agent without root",
            ),
        ] {
            assert_eq!(home.is_same_board(&other), want, "{why}");
            assert_eq!(other.is_same_board(&home), want, "{why}");
        }
    }

    #[test]
    fn what_batches_of_boards_share_tells_nothing() {
        for shared in [
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "To Be Filled By O.E.M.",
            "Default string",
            "  ",
            "00:00:00:00:00:00",
        ] {
            assert_eq!(telling(Some(shared)), None, "{shared}");
        }
        assert_eq!(telling(Some(" LAB-1 ")).as_deref(), Some("lab-1"));
    }
}
