//! What an expectation looks for.

use regex_lite::Regex;
use std::fmt;

/// What to look for: a plain text, or a regular expression made by [`re`].
#[derive(Debug, Clone)]
pub enum Pattern {
    /// These very characters.
    Text(String),
    /// A regular expression; `^` and `$` match at lines. One with groups matches only when its line is complete.
    Regex(Regex),
}

/// A regular expression. Panics when it does not compile: that is a mistake in the story itself.
#[expect(
    clippy::panic,
    reason = "a malformed pattern is a bug in the test that wrote it"
)]
pub fn re(pattern: &str) -> Pattern {
    match Regex::new(&format!("(?m){pattern}")) {
        Ok(regex) => Pattern::Regex(regex),
        Err(error) => panic!("pattern {pattern:?}: {error}"),
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Pattern {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Regex(regex) => write!(f, "/{regex}/"),
        }
    }
}

impl Pattern {
    /// Start, end and groups of the first match in `text[from..]`.
    pub(super) fn find(&self, text: &str, from: usize) -> Option<(usize, usize, Vec<String>)> {
        match self {
            Self::Text(wanted) => text[from..]
                .find(wanted)
                .map(|at| (from + at, from + at + wanted.len(), Vec::new())),
            Self::Regex(regex) => {
                let captures = regex.captures(&text[from..])?;
                let (start, end) = captures
                    .get(0)
                    .map(|whole| (from + whole.start(), from + whole.end()))?;
                // a group may still grow while its line is being printed
                if captures.len() > 1 && !text[end..].contains('\n') {
                    return None;
                }
                let group = |index| {
                    captures
                        .get(index)
                        .map_or_else(String::new, |found| found.as_str().to_owned())
                };
                Some((start, end, (1..captures.len()).map(group).collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_expression_gives_its_groups_and_matches_at_lines() {
        let found = re("^up (\\w+) fw=(\\w+)$").find("x\nup a fw=bios\ny", 0);
        assert_eq!(
            found,
            Some((2, 14, vec!["a".to_owned(), "bios".to_owned()]))
        );
    }
}
