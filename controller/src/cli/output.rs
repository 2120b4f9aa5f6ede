//! How data looks: tables for people, JSON, YAML or names for programs. Every list and every `show` prints through here.

mod list;
mod words;
mod yaml;

use std::{collections::BTreeMap, fmt::Write as _};

use clap::{Args, ValueEnum};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub(super) use self::{
    list::{Column, Columns, Listing},
    words::{ago, clean, dash, moment, size, when},
};
use super::{Session, client::read, failure::Failure};
use crate::state::Timestamp;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Aligned columns.
    Table,
    /// The table with more columns, where there are more.
    Wide,
    /// The API's JSON.
    Json,
    /// The same as YAML.
    Yaml,
    /// Names only, one a line, as other commands take them.
    Name,
}

/// `-o`, for every list and show.
#[derive(Debug, Args)]
pub struct Output {
    /// How to print
    #[arg(short = 'o', long = "output", value_enum, default_value = "table")]
    pub(super) format: Format,
}

impl Output {
    /// Whether a person reads it.
    pub(super) fn is_words(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }
}

/// A line of what `show` prints: what it is, and its value.
pub(super) type Line = (&'static str, String);

/// What names a thing, the first that it has: what other commands take for it.
const NAMES: [&str; 7] = ["name", "id", "site", "sha256", "mac", "seq", "code"];

impl Session<'_> {
    /// Prints a list: as it is, or as a table of what `row` makes of each entry.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers were just given it, and have no use for it afterwards"
    )]
    pub(super) fn list<T: DeserializeOwned + 'static, const N: usize>(
        &mut self,
        output: &Output,
        items: Vec<Value>,
        headers: [&'static str; N],
        row: fn(&T, Timestamp) -> [String; N],
    ) -> Result<(), Failure> {
        let columns = Columns::new(headers, row);
        self.rows(output, &items, &columns)
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
        if self.printed(output, &value)? {
            return Ok(());
        }
        let lines = lines(&read(&value)?, self.now);
        let rows: Vec<[String; 2]> = lines
            .into_iter()
            .map(|(name, text)| [name.to_owned(), text])
            .collect();
        self.text(&table(&rows))
    }

    /// Prints `value` as programs want it; false when a person is to read words, which are the caller's.
    pub(super) fn printed<T: Serialize>(
        &mut self,
        output: &Output,
        value: &T,
    ) -> Result<bool, Failure> {
        if output.is_words() {
            return Ok(false);
        }
        let value = serde_json::to_value(value).map_err(|e| Failure::Answer(e.to_string()))?;
        let text = match output.format {
            Format::Yaml => yaml::text(&value),
            Format::Name => names(&value)?,
            Format::Json | Format::Table | Format::Wide => pretty(&value)?,
        };
        self.text(&text)?;
        Ok(true)
    }

    /// Prints one thing of a live view, which programs read piece by piece: JSON on one line, a document of YAML, a name.
    /// False when a person is to read words.
    pub(super) fn streamed<T: Serialize>(
        &mut self,
        output: &Output,
        value: &T,
    ) -> Result<bool, Failure> {
        let value = serde_json::to_value(value).map_err(|e| Failure::Answer(e.to_string()))?;
        let text = match output.format {
            Format::Table | Format::Wide => return Ok(false),
            Format::Json => format!("{value}\n"),
            Format::Yaml => format!("---\n{}", yaml::text(&value)),
            Format::Name => names(&value)?,
        };
        self.text(&text)?;
        Ok(true)
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes())?;
        Ok(self.out.flush()?)
    }
}

fn pretty(value: &Value) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Failure::Answer(e.to_string()))?;
    Ok(text + "\n")
}

/// The names of these things, one a line.
fn names(value: &Value) -> Result<String, Failure> {
    let one = std::slice::from_ref(value);
    let all = value.as_array().map_or(one, Vec::as_slice);
    let named = all.iter().map(|item| {
        let nameless =
            || Failure::Usage("this has no name to print; give -o json or -o yaml".to_owned());
        Ok(clean(&name(item).ok_or_else(nameless)?) + "\n")
    });
    named.collect()
}

/// What names this thing, or the thing in it: what was just made comes with its secret beside it.
fn name(item: &Value) -> Option<String> {
    let own = NAMES.iter().find_map(|key| match item.get(key)? {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    });
    let inner = || {
        item.as_object()?
            .values()
            .filter(|v| v.is_object())
            .find_map(name)
    };
    own.or_else(inner)
}

/// Labels or tags as one text: `pool=web rack=r1`.
pub(super) fn pairs(pairs: &BTreeMap<String, String>) -> Option<String> {
    let all: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// Rows as aligned columns, two blanks between them.
pub(super) fn table<R: AsRef<[String]>>(rows: &[R]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|r| r.as_ref().iter().map(|c| clean(c)).collect())
        .collect();
    let widths = widths(&rows, &[]);
    rows.iter().map(|row| line(row, &widths)).collect()
}

/// How wide each column has to be for these rows, and not narrower than it was.
fn widths(rows: &[Vec<String>], before: &[usize]) -> Vec<usize> {
    let mut widths = before.to_vec();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    widths
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, width) in row.iter().zip(widths) {
        let _ = write!(line, "{cell:width$}  ");
    }
    line.truncate(line.trim_end().len());
    line + "\n"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let named = names(&json!({"name": "a\nb"})).unwrap();
        assert_eq!(named, "a\u{fffd}b\n", "one name is one line");
    }

    #[test]
    fn a_thing_is_named_as_other_commands_take_it() {
        for (thing, named) in [
            (
                json!([{"id": "0b4f", "name": "web1"}, {"id": 7, "machine_name": "web1"}]),
                "web1\n7\n",
            ),
            (json!({"site": "hq", "names": 3}), "hq\n"),
            (json!({"secret": "s", "webhook": {"name": "ci"}}), "ci\n"),
            (json!([]), ""),
        ] {
            assert_eq!(names(&thing).unwrap(), named);
        }
        assert!(names(&json!({"stored_bytes": 1})).is_err());
    }
}
