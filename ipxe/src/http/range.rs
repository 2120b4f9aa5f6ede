//! The `Range` header (RFC 9110 §14.2): one byte range; anything else is answered with the whole file.

use std::ops::Range;

/// What part of a file is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: 200.
    Whole,
    /// These bytes: 206.
    Part(Range<u64>),
    /// Outside the file: 416.
    Unsatisfiable,
}

/// Reads a `Range` header for a file of `size` bytes.
#[must_use]
pub fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = header
        .and_then(|h| h.trim().strip_prefix("bytes="))
        .and_then(|r| r.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let range = match (first.trim(), last.trim()) {
        ("", last) => last.parse().map(|n: u64| size.saturating_sub(n)..size).ok(),
        (first, "") => first.parse().map(|a: u64| a..size).ok(),
        (first, last) => first
            .parse()
            .and_then(|a: u64| last.parse().map(|b: u64| (a, b)))
            .ok()
            .filter(|(a, b)| a <= b)
            .map(|(a, b)| a..b.saturating_add(1).min(size)),
    };
    match range {
        None => Wanted::Whole,
        Some(r) if r.start >= r.end => Wanted::Unsatisfiable,
        Some(r) => Wanted::Part(r),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_served_and_nonsense_gets_the_whole_file() {
        for (header, size, expected) in [
            (None, 10, Wanted::Whole),
            (Some("bytes=0-3"), 10, Wanted::Part(0..4)),
            (Some("bytes=4-"), 10, Wanted::Part(4..10)),
            (Some("bytes=-3"), 10, Wanted::Part(7..10)),
            (Some("bytes=-30"), 10, Wanted::Part(0..10)),
            (Some("bytes=5-99"), 10, Wanted::Part(5..10)),
            (
                Some("bytes=0-18446744073709551615"),
                10,
                Wanted::Part(0..10),
            ),
            (Some("bytes=10-"), 10, Wanted::Unsatisfiable),
            (Some("bytes=-0"), 10, Wanted::Unsatisfiable),
            (Some("bytes=5-2"), 10, Wanted::Whole),
            (Some("bytes=0-1,4-5"), 10, Wanted::Whole),
            (Some("lines=1-2"), 10, Wanted::Whole),
        ] {
            assert_eq!(wanted(header, size), expected, "{header:?}");
        }
    }
}
