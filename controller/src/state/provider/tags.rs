//! A member's tags, and which of them describe its machine.

use std::collections::BTreeMap;

use ipxe::MacAddr;
use serde::{Deserialize, Serialize};

use crate::{ordered::Gather as _, state::matching::Identity};

/// Tags kept of one member: as many pairs as Consul allows.
const MAX_TAGS: usize = 64;
/// Longest name of a tag, bytes: Consul's bound.
const MAX_NAME: usize = 128;
/// Longest value, bytes: Consul's bound, and what Serf allows for all tags together.
const MAX_VALUE: usize = 512;
/// Network cards believed of one member.
const MAX_CARDS: usize = 8;

/// Names and values, bounded and without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Of what a provider sent. What is too long, or would play with a person's terminal, is left out.
    #[must_use]
    pub fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let fits = |(name, value): &(String, String)| {
            (1..=MAX_NAME).contains(&name.len())
                && value.len() <= MAX_VALUE
                && !name.contains(char::is_control)
                && !value.contains(char::is_control)
        };
        Self(pairs.into_iter().filter(fits).take(MAX_TAGS).gather())
    }

    /// The tags, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.0.iter();
        pairs.map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim())
    }

    /// `uuid`: the machine's SMBIOS uuid.
    #[must_use]
    pub fn uuid(&self) -> Option<&str> {
        self.value("uuid")
    }

    /// `serial`: the machine's SMBIOS serial number.
    #[must_use]
    pub fn serial(&self) -> Option<&str> {
        self.value("serial")
    }

    /// What they say of the machine: `mac` (one address or several, with commas or spaces between), `uuid`, `serial`.
    #[must_use]
    pub fn identity(&self) -> Identity {
        let words = self.value("mac").unwrap_or_default();
        let macs = words
            .split([',', ' '])
            .filter_map(|word| word.parse().ok())
            .filter(|mac: &MacAddr| mac.is_station())
            .take(MAX_CARDS);
        Identity::of_words(macs, self.uuid(), self.serial())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        Tags::of(
            pairs
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
        )
    }

    #[test]
    fn mac_uuid_and_serial_describe_the_machine_and_nothing_else_does() {
        let identity = tags(&[
            (
                "mac",
                "52:54:00:00:00:01, 5254.0000.0002 01:00:5e:00:00:01 x",
            ),
            ("uuid", "4C4C4544-0051-3510-8052-B4C04F4A3132"),
            ("serial", " lab-0042 "),
            ("board", "B-1234567"),
            ("role", "web"),
        ])
        .identity();
        let macs: Vec<_> = identity.macs.iter().map(ToString::to_string).collect();
        assert_eq!(macs, ["52:54:00:00:00:01", "52:54:00:00:00:02"]);
        assert!(identity.uuid.is_some());
        assert_eq!(identity.serial.as_deref(), Some("LAB-0042"));
        assert_eq!((identity.board, identity.disks.len()), (None, 0));
    }

    #[test]
    fn what_says_nothing_is_no_identity() {
        let nothing = tags(&[
            ("mac", "00:00:00:00:00:00"),
            ("uuid", "00000000-0000-0000-0000-000000000000"),
            ("serial", "To be filled by O.E.M."),
        ]);
        assert_eq!(nothing.identity(), Identity::default());
    }

    #[test]
    fn a_strangers_tags_are_bounded() {
        let many = (0..1000).map(|n| (format!("t{n}"), "v".to_owned()));
        assert_eq!(Tags::of(many).iter().count(), MAX_TAGS);
        let bad = [
            ("a", "x\u{1b}[2J".to_owned()),
            ("b\n", "x".to_owned()),
            ("c", "x".repeat(513)),
            ("", "x".to_owned()),
        ];
        let bad = bad.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(Tags::of(bad), Tags::default());
        let cards: String = (0..100)
            .map(|n| format!("02:00:00:00:00:{n:02x},"))
            .collect();
        assert_eq!(
            tags(&[("mac", &cards[..500])]).identity().macs.len(),
            MAX_CARDS
        );
    }
}
