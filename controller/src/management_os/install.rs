//! Puts a whole management OS in place: it is written beside its place and exchanged in one step, so a reader sees the
//! old one or the new one, and a half build is never listed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::manifest::Manifest;
use super::{Arch, Flavour};
use crate::ordered::sort_by;

/// Folders whose name starts with this are being written.
const HIDDEN: &str = ".";

/// Why the files could not be put in place.
#[derive(Debug, thiserror::Error)]
#[error("putting the management OS in place at {path}")]
pub struct InstallError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> InstallError {
    let path = path.to_owned();
    move |source| InstallError { path, source }
}

/// Where a management OS has its place in the state folder.
#[must_use]
pub fn folder_of(state: &Path, arch: Arch, flavour: Flavour) -> PathBuf {
    all_of(state).join(format!("{arch}-{flavour}"))
}

/// Every management OS in place, with its folder, in order of name; damaged manifests are left out.
#[must_use]
pub fn list(state: &Path) -> Vec<(PathBuf, Manifest)> {
    let entries = fs::read_dir(all_of(state)).into_iter().flatten().flatten();
    let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with(HIDDEN));
    let mut found: Vec<_> = visible
        .filter_map(|entry| {
            Manifest::load(&entry.path())
                .ok()
                .map(|manifest| (entry.path(), manifest))
        })
        .collect();
    sort_by(&mut found, |a, b| a.0.cmp(&b.0));
    found
}

fn all_of(state: &Path) -> PathBuf {
    state.join("assets/management-os")
}

/// A folder beside the place, removed again unless it is put there.
pub(super) struct Staging {
    path: PathBuf,
    place: PathBuf,
}

impl Staging {
    /// Makes the folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn beside(place: &Path) -> Result<Self, InstallError> {
        let place = std::path::absolute(place).map_err(at(place))?;
        let name = place
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let path = place.with_file_name(format!("{HIDDEN}{name}.new-{}", std::process::id()));
        // Left behind by a process of the same number that was killed.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(at(&path))?;
        Ok(Self { path, place })
    }

    /// Where to write.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// As [`Self::put_in_place`], at a place that was not known before.
    ///
    /// # Errors
    /// As there.
    pub(super) fn put_at(mut self, place: &Path) -> Result<(), InstallError> {
        self.place = std::path::absolute(place).map_err(at(place))?;
        self.put_in_place()
    }

    /// Makes the files durable and visible.
    ///
    /// # Errors
    /// When a file cannot be synced or the folder not be moved.
    pub(super) fn put_in_place(self) -> Result<(), InstallError> {
        for entry in fs::read_dir(&self.path).map_err(at(&self.path))? {
            let file = entry.map_err(at(&self.path))?.path();
            File::open(&file)
                .and_then(|file| file.sync_all())
                .map_err(at(&file))?;
        }
        let moved = if self.place.exists() {
            // After the exchange the staging folder holds the old one, and dropping it removes that.
            renameat_with(CWD, &self.path, CWD, &self.place, RenameFlags::EXCHANGE)
                .map_err(io::Error::from)
        } else {
            fs::rename(&self.path, &self.place)
        };
        moved.map_err(at(&self.place))?;
        let parent = self.place.parent().unwrap_or(Path::new("/"));
        File::open(parent)
            .and_then(|folder| folder.sync_all())
            .map_err(at(parent))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed only costs space; its name keeps it from being listed.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::management_os::manifest::tests::sample;

    #[test]
    fn a_new_one_replaces_the_old_one_and_nothing_else_remains() {
        let state = tempfile::tempdir().unwrap();
        let place = folder_of(state.path(), Arch::Amd64, Flavour::Virtio);
        for round in ["first", "second"] {
            let staging = Staging::beside(&place).unwrap();
            sample(staging.path());
            fs::write(staging.path().join("round"), round).unwrap();
            staging.put_in_place().unwrap();
            assert_eq!(fs::read_to_string(place.join("round")).unwrap(), round);
        }
        assert_eq!(fs::read_dir(place.parent().unwrap()).unwrap().count(), 1);
        assert_eq!(list(state.path()).len(), 1);
    }

    #[test]
    fn a_half_build_is_not_listed_and_goes_away() {
        let state = tempfile::tempdir().unwrap();
        let place = folder_of(state.path(), Arch::Amd64, Flavour::Generic);
        let staging = Staging::beside(&place).unwrap();
        sample(staging.path());
        assert_eq!(list(state.path()).len(), 0);
        drop(staging);
        assert_eq!(fs::read_dir(place.parent().unwrap()).unwrap().count(), 0);
    }
}
