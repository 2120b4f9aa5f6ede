//! What a person sends along when they ask for help: one archive that tells how a controller and its host are, and holds no
//! secret. It has none by the way it is made: each part is written from a type whose fields are named one by one, so what nobody
//! thought of stays out. Texts that a person, a machine or another program wrote are never among those fields.

mod host;
pub mod journal;
pub mod rows;
mod settings;
mod state;

use std::{
    io::{BufWriter, Write as _},
    path::Path,
};

use serde::Serialize;

pub use self::{host::host, settings::settings, state::state};
use crate::{
    archive::Writer,
    backup::{BackupError, Draft},
    doctor::Finding,
    state::Timestamp,
    store::SCHEMA,
};

/// What a part may have, bytes: a thousand machines with all that is told of them are a tenth of it.
const PART_BYTES: usize = 4 << 20;
/// zstd's: twice as small as its default for texts that repeat themselves, and still a moment on a Pi.
const LEVEL: i32 = 9;
/// The version of the archive's layout.
const LAYOUT: u32 = 1;
/// The first part: what the others are.
const ABOUT: &str = "about.json";
/// What is said of the texts that are left out.
const NEVER: &str = "Keys, passwords, tokens and their sums, answer files, command lines, scripts, labels, notes, reasons and what machines logged are never in it; lines of a machine's log only when --logs named the machine. Of the controller's own log there are its own sentences, names and addresses.";

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name in the archive.
    pub name: String,
    /// What it tells.
    pub what: &'static str,
    /// Its bytes, [`PART_BYTES`] at most.
    pub bytes: Vec<u8>,
}

/// What could not be told, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The part's name.
    pub name: String,
    /// Why it is not there.
    pub why: String,
}

/// Everything that goes into one archive.
#[derive(Debug, Default)]
pub struct Bundle {
    parts: Vec<Part>,
    missing: Vec<Missing>,
}

/// What every archive begins with.
#[derive(Debug, Serialize)]
struct About<'a> {
    layout: u32,
    program: &'static str,
    /// The layout of databases that this program writes.
    schema: u32,
    made: Timestamp,
    never: &'static str,
    parts: Vec<Told<'a>>,
    missing: &'a [Missing],
}

#[derive(Debug, Serialize)]
struct Told<'a> {
    name: &'a str,
    bytes: usize,
    what: &'static str,
}

impl Bundle {
    /// Adds one document.
    pub fn document(&mut self, name: &str, what: &'static str, document: &impl Serialize) {
        match serde_json::to_vec_pretty(document) {
            Ok(bytes) if bytes.len() <= PART_BYTES => self.add(name, what, bytes),
            Ok(_) => self.lacks(name, "it is too large"),
            Err(_) => self.lacks(name, "it cannot be written as JSON"),
        }
    }

    /// Adds rows, the newest last; the oldest make room when they are too many. `before` were left out already.
    pub fn rows<T: Serialize>(
        &mut self,
        name: &str,
        what: &'static str,
        rows: &[T],
        before: usize,
    ) {
        let mut bytes = 0;
        let written = rows.iter().rev().map_while(|row| {
            let text = serde_json::to_string(row).ok()?;
            bytes += text.len() + 2;
            (bytes < PART_BYTES).then_some(text)
        });
        let mut lines: Vec<String> = written.collect();
        lines.reverse();
        let left_out = before + rows.len() - lines.len();
        let text = format!(
            "{{\"left_out\": {left_out}, \"rows\": [\n{}\n]}}\n",
            lines.join(",\n")
        );
        self.add(name, what, text.into_bytes());
    }

