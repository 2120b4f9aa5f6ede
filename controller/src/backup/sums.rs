//! The list of sums at a backup's end, as `sha256sum` writes it, and what is checked by it.

use std::{collections::BTreeMap, fs::File, io, path::Path};

use sha2::{Digest as _, Sha256};

use super::{ABOUT, About, BackupError, DATABASE, LAYOUT, SUMS};
use crate::{
    archive::{Entry, Reader},
    ordered::sort_by,
};

/// The list of sums is this long at most, bytes: a million chunks with their names.
const LONGEST_SUMS: u64 = 256 << 20;
/// What a backup says of itself is this long at most, bytes.
const LONGEST_ABOUT: u64 = 64 << 10;

/// A line for a file.
pub(super) fn line(name: &str, sum: Sha256) -> String {
    format!("{}  {name}\n", crate::hex::of(&sum.finalize()))
}

/// Reads a whole backup and hands each file's bytes to `keep`, in pieces. Everything is as it was written when this returns: until
/// then nothing of it may be believed.
pub(super) fn read(
    path: &Path,
    keep: &mut dyn FnMut(&Entry, &[u8]) -> io::Result<()>,
) -> Result<About, BackupError> {
    let damaged = |what: &str| BackupError::Damaged {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let file = File::open(path).map_err(BackupError::io(path))?;
    let mut reader = Reader::new(io::BufReader::new(file));
    let (mut found, mut about) = (BTreeMap::new(), None);
    while let Some(entry) = reader.next().map_err(BackupError::archive(path))? {
        if entry.name == SUMS {
            let told = text(&mut reader, &entry, LONGEST_SUMS, path)?;
            let all: String = found.into_values().collect();
            let last = reader.next().map_err(BackupError::archive(path))?;
            if last.is_some() || sorted(&told) != sorted(&all) {
                return Err(damaged("its files are not those that were written"));
            }
            let about: About = about.ok_or_else(|| damaged("it does not say what it is"))?;
            return Ok(about);
        }
        let mut sum = Sha256::new();
        if entry.name == ABOUT {
            let text = text(&mut reader, &entry, LONGEST_ABOUT, path)?;
            sum.update(&text);
            about = Some(understood(&text, path)?);
        } else {
            // A file without bytes is one, too.
            keep(&entry, &[]).map_err(BackupError::io(path))?;
            let taken = reader.bytes(&entry, &mut |piece| {
                sum.update(piece);
                keep(&entry, piece)
            });
            taken.map_err(BackupError::archive(path))?;
        }
        let line = line(&entry.name, sum);
        if found.insert(entry.name, line).is_some() {
            return Err(damaged("a file is in it twice"));
        }
    }
    Err(damaged("it has no sums at its end"))
}

fn sorted(lines: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = lines.lines().collect();
    sort_by(&mut lines, Ord::cmp);
    lines
}

fn text(
    reader: &mut Reader<impl io::Read>,
    entry: &Entry,
    longest: u64,
    path: &Path,
) -> Result<String, BackupError> {
    let damaged = || BackupError::Damaged {
        path: path.to_owned(),
        what: format!("its {} is none", entry.name),
    };
    if entry.size > longest {
        return Err(damaged());
    }
    let mut bytes = Vec::new();
    let taken = reader.bytes(entry, &mut |piece| {
        bytes.extend_from_slice(piece);
        Ok(())
    });
    taken.map_err(BackupError::archive(path))?;
    String::from_utf8(bytes).map_err(|_| damaged())
}

fn understood(text: &str, path: &Path) -> Result<About, BackupError> {
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    if let Some(layout) = value["layout"].as_u64().filter(|l| *l > u64::from(LAYOUT)) {
        return Err(BackupError::Newer {
            path: path.to_owned(),
            layout: u32::try_from(layout).unwrap_or(u32::MAX),
        });
    }
    serde_json::from_value(value).map_err(|_| BackupError::Damaged {
        path: path.to_owned(),
        what: format!("its {ABOUT} cannot be read"),
    })
}

/// Whether a database is among the files; the caller counts them.
pub(super) fn is_database(entry: &Entry) -> bool {
    entry.name == DATABASE
}
