//! Hex digits, as command lines and messages carry bytes.

/// Exactly `N` bytes from twice as many digits.
#[must_use]
pub fn decode<const N: usize>(digits: &str) -> Option<[u8; N]> {
    if digits.len() != 2 * N || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_right_number_of_digits_is_read() {
        assert_eq!(super::decode("00fF"), Some([0, 255]));
        for bad in ["", "00f", "00fff0", "+0ff", "00é"] {
            assert_eq!(super::decode::<2>(bad), None, "{bad}");
        }
    }
}
