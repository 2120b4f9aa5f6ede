//! What a client may ask beside the file (RFC 2347), and what it gets.

use std::time::Duration;

use super::packet::OACK;

/// The block size of RFC 1350, without options, in bytes.
const PLAIN_BLKSIZE: u16 = 512;
/// RFC 2348: the smallest and the largest block size, in bytes.
const BLKSIZE_MIN: u64 = 8;
const BLKSIZE_MAX: u64 = 65_464;
/// Largest window, in blocks: what one segmentation-offload call can carry.
const WINDOW_MAX: u16 = 64;

/// What the server grants at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest block in bytes. Must stay below the path MTU minus 32 (IPv4, UDP and TFTP headers): some ROMs drop
    /// fragments (TRAPS 19).
    pub blksize: u16,
    /// Largest window in blocks, 1 to 64.
    pub windowsize: u16,
    /// First wait for an answer when the client names none.
    pub timeout: Duration,
}

impl Default for Limits {
    /// Blocks of 1468 bytes (Ethernet's 1500), windows of 64 blocks, 1 s.
    fn default() -> Self {
        Self {
            blksize: 1468,
            windowsize: WINDOW_MAX,
            timeout: Duration::from_secs(1),
        }
    }
}

/// The options a client asked, as far as we know them and they make sense; anything else is ignored (RFC 2347).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Block size in bytes, 8 to 65464 (RFC 2348); more is taken as the maximum.
    pub blksize: Option<u16>,
    /// Whether the file's size is asked (RFC 2349).
    pub tsize: bool,
    /// Seconds between retransmissions, 1 to 255 (RFC 2349).
    pub timeout: Option<u8>,
    /// Blocks per acknowledgement, 1 to 65535 (RFC 7440).
    pub windowsize: Option<u16>,
}

impl Options {
    /// Takes one name and value as they came; the first of a kind counts (RFC 2347: "may only be specified once").
    pub(super) fn take(&mut self, name: &[u8], value: &[u8]) {
        let Some(number) = decimal(value) else { return };
        let small = |range: std::ops::RangeInclusive<u64>| range.contains(&number);
        if name.eq_ignore_ascii_case(b"blksize") && self.blksize.is_none() {
            let clamped = u16::try_from(number.min(BLKSIZE_MAX)).ok();
            self.blksize = clamped.filter(|_| number >= BLKSIZE_MIN);
        } else if name.eq_ignore_ascii_case(b"tsize") {
            self.tsize = true;
        } else if name.eq_ignore_ascii_case(b"timeout") && self.timeout.is_none() {
            self.timeout = u8::try_from(number).ok().filter(|_| small(1..=255));
        } else if name.eq_ignore_ascii_case(b"windowsize") && self.windowsize.is_none() {
            self.windowsize = u16::try_from(number).ok().filter(|_| small(1..=65_535));
        }
    }

    /// Whether there is anything to answer by an OACK.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// ASCII digits of sane length; tolerates nothing else.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What both sides go by once the options are settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Bytes per block.
    pub blksize: u16,
    /// Blocks per window.
    pub windowsize: u16,
    /// First wait for an answer.
    pub timeout: Duration,
    /// The packet that grants the options; `None` when none was asked, then the data comes at once. It never names an
    /// option that was not asked: an unasked `tsize` breaks EFI (TRAPS 19).
    pub oack: Option<Vec<u8>>,
}

impl Terms {
    /// Grants what is asked, within the limits, for a file of `size` bytes.
    #[must_use]
    pub fn settle(asked: &Options, size: u64, limits: &Limits) -> Self {
        let blksize = asked.blksize.map(|b| b.min(limits.blksize.max(8)));
        let window_max = limits.windowsize.clamp(1, WINDOW_MAX);
        let windowsize = asked.windowsize.map(|w| w.min(window_max));
        let oack = (!asked.is_empty()).then(|| {
            let mut packet = OACK.to_be_bytes().to_vec();
            grant(&mut packet, "blksize", blksize);
            grant(&mut packet, "tsize", asked.tsize.then_some(size));
            grant(&mut packet, "timeout", asked.timeout);
            grant(&mut packet, "windowsize", windowsize);
            packet
        });
        Self {
            blksize: blksize.unwrap_or(PLAIN_BLKSIZE),
            windowsize: windowsize.unwrap_or(1),
            timeout: asked
                .timeout
                .map_or(limits.timeout, |s| Duration::from_secs(s.into())),
            oack,
        }
    }
}

fn grant(packet: &mut Vec<u8>, name: &str, value: Option<impl ToString>) {
    let Some(value) = value else { return };
    for text in [name, &value.to_string()] {
        packet.extend_from_slice(text.as_bytes());
        packet.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Options {
        let mut options = Options::default();
        for (name, value) in pairs {
            options.take(name.as_bytes(), value.as_bytes());
        }
        options
    }

    fn check(pairs: &[(&str, &str)], oack: Option<&[u8]>, (blksize, windowsize): (u16, u16)) {
        let terms = Terms::settle(&asked(pairs), 70_000, &Limits::default());
        assert_eq!(terms.oack.as_deref(), oack, "{pairs:?}");
        assert_eq!(
            (terms.blksize, terms.windowsize),
            (blksize, windowsize),
            "{pairs:?}"
        );
    }

    #[test]
    fn only_what_was_asked_is_granted() {
        check(&[], None, (512, 1));
        check(&[("tsize", "0")], Some(b"\0\x06tsize\x0070000\0"), (512, 1));
        check(
            &[("BLKSIZE", "1024")],
            Some(b"\0\x06blksize\x001024\0"),
            (1024, 1),
        );
        check(
            &[("timeout", "255")],
            Some(b"\0\x06timeout\x00255\0"),
            (512, 1),
        );
        check(
            &[("WindowSize", "16")],
            Some(b"\0\x06windowsize\x0016\0"),
            (512, 16),
        );
        check(&[("multicast", ""), ("utimeout", "5")], None, (512, 1));
    }

    #[test]
    fn values_are_clamped_or_ignored() {
        check(
            &[("blksize", "65464")],
            Some(b"\0\x06blksize\x001468\0"),
            (1468, 1),
        );
        check(
            &[("blksize", "9999999999")],
            Some(b"\0\x06blksize\x001468\0"),
            (1468, 1),
        );
        check(&[("blksize", "8")], Some(b"\0\x06blksize\x008\0"), (8, 1));
        check(
            &[("windowsize", "65535")],
            Some(b"\0\x06windowsize\x0064\0"),
            (512, 64),
        );
        for bad in [
            ("blksize", "7"),
            ("blksize", "-1"),
            ("blksize", "1k"),
            ("blksize", ""),
            ("timeout", "0"),
            ("timeout", "256"),
            ("windowsize", "0"),
            ("windowsize", "65536"),
            ("tsize", "x"),
            ("tsize", "99999999999999999999"),
        ] {
            check(&[bad], None, (512, 1));
        }
    }

    #[test]
    fn the_first_of_two_equal_options_counts() {
        check(
            &[("blksize", "600"), ("blksize", "700")],
            Some(b"\0\x06blksize\x00600\0"),
            (600, 1),
        );
    }

    #[test]
    fn the_clients_timeout_is_the_wait() {
        let terms = Terms::settle(&asked(&[("timeout", "7")]), 1, &Limits::default());
        assert_eq!(terms.timeout, Duration::from_secs(7));
    }
}
