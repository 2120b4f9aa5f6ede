//! Bytes as lower-case hex digits.

use std::fmt::Write as _;

/// The digits of `bytes`.
pub(crate) fn of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Whether a text is that many lower-case hex digits.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == digits && text.bytes().all(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_hex_and_nothing_else_is() {
        assert_eq!(of(&[0, 0x1f, 0xff]), "001fff");
        assert!(is_hex(&of(&[0xab; 4]), 8));
        for other in ["001fff", "001FFFFF", "001fffg0", "", "001ffff\u{fffd}"] {
            assert!(!is_hex(other, 8), "{other}");
        }
    }
}
