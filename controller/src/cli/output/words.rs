//! Values as people say them.

use crate::state::Timestamp;

/// A text that may come from a stranger (a host name, an SMBIOS serial) must not steer the terminal.
pub(in crate::cli) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A missing value.
pub(in crate::cli) fn dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

/// How long before (or after) `now`: `3m ago`, `in 2h`.
pub(in crate::cli) fn ago(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(then).as_secs();
    let span = match seconds.unsigned_abs() {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3600 => format!("{}m", s / 60),
        s @ 3600..172_800 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    };
    if seconds < 0 {
        format!("in {span}")
    } else {
        format!("{span} ago")
    }
}

/// A moment in full: `2026-01-02 03:04:05Z`.
pub(in crate::cli) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A moment in full, and how long ago that was.
pub(in crate::cli) fn when(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", moment(at), ago(at, now))
}

/// A length in bytes as people say it: `8.2 MiB`.
#[expect(
    clippy::cast_precision_loss,
    reason = "two digits are shown, and lengths stay below 2^53"
)]
pub(in crate::cli) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_people_do() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let told = |s: i64| ago(Timestamp::from_second(1_000_000 - s).unwrap(), now);
        for (seconds, words) in [
            (0, "0s ago"),
            (59, "59s ago"),
            (180, "3m ago"),
            (7200, "2h ago"),
            (172_800, "2d ago"),
            (-90, "in 1m"),
        ] {
            assert_eq!(told(seconds), words);
        }
        assert_eq!(moment(now), "1970-01-12 13:46:40Z");
    }

    #[test]
    fn lengths_are_told_as_people_do() {
        assert_eq!(
            [size(0), size(1023), size(1536), size(5 << 30)],
            ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
        );
    }
}
