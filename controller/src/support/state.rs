//! The state folder: its files by name and size, and what the database says of itself when no controller has it.

use std::{
    collections::BTreeMap,
    fs::{self, Metadata},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use serde::Serialize;

use crate::{
    ordered::sort_by,
    state::Timestamp,
    store::{Contents, contents},
};

/// Files that are told one by one; of the rest, how many there are.
const FILES: usize = 2_000;
/// Entries that are looked at: images of a terabyte in chunks, and an end for folders that have none.
const ENTRIES: usize = 500_000;
/// Folders in folders that are looked into.
const DEPTH: usize = 8;
/// Its files are named by their contents, and many: only counted.
const COUNTED: &str = "chunks";
/// The database.
const DATABASE: &str = "enforcer.redb";

/// The state folder.
#[derive(Debug, Default, Serialize)]
pub struct StateFolder {
    /// Where it is.
    folder: String,
    /// Why it cannot be looked into, if so.
    unreadable: Option<String>,
    /// Files and bytes, by the first part of their path.
    by_folder: BTreeMap<String, Sum>,
    /// Files, by path.
    files: Vec<FileRow>,
    /// Files that are not told one by one.
    left_out: usize,
    /// What the database says of itself.
    database: Option<Database>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
struct Sum {
    files: u64,
    bytes: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct FileRow {
    path: String,
    bytes: u64,
    /// Octal.
    mode: String,
    uid: u32,
    gid: u32,
    changed: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Database {
    /// A controller has it open.
    InUse,
    /// Its layout, and its rows by table.
    Contents(Contents),
    /// Nobody can say: it was not closed, or it is damaged.
    Unreadable,
}

/// Looks at the state folder. `running`: a controller answers, which has the database.
#[must_use]
pub fn state(folder: &Path, running: bool) -> StateFolder {
    let mut told = StateFolder {
        folder: folder.display().to_string(),
        ..StateFolder::default()
    };
    let mut left = ENTRIES;
    if let Err(error) = told.walk(folder, "", DEPTH, &mut left) {
        told.unreadable = Some(error.kind().to_string());
    }
    sort_by(&mut told.files, |a, b| a.path.cmp(&b.path));
    let database = folder.join(DATABASE);
    if database.exists() {
        told.database = Some(match running {
            true => Database::InUse,
            false => contents(&database).map_or(Database::Unreadable, Database::Contents),
        });
    }
    told
}

impl StateFolder {
    fn walk(
        &mut self,
        folder: &Path,
        below: &str,
        depth: usize,
        left: &mut usize,
    ) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Some(rest) = left.checked_sub(1) else {
                return Ok(());
            };
            *left = rest;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = match below {
                "" => name,
                below => format!("{below}/{name}"),
            };
            // Links are told, not followed; what goes away meanwhile was not needed.
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if !metadata.is_dir() {
                self.file(path, &metadata);
            } else if depth > 0 && self.walk(&entry.path(), &path, depth - 1, left).is_err() {
                self.left_out += 1;
            }
        }
        Ok(())
    }

    fn file(&mut self, path: String, metadata: &Metadata) {
        let first = path.split_once('/').map_or(".", |(first, _)| first);
        let sum = self.by_folder.entry(first.to_owned()).or_default();
        sum.files += 1;
        sum.bytes += metadata.len();
        if first == COUNTED || self.files.len() == FILES {
            self.left_out += 1;
            return;
        }
        let changed = metadata.modified().ok();
        self.files.push(FileRow {
            path,
            bytes: metadata.len(),
            mode: format!("{:04o}", metadata.mode() & 0o7777),
            uid: metadata.uid(),
            gid: metadata.gid(),
            changed: changed.and_then(|at| Timestamp::try_from(at).ok()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        state::policy::Policy,
        store::{Redb, Store, SystemClock},
    };

    #[test]
    fn files_are_told_by_name_and_size_and_chunks_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        for (path, bytes) in [
            ("ca/ca.key", 3),
            ("chunks/0a/0a1b", 70),
            ("chunks/0b/0b", 5),
            ("site", 1),
        ] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![b'k'; bytes]).unwrap();
        }
        let told = state(folder.path(), false);
        let paths: Vec<_> = told
            .files
            .iter()
            .map(|f| (f.path.as_str(), f.bytes))
            .collect();
        assert_eq!(paths, [("ca/ca.key", 3), ("site", 1)]);
        assert_eq!(
            told.by_folder["chunks"],
            Sum {
                files: 2,
                bytes: 75
            }
        );
        assert_eq!((told.left_out, told.database.is_none()), (2, true));
        assert!(!serde_json::to_string(&told).unwrap().contains("kkk"));
        assert!(
            state(&folder.path().join("none"), false)
                .unreadable
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_database_that_nobody_has_tells_its_layout_and_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DATABASE);
        let store =
            Store::open(Redb::open(&path).unwrap(), Policy::default(), SystemClock).unwrap();
        assert!(matches!(
            state(folder.path(), true).database,
            Some(Database::InUse)
        ));
        assert!(matches!(
            state(folder.path(), false).database,
            Some(Database::Unreadable)
        ));
        let seen = crate::state::event::Draft::new("test.event", "s3cret");
        store.note(seen);
        store.close().await;
        let before = fs::read(&path).unwrap();
        let told = serde_json::to_value(state(folder.path(), false)).unwrap();
        let contents = &told["database"]["contents"];
        assert_eq!(contents["schema"], crate::store::SCHEMA, "{told}");
        assert_eq!(contents["rows"]["events"], 1, "{told}");
        assert_eq!(fs::read(&path).unwrap(), before, "it was only read");
    }
}