    /// Adds a text, of which the end is cut when it is too long.
    pub fn text(&mut self, name: &str, what: &'static str, mut text: String) {
        let mut end = text.len().min(PART_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        self.add(name, what, text.into_bytes());
    }

    /// Says that a part could not be had.
    pub fn lacks(&mut self, name: &str, why: &str) {
        let (name, why) = (name.to_owned(), why.to_owned());
        self.missing.push(Missing { name, why });
    }

    fn add(&mut self, name: &str, what: &'static str, bytes: Vec<u8>) {
        let name = name.to_owned();
        self.parts.push(Part { name, what, bytes });
    }

    /// All parts, the one that tells of the others first.
    #[must_use]
    pub fn finish(self, now: Timestamp) -> Vec<Part> {
        let told = self.parts.iter().map(|part| Told {
            name: &part.name,
            bytes: part.bytes.len(),
            what: part.what,
        });
        let about = About {
            layout: LAYOUT,
            program: env!("CARGO_PKG_VERSION"),
            schema: SCHEMA,
            made: now,
            never: NEVER,
            parts: told.collect(),
            missing: &self.missing,
        };
        let about = Part {
            name: ABOUT.to_owned(),
            what: "the program's version, what is in this archive and what is not",
            bytes: serde_json::to_vec_pretty(&about).unwrap_or_default(),
        };
        std::iter::once(about).chain(self.parts).collect()
    }
}

/// What the doctor found, without what mistakes in the configuration repeat of it.
#[must_use]
pub fn findings(found: Vec<Finding>) -> Vec<Finding> {
    let hidden = |mut finding: Finding| {
        if finding.code == "config-invalid" {
            finding.found =
                "the configuration has mistakes; config.json names the settings".to_owned();
        }
        finding
    };
    found.into_iter().map(hidden).collect()
}

/// Writes the parts to a new file, readable for its owner only.
///
/// # Errors
/// When there is a file already, or it cannot be written; then there is none.
pub fn write(target: &Path, parts: &[Part]) -> Result<u64, BackupError> {
    let mut draft = Draft::new(target)?;
    let place = draft.path().to_owned();
    let io = |e| BackupError::Io {
        path: place.clone(),
        source: e,
    };
    let packed = zstd::Encoder::new(BufWriter::new(draft.file()), LEVEL).map_err(io)?;
    let mut writer = Writer::new(packed);
    for part in parts {
        let added = writer.add_bytes(&part.name, &part.bytes, &mut |_| {});
        added.map_err(|e| io(std::io::Error::other(e)))?;
    }
    let packed = writer.finish().map_err(|e| io(std::io::Error::other(e)))?;
    packed
        .finish()
        .and_then(|mut out| out.flush())
        .map_err(io)?;
    let size = draft.file().metadata().map_err(io)?.len();
    draft.finish()?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_loses_its_oldest_rows_and_says_how_many() {
        let mut bundle = Bundle::default();
        let rows: Vec<String> = (0..5000)
            .map(|n| format!("{n} {}", "x".repeat(1000)))
            .collect();
        bundle.rows("rows.json", "rows", &rows, 7);
        bundle.text("long.txt", "a text", "ä".repeat(PART_BYTES));
        bundle.document("large.json", "too large", &rows);
        let parts = bundle.finish(Timestamp::UNIX_EPOCH);
        assert!(parts.iter().all(|part| part.bytes.len() <= PART_BYTES));
        let read = |part: &Part| serde_json::from_slice::<serde_json::Value>(&part.bytes).unwrap();
        let told = read(&parts[1]);
        let kept = told["rows"].as_array().unwrap();
        assert!(kept.last().unwrap().as_str().unwrap().starts_with("4999 "));
        assert_eq!(told["left_out"], 5000 + 7 - kept.len());
        let about = read(&parts[0]);
        assert_eq!(about["missing"][0]["name"], "large.json");
        assert_eq!(about["parts"][0]["bytes"], parts[1].bytes.len());
        assert_eq!(about["schema"], SCHEMA);
    }

    #[test]
    fn rows_that_are_few_are_all_there() {
        let mut bundle = Bundle::default();
        bundle.rows("none.json", "rows", &[0_u8; 0], 0);
        bundle.rows("two.json", "rows", &[1, 2], 0);
        let parts = bundle.finish(Timestamp::UNIX_EPOCH);
        let read = |part: &Part| serde_json::from_slice::<serde_json::Value>(&part.bytes).unwrap();
        assert_eq!(
            read(&parts[1]),
            serde_json::json!({"left_out": 0, "rows": []})
        );
        assert_eq!(
            read(&parts[2]),
            serde_json::json!({"left_out": 0, "rows": [1, 2]})
        );
    }
}
