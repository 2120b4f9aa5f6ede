//! How data looks: tables for people, JSON for programs.

use std::fmt::Write as _;

use clap::{Args, ValueEnum};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Session, client::read, failure::Failure};
use crate::state::Timestamp;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns.
    Table,
    /// The API's JSON.
    Json,
}

/// `-o`, for every list and show.
#[derive(Debug, Args)]
pub struct Output {
    /// How to print
    #[arg(short = 'o', long = "output", value_enum, default_value = "table")]
    pub(super) format: Format,
}

/// A line of what `show` prints: what it is, and its value.
pub(super) type Line = (&'static str, String);

impl Session<'_> {
    /// Prints a list: as it is, or as a table of what `row` makes of each entry.
    pub(super) fn list<T: DeserializeOwned, const N: usize>(
        &mut self,
        output: &Output,
        items: Vec<Value>,
        headers: [&str; N],
        row: impl Fn(&T, Timestamp) -> [String; N],
    ) -> Result<(), Failure> {
        if output.format == Format::Json {
            return self.json(&items);
        }
        let mut rows = vec![headers.map(str::to_owned)];
        for item in items {
            rows.push(row(&read(&item)?, self.now));
        }
        self.text(&table(&rows))
    }

    /// Prints one thing: as it is, or as the lines that `lines` makes of it.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers were just given it, and have no use for it afterwards"
    )]
    pub(super) fn show<T: DeserializeOwned>(
        &mut self,
        output: &Output,
        value: Value,
        lines: impl Fn(&T, Timestamp) -> Vec<Line>,
    ) -> Result<(), Failure> {
        if output.format == Format::Json {
            return self.json(&value);
        }
        let lines = lines(&read(&value)?, self.now);
        let rows: Vec<[String; 2]> = lines
            .into_iter()
            .map(|(name, text)| [name.to_owned(), text])
            .collect();
        self.text(&table(&rows))
    }

    pub(super) fn json<T: Serialize>(&mut self, value: &T) -> Result<(), Failure> {
        let text =
            serde_json::to_string_pretty(value).map_err(|e| Failure::Answer(e.to_string()))?;
        self.text(&format!("{text}\n"))
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }
}

/// Rows as aligned columns, two blanks between them.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|r| r.clone().map(|c| clean(&c))).collect();
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// A text that may come from a stranger (a host name, an SMBIOS serial) must not steer the terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// A missing value.
pub(super) fn dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

/// How long before (or after) `now`: `3m ago`, `in 2h`.
pub(super) fn ago(then: Timestamp, now: Timestamp) -> String {
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
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A moment in full, and how long ago that was.
pub(super) fn when(at: Timestamp, now: Timestamp) -> String {
    format!("{} ({})", moment(at), ago(at, now))
}

/// A length in bytes as people say it: `8.2 MiB`.
#[expect(
    clippy::cast_precision_loss,
    reason = "two digits are shown, and lengths stay below 2^53"
)]
pub(super) fn size(bytes: u64) -> String {
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

    fn row(a: &str, b: &str) -> [String; 2] {
        [a.to_owned(), b.to_owned()]
    }

    #[test]
    fn columns_are_aligned_also_with_wide_letters() {
        let text = table(&[row("NAME", "MAC"), row("wébserver", "x"), row("a", "")]);
        assert_eq!(text, "NAME       MAC\nwébserver  x\na\n");
    }

    #[test]
    fn a_strangers_text_cannot_steer_the_terminal() {
        let text = table(&[row("\u{1b}[2Jx", "a\nb")]);
        assert_eq!(text, "\u{fffd}[2Jx  a\u{fffd}b\n");
    }

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
