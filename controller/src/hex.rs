//! Bytes as lower-case hex digits.

use std::fmt::Write as _;

/// The digits of `bytes`.
pub(crate) fn of(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
