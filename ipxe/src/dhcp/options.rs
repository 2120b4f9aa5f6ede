//! The option area, read leniently: no option's content is judged here, so one odd value never hides the others.

use std::{collections::BTreeMap, net::Ipv4Addr};

use super::{DhcpError, code};

/// Raw option contents by code; an option that appears several times is joined in order (RFC 3396 §5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options(BTreeMap<u8, Vec<u8>>);

impl Options {
    /// Reads the option area, then `file` and `sname` when option 52 says that they hold options (RFC 2132 §9.3).
    ///
    /// # Errors
    /// [`DhcpError::Truncated`] when an option is longer than its area. A missing END is tolerated.
    pub fn scan(area: &[u8], file: &[u8], sname: &[u8]) -> Result<Self, DhcpError> {
        let mut options = Self::default();
        options.add(area)?;
        let overload = options.byte(code::OVERLOAD).unwrap_or(0);
        if overload & 1 != 0 {
            options.add(file)?;
        }
        if overload & 2 != 0 {
            options.add(sname)?;
        }
        Ok(options)
    }

    fn add(&mut self, mut area: &[u8]) -> Result<(), DhcpError> {
        while let [code, rest @ ..] = area {
            match *code {
                code::END => return Ok(()),
                code::PAD => area = rest,
                code => {
                    let [len, rest @ ..] = rest else {
                        return Err(DhcpError::Truncated(code));
                    };
                    let (value, rest) = rest
                        .split_at_checked(usize::from(*len))
                        .ok_or(DhcpError::Truncated(code))?;
                    self.0.entry(code).or_default().extend_from_slice(value);
                    area = rest;
                }
            }
        }
        Ok(())
    }

    /// The content of an option; an empty one is there, too.
    #[must_use]
    pub fn raw(&self, code: u8) -> Option<&[u8]> {
        self.0.get(&code).map(Vec::as_slice)
    }

    /// All of them, by rising code.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        self.0.iter().map(|(code, value)| (*code, value.as_slice()))
    }

    /// The first octet of an option.
    #[must_use]
    pub fn byte(&self, code: u8) -> Option<u8> {
        self.raw(code)?.first().copied()
    }

    /// The first 16-bit number of an option.
    #[must_use]
    pub fn number16(&self, code: u8) -> Option<u16> {
        let [high, low, ..] = self.raw(code)? else {
            return None;
        };
        Some(u16::from_be_bytes([*high, *low]))
    }

    /// An option of exactly one address that is not zero.
    #[must_use]
    pub fn address(&self, code: u8) -> Option<Ipv4Addr> {
        address(self.raw(code)?)
    }

    /// An option as text: Latin-1, trailing zeros cut (some clients count them in).
    #[must_use]
    pub fn text(&self, code: u8) -> Option<String> {
        let raw = self.raw(code)?;
        let end = raw.iter().rposition(|b| *b != 0).map_or(0, |i| i + 1);
        Some(raw[..end].iter().copied().map(char::from).collect())
    }

    /// The content of a sub-option in the encapsulated option `outer` (175 and 82 have this form).
    #[must_use]
    pub fn sub(&self, outer: u8, inner: u8) -> Option<&[u8]> {
        let mut area = self.raw(outer)?;
        while let [code, len, rest @ ..] = area {
            let (value, rest) = rest.split_at_checked(usize::from(*len))?;
            if *code == inner {
                return Some(value);
            }
            area = rest;
        }
        None
    }
}

/// Four octets that are an address, and not `0.0.0.0`.
pub(super) fn address(octets: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = octets.try_into().ok()?;
    (octets != [0; 4]).then(|| Ipv4Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_options_are_joined_and_overloaded_fields_read() {
        let area = [43, 1, 7, 52, 1, 3, 43, 2, 8, 9, 255];
        let options = Options::scan(&area, &[43, 1, 10, 255], &[12, 1, b'x', 0, 0]).unwrap();
        assert_eq!(options.raw(43), Some(&[7, 8, 9, 10][..]));
        assert_eq!(options.text(12).as_deref(), Some("x"));
    }

    #[test]
    fn a_latin1_name_hides_nothing_behind_it() {
        let area = [12, 2, b'M', 0xfc, 60, 1, b'P'];
        let options = Options::scan(&area, &[], &[]).unwrap();
        assert_eq!(options.text(12).as_deref(), Some("Mü"));
        assert_eq!(options.text(60).as_deref(), Some("P"));
    }

    #[test]
    fn a_cut_option_is_named() {
        assert_eq!(
            Options::scan(&[53, 1, 1, 93, 4, 0], &[], &[]),
            Err(DhcpError::Truncated(93))
        );
        assert_eq!(
            Options::scan(&[53], &[], &[]),
            Err(DhcpError::Truncated(53))
        );
    }

    #[test]
    fn sub_options_are_found_and_broken_ones_ignored() {
        let options = Options::scan(&[175, 5, 1, 0, 177, 1, 3, 82, 2, 5, 9], &[], &[]).unwrap();
        assert_eq!(options.sub(175, 177), Some(&[3][..]));
        assert_eq!(options.sub(82, 5), None);
    }
}
