//! Ethernet addresses: every spelling in, one out.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A 48-bit Ethernet address; prints as `52:54:00:77:00:01`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);

/// A text that is no Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a MAC address; write it like 52:54:00:77:00:01")]
pub struct ParseMacError(String);

impl MacAddr {
    /// The form iPXE's `:hexhyp` writes: `52-54-00-77-00-01`.
    #[must_use]
    pub fn hyphens(self) -> String {
        self.to_string().replace(':', "-")
    }

    /// As a number, which sorts as the octets do and is compared without a call.
    fn number(self) -> u64 {
        let [a, b, c, d, e, g] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, g])
    }

    /// Whether one station can own this address: not zero, not a group or broadcast address.
    #[must_use]
    pub fn is_station(self) -> bool {
        self.0 != [0; 6] && self.0[0] & 1 == 0
    }
}

impl Ord for MacAddr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

impl PartialOrd for MacAddr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b':'; 17];
        for (octet, place) in self.0.iter().zip(text.chunks_mut(3)) {
            place[0] = DIGITS[usize::from(octet >> 4)];
            place[1] = DIGITS[usize::from(octet & 15)];
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = ParseMacError;

    /// Accepts colons, hyphens, Cisco dots (`5254.0077.0001`), bare digits, any case.
    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        parse(text).ok_or_else(|| ParseMacError(text.chars().take(40).collect()))
    }
}

fn parse(text: &str) -> Option<MacAddr> {
    let group = match text.len() {
        12 => 12,
        14 => 4,
        17 => 2,
        _ => return None,
    };
    let separator = text.chars().find(|c| !c.is_ascii_hexdigit());
    let digits: Vec<u8> = match separator {
        None if group == 12 => text.bytes().collect(),
        Some('.') if group == 4 => joined(text, '.', 4)?,
        Some(s @ (':' | '-')) if group == 2 => joined(text, s, 2)?,
        _ => return None,
    };
    let mut octets = [0; 6];
    for (octet, pair) in octets.iter_mut().zip(digits.chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *octet = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(MacAddr(octets))
}

/// The digits of `text`, whose groups of `len` stand between `separator`s.
fn joined(text: &str, separator: char, len: usize) -> Option<Vec<u8>> {
    let groups: Vec<&str> = text.split(separator).collect();
    let regular = groups
        .iter()
        .all(|g| g.len() == len && g.bytes().all(|b| b.is_ascii_hexdigit()));
    (regular && groups.len() * len == 12).then(|| groups.concat().into_bytes())
}

impl TryFrom<String> for MacAddr {
    type Error = ParseMacError;

    fn try_from(text: String) -> Result<Self, ParseMacError> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_means_the_same_station() {
        for text in [
            "52:54:00:AB:00:01",
            "52-54-00-ab-00-01",
            "5254.00ab.0001",
            "525400AB0001",
        ] {
            assert_eq!(
                text.parse(),
                Ok(MacAddr([0x52, 0x54, 0, 0xab, 0, 1])),
                "{text}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn stations_sort_as_their_octets_do_and_print_in_lower_case_with_colons(a: [u8; 6], b: [u8; 6]) {
            let (one, other) = (MacAddr(a), MacAddr(b));
            proptest::prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            let [b0, b1, b2, b3, b4, b5] = a;
            let text = format!("{b0:02x}:{b1:02x}:{b2:02x}:{b3:02x}:{b4:02x}:{b5:02x}");
            proptest::prop_assert_eq!(one.to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "52:54:00:ab:00",
            "52:54:00:ab:00:0g",
            "52:54-00:ab:00:01",
            "5254:00ab:0001",
            "+2:54:00:ab:00:01",
            "5254..00ab.001",
            "é2540ab0001",
        ] {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }
}
