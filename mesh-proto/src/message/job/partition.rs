//! Which partition of a disk a job means.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A name in a GUID table has at most so many letters (UEFI 2.10 §5.3.3).
const MAX_NAME: usize = 36;

/// A partition, as people and JSON name it: by the name in its GUID table (`home`), or by its number (`#3`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum PartitionRule {
    /// The one of this name.
    Name(String),
    /// The one of this number, from 1.
    Number(u32),
}

/// A text that names no partition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' names no partition; write its name in the GUID table, or # and its number")]
pub struct BadPartition(String);

impl FromStr for PartitionRule {
    type Err = BadPartition;

    fn from_str(text: &str) -> Result<Self, BadPartition> {
        let bad = || BadPartition(text.chars().filter(|c| !c.is_control()).take(80).collect());
        if let Some(number) = text.strip_prefix('#') {
            let number = number.parse().ok().filter(|n| *n > 0);
            return number.map(Self::Number).ok_or_else(bad);
        }
        let letters = text.encode_utf16().count();
        let plain = !text.chars().any(char::is_control) && text.trim() == text;
        match (1..=MAX_NAME).contains(&letters) && plain {
            true => Ok(Self::Name(text.to_owned())),
            false => Err(bad()),
        }
    }
}

impl fmt::Display for PartitionRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "#{number}"),
        }
    }
}

impl TryFrom<String> for PartitionRule {
    type Error = BadPartition;

    fn try_from(text: String) -> Result<Self, BadPartition> {
        text.parse()
    }
}

impl From<PartitionRule> for String {
    fn from(rule: PartitionRule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_by_its_name_or_its_number() {
        for (text, rule) in [
            ("home", PartitionRule::Name("home".into())),
            ("EFI System", PartitionRule::Name("EFI System".into())),
            ("3", PartitionRule::Name("3".into())),
            ("#3", PartitionRule::Number(3)),
        ] {
            assert_eq!(text.parse(), Ok(rule.clone()), "{text}");
            assert_eq!(rule.to_string(), text);
        }
        for bad in ["", " home", "#", "#0", "#x", "a\nb", &"x".repeat(37)] {
            assert!(bad.parse::<PartitionRule>().is_err(), "{bad:?}");
        }
    }
}
