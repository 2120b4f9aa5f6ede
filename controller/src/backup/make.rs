//! Makes a backup: under another name first, read back, then named.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest as _, Sha256};

use super::{ABOUT, About, BackupError, DATABASE, LAYOUT, SUMS, restore, sums};
use crate::{
    archive::{Writer, sized},
    ordered::sort_by,
    state::Timestamp,
};

/// The folders of the state folder that are always in it: keys, uploaded files and management OSes, boot programs.
const FOLDERS: [&str; 3] = ["ca", "assets", "firmware"];
/// The folder of images.
const IMAGES: &str = "chunks";

/// A file that is not there yet: written beside its place, readable for its owner only, gone again unless it is finished.
#[derive(Debug)]
pub struct Draft {
    target: PathBuf,
    path: PathBuf,
    file: File,
}

impl Draft {
    /// Begins the file that will be at `target`, where nothing may be.
    ///
    /// # Errors
    /// When something is there, or the folder cannot be written.
    pub fn new(target: &Path) -> Result<Self, BackupError> {
        if fs::symlink_metadata(target).is_ok() {
            return Err(BackupError::Exists(target.to_owned()));
        }
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".part-{}", std::process::id()));
        let path = target.with_file_name(name);
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let file = options.open(&path).map_err(BackupError::io(&path))?;
        Ok(Self {
            target: target.to_owned(),
            path,
            file,
        })
    }

    /// The file.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Where it is until it is finished.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name; it is there for good when this returns.
    ///
    /// # Errors
    /// When the disk fails, or somebody else was quicker with that name.
    pub fn finish(self) -> Result<(), BackupError> {
        let (target, path) = (&self.target, &self.path);
        self.file.sync_all().map_err(BackupError::io(path))?;
        let named = renameat_with(CWD, path, CWD, target, RenameFlags::NOREPLACE);
        named.map_err(|e| match std::io::Error::from(e) {
            e if e.kind() == std::io::ErrorKind::AlreadyExists => {
                BackupError::Exists(target.clone())
            }
            source => BackupError::Io {
                path: target.clone(),
                source,
            },
        })?;
        let folder = target.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(BackupError::io(folder))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Once it is finished there is nothing of this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Writes the backup of the state folder `state` to `target`, with this database, and reads it back.
///
/// # Errors
/// When it cannot be written or read back; then there is no file at `target`.
pub fn make(
    state: &Path,
    database: &mut File,
    target: &Path,
    images: bool,
    now: Timestamp,
) -> Result<u64, BackupError> {
    let mut draft = Draft::new(target)?;
    let place = draft.path().to_owned();
    let mut packer = Packer {
        writer: Writer::new(BufWriter::new(draft.file())),
        sums: String::new(),
        place: place.clone(),
    };
    let about = About {
        layout: LAYOUT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        made: now,
        images,
    };
    let about = serde_json::to_vec_pretty(&about).map_err(|e| BackupError::io(&place)(e.into()))?;
    packer.bytes(ABOUT, &about)?;
    database.rewind().map_err(BackupError::io(DATABASE))?;
    let database = database.try_clone().map_err(BackupError::io(DATABASE))?;
    packer.file(DATABASE, database)?;
    for folder in FOLDERS.iter().chain(images.then_some(&IMAGES)) {
        packer.folder(state, folder)?;
    }
    packer.finish()?;
    check(&place)?;
    let size = draft
        .file()
        .metadata()
        .map_err(BackupError::io(&place))?
        .len();
    draft.finish()?;
    Ok(size)
}

/// Reads a backup as a restore would, and opens its database; in a folder that is gone afterwards.
fn check(path: &Path) -> Result<(), BackupError> {
    let mut scratch = path.to_owned().into_os_string();
    scratch.push(".check");
    let scratch = PathBuf::from(scratch);
    fs::create_dir(&scratch).map_err(BackupError::io(&scratch))?;
    let checked = restore::database_of(path, &scratch);
    let removed = fs::remove_dir_all(&scratch).map_err(BackupError::io(&scratch));
    checked.and(removed)
}

struct Packer<'a> {
    writer: Writer<BufWriter<&'a mut File>>,
    sums: String,
    place: PathBuf,
}

impl Packer<'_> {
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
        let mut sum = Sha256::new();
        let added = self
            .writer
            .add_bytes(name, bytes, &mut |piece| sum.update(piece));
        added.map_err(BackupError::archive(&self.place))?;
        self.sums += &sums::line(name, sum);
        Ok(())
    }

    fn file(&mut self, name: &str, file: File) -> Result<(), BackupError> {
        let (mut file, size) = sized(file).map_err(BackupError::io(name))?;
        let mut sum = Sha256::new();
        let added = self
            .writer
            .add(name, size, &mut file, &mut |piece| sum.update(piece));
        added.map_err(BackupError::archive(name))?;
        self.sums += &sums::line(name, sum);
        Ok(())
    }

    /// Every file below a folder. One that goes away meanwhile was needed by nobody; parts of files that are coming are none.
    fn folder(&mut self, state: &Path, below: &str) -> Result<(), BackupError> {
        let folder = state.join(below);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(BackupError::io(folder)(e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(BackupError::io(&folder))?;
            let kind = entry.file_type().map_err(BackupError::io(entry.path()))?;
            names.extend(
                entry
                    .file_name()
                    .into_string()
                    .ok()
                    .map(|name| (name, kind)),
            );
        }
        sort_by(&mut names, |a, b| a.0.cmp(&b.0));
        for (name, kind) in names.into_iter().filter(|(name, _)| !name.starts_with('.')) {
            let below = format!("{below}/{name}");
            if kind.is_dir() {
                self.folder(state, &below)?;
            } else if kind.is_file() {
                let path = state.join(&below);
                match File::open(&path) {
                    Ok(file) => self.file(&below, file)?,
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                    Err(e) => return Err(BackupError::io(path)(e)),
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), BackupError> {
        let sums = std::mem::take(&mut self.sums);
        let added = self.writer.add_bytes(SUMS, sums.as_bytes(), &mut |_| {});
        added.map_err(BackupError::archive(&self.place))?;
        let mut out = self
            .writer
            .finish()
            .map_err(BackupError::archive(&self.place))?;
        out.flush().map_err(BackupError::io(&self.place))
    }
}
