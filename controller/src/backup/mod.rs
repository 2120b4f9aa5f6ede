//! Backups of a site: one archive with the database as it was at one moment, the site's keys, files and, when they are wanted,
//! images. The last file in it holds the SHA-256 of every other; a backup counts only once it was read back and its database opened.
//!
//! `enforcer.redb` comes from the running controller, the rest from the state folder.

mod make;
mod restore;
mod sums;

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use self::{
    make::{Draft, make},
    restore::{Restored, restore},
};
use crate::{archive::ArchiveError, store::BackendError};

/// What a backup is.
const ABOUT: &str = "enforcer-backup.json";
/// The sums of all files before it.
const SUMS: &str = "SHA256SUMS";
/// The database, in the archive and in the state folder.
const DATABASE: &str = "enforcer.redb";
/// The version of this layout.
const LAYOUT: u32 = 1;

/// What is in a backup, said in itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The layout, 1.
    pub layout: u32,
    /// The program that made it.
    pub program: String,
    /// When.
    pub made: crate::state::Timestamp,
    /// Whether images are in it.
    pub images: bool,
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// As the system says.
        source: io::Error,
    },
    /// There is something already.
    #[error("{} is there already and is not overwritten; name a file that is not there", .0.display())]
    Exists(PathBuf),
    /// Not whole.
    #[error("{} is no whole backup: {what}; nothing was changed", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was seen.
        what: String,
    },
    /// A later version's.
    #[error("{} was made by a newer enforcer (layout {layout}); restore it with that version", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its layout.
        layout: u32,
    },
    /// The database in it.
    #[error("the database of the backup cannot be used: {0}; nothing was changed")]
    Database(#[source] BackendError),
    /// The state folder is used.
    #[error("a controller uses {}; stop it first (`systemctl stop enforcer`)", .0.display())]
    Running(PathBuf),
}

impl BackupError {
    fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    fn archive(path: impl Into<PathBuf>) -> impl FnOnce(ArchiveError) -> Self {
        let path = path.into();
        move |error| match error {
            ArchiveError::Io(source) => Self::Io { path, source },
            other => Self::Damaged {
                path,
                what: other.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
