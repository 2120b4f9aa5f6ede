//! Percent-encoding (RFC 3986 §2.1), which forms take too.

use std::fmt::Write as _;

/// `text` as one part of a path, a query or a form.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Names and values as a query or a form.
pub(crate) fn pairs(pairs: &[(&str, &str)]) -> String {
    let pair = |(name, value): &(&str, &str)| format!("{}={}", encode(name), encode(value));
    pairs.iter().map(pair).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_separates_parts_stays_within_its_own() {
        let written = pairs(&[("scope", "openid e-mail"), ("a&b", "c=d#/ü")]);
        assert_eq!(written, "scope=openid%20e-mail&a%26b=c%3Dd%23%2F%C3%BC");
    }
}
