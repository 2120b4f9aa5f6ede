//! What tells a machine from others, with everything left out that does not.

use std::collections::BTreeSet;

use ipxe::MacAddr;
use mesh_proto::facts::{HardwareFacts, normalised};
use serde::{Deserialize, Serialize};

use crate::{
    ordered::Gather as _,
    state::{facts::FactsRecord, machine::Machine},
};

/// Texts that vendors leave in the fields that should hold a serial number; lower case.
const PLACEHOLDERS: [&str; 22] = [
    "to be filled by o.e.m.",
    "to be filled by o.e.m",
    "default string",
    "default",
    "none",
    "null",
    "n/a",
    "not specified",
    "not applicable",
    "not available",
    "not present",
    "system serial number",
    "base board serial number",
    "chassis serial number",
    "serial number",
    "unknown",
    "empty",
    "invalid",
    "o.e.m.",
    "type2 - board serial number",
    "123456789abcdef",
    "0123456789abcdef",
];
/// A vendor's example uuid, found on many boards (AMI's default; here in the order of RFC 9562).
const EXAMPLE_UUIDS: [&str; 2] = [
    "03000200040005000006000700080009",
    "00020003000400050006000700080009",
];
/// Shorter serials are a slot number or a joke.
const SHORTEST_SERIAL: usize = 4;

/// One thing that tells machines apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// A network card's address.
    Mac(MacAddr),
    /// SMBIOS uuid, in one spelling.
    Uuid(String),
    /// SMBIOS system serial.
    Serial(String),
    /// SMBIOS board serial.
    Board(String),
    /// A fixed disk's serial.
    Disk(String),
}

/// What tells a machine from others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// Its network cards.
    pub macs: BTreeSet<MacAddr>,
    /// SMBIOS uuid, 32 hex digits, in the smaller of its two byte orders.
    pub uuid: Option<String>,
    /// System serial, upper case.
    pub serial: Option<String>,
    /// Board serial, upper case.
    pub board: Option<String>,
    /// Serials of its fixed disks, upper case.
    pub disks: BTreeSet<String>,
}

impl Identity {
    /// Of what an agent read.
    #[must_use]
    pub fn of_facts(facts: &HardwareFacts) -> Self {
        let macs = facts.nics.iter().filter_map(|n| n.identity().parse().ok());
        let fixed = facts.disks.iter().filter(|d| !d.removable);
        Self {
            macs: macs.filter(|mac: &MacAddr| mac.is_station()).gather(),
            uuid: facts.smbios.uuid.as_deref().and_then(uuid),
            serial: facts.smbios.serial.as_deref().and_then(serial),
            board: facts.smbios.board_serial.as_deref().and_then(serial),
            disks: fixed
                .filter_map(|d| d.serial.as_deref().and_then(serial))
                .gather(),
        }
    }

    /// Of a machine we know. What an agent read counts more than what a boot request said: the latter may already be
    /// the newcomer's own words.
    #[must_use]
    pub fn of_machine(machine: &Machine, facts: Option<&FactsRecord>) -> Self {
        let read = facts.map(|f| Self::of_facts(&f.facts));
        let mut identity = read.unwrap_or_else(|| Self {
            uuid: machine.uuid.as_deref().and_then(uuid),
            serial: machine.serial.as_deref().and_then(serial),
            ..Self::default()
        });
        identity.macs.clone_from(&machine.macs);
        identity
    }

    /// Of what somebody else says of a machine: its network cards, SMBIOS uuid and serial number.
    #[must_use]
    pub fn of_words(
        macs: impl IntoIterator<Item = MacAddr>,
        uuid_text: Option<&str>,
        serial_text: Option<&str>,
    ) -> Self {
        Self {
            macs: macs.into_iter().gather(),
            uuid: uuid_text.and_then(uuid),
            serial: serial_text.and_then(serial),
            ..Self::default()
        }
    }

    /// Each mark.
    pub fn marks(&self) -> impl Iterator<Item = Mark> + '_ {
        let macs = self.macs.iter().copied().map(Mark::Mac);
        let uuid = self.uuid.iter().cloned().map(Mark::Uuid);
        let serial = self.serial.iter().cloned().map(Mark::Serial);
        let board = self.board.iter().cloned().map(Mark::Board);
        let disks = self.disks.iter().cloned().map(Mark::Disk);
        macs.chain(uuid).chain(serial).chain(board).chain(disks)
    }
}

/// A uuid in the smaller of its two byte orders: firmware, iPXE and Linux do not agree on the first three fields (SMBIOS
/// 2.6 made them little-endian). `None` when it says nothing.
fn uuid(text: &str) -> Option<String> {
    let digits: String = text
        .chars()
        .filter(char::is_ascii_hexdigit)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if digits.len() != 32 || one_character(&digits) {
        return None;
    }
    let byte = |n: usize| &digits[2 * n..2 * n + 2];
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    let swapped: String = order.into_iter().map(byte).collect();
    let known = |u: &String| EXAMPLE_UUIDS.contains(&u.as_str());
    (!known(&digits) && !known(&swapped)).then(|| digits.min(swapped))
}

/// A serial without padding, in upper case. `None` when it is a placeholder.
fn serial(text: &str) -> Option<String> {
    let text = normalised(text)?;
    let telling: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let says_nothing = telling.len() < SHORTEST_SERIAL
        || one_character(&telling)
        || counts_up(&telling)
        || of_qemu(&telling)
        || PLACEHOLDERS.contains(&text.to_ascii_lowercase().as_str());
    (!says_nothing).then(|| text.to_ascii_uppercase())
}

fn one_character(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next();
    chars.all(|c| Some(c) == first)
}

/// `123456`, `0123456789`, `1234567890`.
fn counts_up(text: &str) -> bool {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    digits
        && text
            .as_bytes()
            .windows(2)
            .all(|two| (two[0] - b'0' + 1) % 10 == two[1] - b'0')
}

/// QEMU numbers the disks of every virtual machine from `QM00001`.
fn of_qemu(text: &str) -> bool {
    let number = text.strip_prefix("QM");
    number.is_some_and(|n| n.len() == 5 && n.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_say_nothing_are_no_marks() {
        let nothing = [
            "",
            " ",
            "0",
            "00000000",
            "FFFFFFFF",
            "................",
            "xxxxxxxx",
            "None",
            "N/A",
            "123456789",
            "0123456789",
            "1234567890",
            "To be filled by O.E.M.",
            "To Be Filled By O.E.M.",
            "Default string",
            "System Serial Number",
            "Not Specified",
            "QM00001",
            " none ",
            "01",
        ];
        for text in nothing {
            assert_eq!(serial(text), None, "{text:?}");
        }
        for (text, kept) in [
            (" ab-123 ", "AB-123"),
            ("QM1", "QM1x"),
            ("LAB-1", "LAB-1"),
            ("12345679", "12345679"),
        ] {
            let expected = (kept == text.trim().to_ascii_uppercase()).then(|| kept.to_owned());
            assert_eq!(serial(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_uuid_is_one_value_in_both_byte_orders() {
        let straight = uuid("4C4C4544-0051-3510-8052-B4C04F4A3132");
        assert_eq!(straight, uuid("44454c4c-5100-1035-8052-b4c04f4a3132"));
        assert!(straight.is_some());
        assert_ne!(straight, uuid("4c4c4544-0051-3510-8052-b4c04f4a3133"));
        let nothing = [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "03000200-0400-0500-0006-000700080009",
            "00020003-0004-0005-0006-000700080009",
            "not a uuid",
            "",
        ];
        for text in nothing {
            assert_eq!(uuid(text), None, "{text:?}");
        }
    }
}
