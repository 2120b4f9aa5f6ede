//! Puts a backup in the place of a state folder. The whole backup is read before anything is written; the new folder is made
//! beside the old one, its database opened, and only then both change their names. The old one stays.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{About, BackupError, DATABASE, sums};
use crate::{
    archive::Entry,
    store::{self, Redb},
};

/// What is taken over from the old folder when the backup has none of it: what never changes once it is written.
const KEPT: [&str; 3] = ["chunks", "assets", "firmware"];

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// What the backup says of itself.
    pub about: About,
    /// Where the state folder of before is, if there was one.
    pub before: Option<PathBuf>,
}

/// Restores the backup at `path` as the state folder `state`.
///
/// # Errors
/// When the backup is not whole, a controller runs, or the disk fails: then `state` is what it was.
pub fn restore(path: &Path, state: &Path) -> Result<Restored, BackupError> {
    // First of all: is it whole? Nothing is written for one that is not.
    sums::read(path, &mut |_, _| Ok(()))?;
    let _alone = alone(state)?;
    let fresh = beside(state, "restoring");
    match fs::remove_dir_all(&fresh) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(BackupError::io(fresh)(e)),
        // There may be the rest of a restore that was cut off.
        _ => {}
    }
    let made = fill(path, state, &fresh);
    let done = made.and_then(|about| Ok((about, swap(state, &fresh)?)));
    if done.is_err() {
        let _ = fs::remove_dir_all(&fresh);
    }
    let (about, before) = done?;
    Ok(Restored { about, before })
}

/// The folder's database lock, if there is a folder: no controller starts meanwhile.
fn alone(state: &Path) -> Result<Option<File>, BackupError> {
    let lock = state.join(DATABASE).with_extension("lock");
    let file = match File::open(&lock) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(BackupError::io(lock)(e)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(BackupError::Running(state.to_owned())),
        Err(TryLockError::Error(e)) => Err(BackupError::io(lock)(e)),
    }
}

/// Makes the new folder whole: the backup's files, what is taken over, a database that opens.
fn fill(path: &Path, state: &Path, fresh: &Path) -> Result<About, BackupError> {
    let mut builder = DirBuilder::new();
    let builder = builder.mode(0o750);
    builder.create(fresh).map_err(BackupError::io(fresh))?;
    let mut into = Unpack {
        fresh,
        open: None,
        tops: BTreeSet::new(),
    };
    let about = sums::read(path, &mut |entry, piece| into.take(entry, piece))?;
    let failed = BackupError::io(fresh);
    let Unpack { open, tops, .. } = into;
    open.map_or(Ok(()), |(_, file)| file.sync_all())
        .map_err(failed)?;
    database(fresh)?;
    for folder in KEPT.iter().filter(|folder| !tops.contains(**folder)) {
        link(&state.join(folder), &fresh.join(folder))?;
    }
    if let Ok(old) = fs::metadata(state) {
        own(fresh, old.uid(), old.gid()).map_err(BackupError::io(fresh))?;
    }
    let synced = File::open(fresh).and_then(|folder| folder.sync_all());
    synced.map_err(BackupError::io(fresh))?;
    Ok(about)
}

/// Unpacks a backup's database alone and opens it.
pub(super) fn database_of(path: &Path, scratch: &Path) -> Result<(), BackupError> {
    let mut into = Unpack {
        fresh: scratch,
        open: None,
        tops: BTreeSet::new(),
    };
    sums::read(path, &mut |entry, piece| match sums::is_database(entry) {
        true => into.take(entry, piece),
        false => Ok(()),
    })?;
    database(scratch)
}

/// Opens the database of a folder and reads every row; one of an older version is ours from then on.
fn database(folder: &Path) -> Result<(), BackupError> {
    let path = folder.join(DATABASE);
    if !path.exists() {
        return Err(BackupError::Damaged {
            path,
            what: "there is no database in it".to_owned(),
        });
    }
    let mut redb = Redb::open(&path).map_err(BackupError::Database)?;
    let read = store::check(&mut redb);
    read.map_err(BackupError::Database)
}

/// The new folder takes the place of the old one, which stays beside it. Both change their names at once, so that also a power
/// cut leaves the one or the other there.
fn swap(state: &Path, fresh: &Path) -> Result<Option<PathBuf>, BackupError> {
    let parent = fresh.parent().filter(|p| !p.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    let sync = || File::open(parent).and_then(|folder| folder.sync_all());
    if !state.exists() {
        fs::rename(fresh, state).map_err(BackupError::io(state))?;
        sync().map_err(BackupError::io(parent))?;
        return Ok(None);
    }
    // Until the exchange it has the name that the old one gets by it.
    let before = free(state);
    fs::rename(fresh, &before).map_err(BackupError::io(fresh))?;
    sync().map_err(BackupError::io(parent))?;
    let exchanged = renameat_with(CWD, &before, CWD, state, RenameFlags::EXCHANGE);
    if let Err(error) = exchanged {
        // The old one is where it was; the new one is no old one.
        let _ = fs::remove_dir_all(&before);
        return Err(BackupError::io(state)(error.into()));
    }
    sync().map_err(BackupError::io(parent))?;
    Ok(Some(before))
}

/// `/var/lib/enforcer.before-restore`, or with the first number that is free.
fn free(state: &Path) -> PathBuf {
    let first = beside(state, "before-restore");
    let more = (2..).map(|n: u32| beside(state, &format!("before-restore-{n}")));
    let mut all = std::iter::once(first).chain(more);
    all.find(|path| !path.exists())
        .unwrap_or_else(|| beside(state, "before-restore"))
}

fn beside(state: &Path, word: &str) -> PathBuf {
    let mut name = state.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{word}"));
    state.with_file_name(name)
}

/// Files as their bytes come.
struct Unpack<'a> {
    fresh: &'a Path,
    open: Option<(String, File)>,
    /// The folders that the backup has.
    tops: BTreeSet<String>,
}

impl Unpack<'_> {
    fn take(&mut self, entry: &Entry, piece: &[u8]) -> io::Result<()> {
        if self
            .open
            .as_ref()
            .is_none_or(|(name, _)| *name != entry.name)
        {
            if let Some((_, done)) = self.open.take() {
                done.sync_all()?;
            }
            let path = self.fresh.join(&entry.name);
            if let Some(folder) = path.parent() {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o750)
                    .create(folder)?;
            }
            if let Some((top, _)) = entry.name.split_once('/') {
                self.tops.insert(top.to_owned());
            }
            let mut options = OpenOptions::new();
            let file = options
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            self.open = Some((entry.name.clone(), file));
        }
        match &mut self.open {
            Some((_, file)) => file.write_all(piece),
            None => Ok(()),
        }
    }
}

/// The same files under another folder, without their bytes twice.
fn link(from: &Path, to: &Path) -> Result<(), BackupError> {
    let entries = match fs::read_dir(from) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(BackupError::io(from)(e)),
    };
    fs::create_dir(to).map_err(BackupError::io(to))?;
    for entry in entries {
        let entry = entry.map_err(BackupError::io(from))?;
        let (old, new) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(BackupError::io(&old))?;
        if kind.is_dir() {
            link(&old, &new)?;
        } else if kind.is_file() {
            fs::hard_link(&old, &new).map_err(BackupError::io(new))?;
        }
    }
    Ok(())
}

/// Gives all of it to the old folder's owner; what is theirs already needs no right.
fn own(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            own(&entry?.path(), uid, gid)?;
        }
    }
    if (metadata.uid(), metadata.gid()) == (uid, gid) {
        return Ok(());
    }
    std::os::unix::fs::lchown(path, Some(uid), Some(gid))
}
