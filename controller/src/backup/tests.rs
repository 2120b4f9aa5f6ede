//! Backups of folders with real databases, whole and spoiled.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::store::Redb;

/// Spoiled copies that are tried: enough to meet heads, bodies, paddings and sums of each file.
const SPOILED: usize = 300;

/// A state folder of a controller of this version or an older one, and the backup of it.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn of_schema(schema: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self { folder };
        let state = site.state();
        fs::create_dir_all(state.join("ca")).unwrap();
        fs::create_dir_all(state.join("assets/files")).unwrap();
        fs::create_dir_all(state.join("chunks/0a")).unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
        let packed = fs::read(fixtures.join(format!("store-schema-{schema}.redb.zst"))).unwrap();
        fs::write(state.join(DATABASE), zstd::decode_all(&packed[..]).unwrap()).unwrap();
        fs::write(state.join("ca/ca.key"), "secret").unwrap();
        fs::write(state.join("assets/files/empty"), "").unwrap();
        fs::write(state.join("assets/files/.part-1"), "half").unwrap();
        fs::write(state.join("chunks/0a/0a1b"), vec![7; 70_000]).unwrap();
        site
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("enforcer")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn backup(&self, name: &str, images: bool) -> PathBuf {
        let path = self.path(name);
        let mut database = File::open(self.state().join(DATABASE)).unwrap();
        make(
            &self.state(),
            &mut database,
            &path,
            images,
            crate::state::Timestamp::UNIX_EPOCH,
        )
        .unwrap();
        path
    }
}

/// Every file below a folder with its bytes.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                all.insert(name, fs::read(path).unwrap());
            }
        }
    }
    all
}

#[test]
fn a_restored_folder_has_what_was_there_and_the_old_one_stays_beside_it() {
    for schema in [2, 3] {
        let site = Site::of_schema(schema);
        let backup = site.backup("b.tar", true);
        assert_eq!(
            fs::metadata(&backup).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let state = site.state();
        let before = tree(&state);
        fs::write(state.join("ca/ca.key"), "another").unwrap();
        let done = restore(&backup, &state).unwrap();
        assert!(done.about.images);
        let mut now = tree(&state);
        // It was opened: one of an older version is ours now, beside its lock.
        let database = now.remove(DATABASE).unwrap();
        now.remove("enforcer.lock").unwrap();
        assert!(!database.is_empty() && Redb::open(state.join(DATABASE)).is_ok());
        let mut expected = before.clone();
        expected.remove(DATABASE);
        assert_eq!(
            expected.remove("assets/files/.part-1"),
            Some(b"half".to_vec())
        );
        assert_eq!(now, expected);
        let old = done.before.unwrap();
        assert_eq!(old, site.path("enforcer.before-restore"));
        assert_eq!(fs::read(old.join("ca/ca.key")).unwrap(), b"another");
        assert_eq!(
            fs::read_dir(site.folder.path()).unwrap().count(),
            3,
            "nothing else is left"
        );
    }
}

#[test]
fn images_that_a_backup_lacks_are_taken_over() {
    let site = Site::of_schema(3);
    let backup = site.backup("b.tar", false);
    let old = restore(&backup, &site.state()).unwrap().before.unwrap();
    for folder in [site.state(), old] {
        assert_eq!(
            fs::read(folder.join("chunks/0a/0a1b")).unwrap().len(),
            70_000
        );
    }
    // On another host there is nothing to take over.
    let elsewhere = site.path("elsewhere");
    assert_eq!(restore(&backup, &elsewhere).unwrap().before, None);
    assert!(!elsewhere.join("chunks").exists() && elsewhere.join("ca/ca.key").exists());
}

#[test]
fn a_backup_that_is_cut_or_has_a_flipped_bit_is_refused_and_nothing_changes() {
    let site = Site::of_schema(3);
    let whole = fs::read(site.backup("b.tar", true)).unwrap();
    let (before, spoiled) = (tree(&site.state()), site.path("spoiled.tar"));
    let mut dice = StdRng::seed_from_u64(7);
    for n in 0..SPOILED {
        let at = dice.random_range(0..whole.len());
        let mut bytes = whole.clone();
        if n % 3 == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << dice.random_range(0..8);
        }
        fs::write(&spoiled, bytes).unwrap();
        let told = restore(&spoiled, &site.state()).unwrap_err();
        assert!(
            matches!(
                told,
                BackupError::Damaged { .. } | BackupError::Newer { .. }
            ),
            "byte {at}: {told}"
        );
        assert!(told.to_string().contains("spoiled.tar"), "{told}");
        let names = fs::read_dir(site.folder.path()).unwrap().count();
        assert_eq!(names, 3, "byte {at}: something was made");
    }
    assert!(tree(&site.state()) == before);
}

#[test]
fn what_is_there_is_not_overwritten_and_a_half_backup_has_no_name() {
    let site = Site::of_schema(3);
    let backup = site.backup("b.tar", false);
    let bytes = fs::read(&backup).unwrap();
    let mut database = File::open(site.state().join(DATABASE)).unwrap();
    let now = crate::state::Timestamp::UNIX_EPOCH;
    let again = make(&site.state(), &mut database, &backup, true, now);
    assert!(matches!(again, Err(BackupError::Exists(_))), "{again:?}");
    assert!(fs::read(&backup).unwrap() == bytes);
    // A database that does not open is no backup.
    fs::write(site.path("junk"), vec![1; 5_000]).unwrap();
    let mut junk = File::open(site.path("junk")).unwrap();
    let bad = make(&site.state(), &mut junk, &site.path("bad.tar"), false, now);
    assert!(matches!(bad, Err(BackupError::Database(_))), "{bad:?}");
    let mut names: Vec<_> = fs::read_dir(site.folder.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["b.tar", "enforcer", "junk"]);
}

#[test]
fn a_folder_that_is_used_is_left_alone() {
    let site = Site::of_schema(3);
    let backup = site.backup("b.tar", false);
    let running = Redb::open(site.state().join(DATABASE)).unwrap();
    let told = restore(&backup, &site.state()).unwrap_err();
    assert!(matches!(told, BackupError::Running(_)), "{told}");
    drop(running);
    restore(&backup, &site.state()).unwrap();
}
