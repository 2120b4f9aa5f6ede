//! Labels: what a person writes on machines to name many of them at once. A pool is a label.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::name::BadPlainName;
pub use super::name::LabelText;

/// Labels one machine may have: enough for every scheme we have seen, small enough to copy with the machine.
pub const MAX_LABELS: usize = 32;
/// Conditions of one selector.
const MAX_TERMS: usize = 16;

/// A machine's labels: `pool=web, rack=r1`.
pub type Labels = BTreeMap<LabelText, LabelText>;

/// One condition of a selector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    /// `pool=web`.
    Is(LabelText, LabelText),
    /// `pool!=web`; also when there is no such label.
    IsNot(LabelText, LabelText),
    /// `pool`.
    Has(LabelText),
    /// `!pool`.
    HasNot(LabelText),
}

/// Which machines are meant: every condition holds. `pool=web,rack!=r1,!spare`. There is no selector that means all by
/// having no condition: that would be too easy to type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Selector(Vec<Term>);

/// Why a text is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no label selector; write conditions with commas between them, such as `pool=web,rack!=r1,spare,!broken`"
)]
pub struct BadSelector(String);

impl Selector {
    /// Whether a machine with these labels is meant.
    #[must_use]
    pub fn fits(&self, labels: &Labels) -> bool {
        self.0.iter().all(|term| match term {
            Term::Is(name, value) => labels.get(name) == Some(value),
            Term::IsNot(name, value) => labels.get(name) != Some(value),
            Term::Has(name) => labels.contains_key(name),
            Term::HasNot(name) => !labels.contains_key(name),
        })
    }
}

impl Selector {
    /// What both mean; a condition that both have stands once.
    ///
    /// # Errors
    /// When together they have too many conditions.
    pub fn and(mut self, other: &Self) -> Result<Self, BadSelector> {
        for term in &other.0 {
            if !self.0.contains(term) {
                self.0.push(term.clone());
            }
        }
        // It has to read back.
        self.to_string().parse()
    }
}

impl FromStr for Term {
    type Err = BadPlainName;

    fn from_str(text: &str) -> Result<Self, BadPlainName> {
        if let Some((name, value)) = text.split_once("!=") {
            return Ok(Self::IsNot(name.trim().parse()?, value.trim().parse()?));
        }
        if let Some((name, value)) = text.split_once('=') {
            return Ok(Self::Is(name.trim().parse()?, value.trim().parse()?));
        }
        match text.strip_prefix('!') {
            Some(name) => Ok(Self::HasNot(name.trim().parse()?)),
            None => Ok(Self::Has(text.parse()?)),
        }
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(name, value) => write!(f, "{name}={value}"),
            Self::IsNot(name, value) => write!(f, "{name}!={value}"),
            Self::Has(name) => write!(f, "{name}"),
            Self::HasNot(name) => write!(f, "!{name}"),
        }
    }
}

impl FromStr for Selector {
    type Err = BadSelector;

    fn from_str(text: &str) -> Result<Self, BadSelector> {
        let bad = || BadSelector(text.chars().take(80).collect());
        let terms: Result<Vec<Term>, _> = text.split(',').map(|t| t.trim().parse()).collect();
        match terms {
            Ok(terms) if terms.len() <= MAX_TERMS => Ok(Self(terms)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, term) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{term}")?;
        }
        Ok(())
    }
}

crate::state::name::as_text! { Selector: BadSelector }

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let text = |t: &str| t.parse().unwrap();
        pairs.iter().map(|(n, v)| (text(n), text(v))).collect()
    }

    #[test]
    fn a_selector_means_machines_whose_labels_fit_every_condition() {
        let web = labels(&[("pool", "web"), ("rack", "r1")]);
        for (selector, fits) in [
            ("pool=web", true),
            ("pool=web,rack=r1", true),
            ("pool=web, rack!=r1", false),
            ("pool=db", false),
            ("pool", true),
            ("!pool", false),
            ("!spare,pool", true),
            ("spare!=yes", true),
        ] {
            let parsed: Selector = selector.parse().unwrap();
            assert_eq!(parsed.fits(&web), fits, "{selector}");
            let again: Selector = parsed.to_string().parse().unwrap();
            assert_eq!(again, parsed, "{selector}");
        }
    }

    #[test]
    fn two_selectors_together_mean_what_both_mean() {
        let both = |one: &str, other: &str| {
            let other = other.parse().unwrap();
            one.parse::<Selector>().unwrap().and(&other)
        };
        let text = |both: Result<Selector, BadSelector>| both.unwrap().to_string();
        assert_eq!(text(both("rack=r1", "pool=web")), "rack=r1,pool=web");
        assert_eq!(text(both("pool=web", "pool=web")), "pool=web");
        // Of one machine no label has two values: it means none.
        let none = both("pool=db", "pool=web").unwrap();
        assert!(!none.fits(&labels(&[("pool", "web")])));
        let many = |letter: &str| {
            let terms = (0..MAX_TERMS).map(|n| format!("{letter}{n}"));
            terms.collect::<Vec<_>>().join(",")
        };
        assert!(both(&many("a"), &many("b")).is_err());
    }

    #[test]
    fn nothing_and_nonsense_are_no_selectors() {
        for text in [
            "",
            ",",
            "pool=",
            "=web",
            "pool=a b",
            "pool==web",
            "a,,b",
            "!",
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
