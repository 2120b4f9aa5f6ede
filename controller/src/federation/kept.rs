//! Files of other sites that are kept here: so many bytes at most, and who was not asked for longest goes first.

use std::{
    collections::BTreeSet,
    fs::File,
    path::Path,
    time::{Duration, SystemTime},
};

use ipxe_net::BootFile;

use crate::{
    assets::{AssetError, AssetFolder, Sha256Hex, Stored},
    ordered::sort_by,
};

/// Bytes kept unless the configuration says otherwise: the installers of some systems, and not half of a small card.
pub const DEFAULT_BYTES: u64 = 4 << 30;
/// A file's time is written anew when it is older than this: each boot asks for its files several times.
const TOUCH: Duration = Duration::from_secs(60);

/// No room among the files that are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "files of other sites may take {most} bytes here, and {wanted} more are needed with none to spare; raise `cache` under [federation]"
)]
pub struct NoRoom {
    /// Bytes of the file.
    pub wanted: u64,
    /// What may be kept.
    pub most: u64,
}

/// The folder.
#[derive(Debug, Clone)]
pub struct Kept {
    folder: AssetFolder,
    /// `None`: what the disk has room for.
    most: Option<u64>,
}

impl Kept {
    /// Opens (creates) it.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(state: &Path, most: Option<u64>) -> Result<Self, AssetError> {
        let folder = AssetFolder::open_for_peers(state)?;
        Ok(Self { folder, most })
    }

    /// The same, of another size.
    #[must_use]
    pub fn of(self, most: Option<u64>) -> Self {
        Self { most, ..self }
    }

    pub(super) fn folder(&self) -> &AssetFolder {
        &self.folder
    }

    /// The file of this sum, when it is here; it was asked for now.
    pub(super) fn find(&self, sum: &Sha256Hex) -> Option<BootFile> {
        let path = self.folder.path(sum);
        let touched = File::open(&path).and_then(|file| {
            let age = file.metadata()?.modified()?.elapsed();
            match age.is_ok_and(|age| age < TOUCH) {
                true => Ok(()),
                false => file.set_modified(SystemTime::now()),
            }
        });
        // Of a file system that keeps no times the wrong one may go.
        let _not_here = touched;
        BootFile::open(&path).ok()
    }

    /// Makes room for a file of `wanted` bytes beside `coming` bytes that are on their way; `needed` files stay.
    pub(super) fn make_room(
        &self,
        wanted: u64,
        coming: u64,
        needed: &BTreeSet<Sha256Hex>,
    ) -> Result<Result<(), NoRoom>, AssetError> {
        let Some(most) = self.most else {
            return Ok(Ok(()));
        };
        let mut all = self.folder.list()?;
        let goes = to_go(&mut all, most, wanted.saturating_add(coming), |sum| {
            let modified = std::fs::metadata(self.folder.path(sum)).and_then(|m| m.modified());
            (!needed.contains(sum)).then(|| modified.unwrap_or(SystemTime::UNIX_EPOCH))
        });
        let Some(goes) = goes else {
            return Ok(Err(NoRoom { wanted, most }));
        };
        for sum in goes {
            self.folder.remove(&sum)?;
        }
        Ok(Ok(()))
    }
}

/// Which files go so that `wanted` bytes fit into `most`: the oldest of those that have an age; `None`: these are not enough.
fn to_go<T: Ord>(
    all: &mut [Stored],
    most: u64,
    wanted: u64,
    age: impl Fn(&Sha256Hex) -> Option<T>,
) -> Option<Vec<Sha256Hex>> {
    let mut used = all.iter().map(|f| f.size).fold(wanted, u64::saturating_add);
    let mut may_go: Vec<(T, &Stored)> = all
        .iter()
        .filter_map(|f| Some((age(&f.sha256)?, f)))
        .collect();
    sort_by(&mut may_go, |a, b| a.0.cmp(&b.0));
    let mut goes = Vec::new();
    for (_, file) in may_go {
        if used <= most {
            break;
        }
        used -= file.size;
        goes.push(file.sha256.clone());
    }
    (used <= most).then_some(goes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(n: u8) -> Sha256Hex {
        format!("{n:02x}").repeat(32).parse().unwrap()
    }

    fn goes(most: u64, wanted: u64, needed: &[u8]) -> Option<Vec<u8>> {
        // File n has n bytes; 3 was asked for longest ago, then 1, then 2.
        let mut all = [1, 2, 3].map(|n| Stored {
            sha256: sum(n),
            size: n.into(),
        });
        let asked = |s: &Sha256Hex| [3, 1, 2].iter().position(|n| sum(*n) == *s);
        let age = |s: &Sha256Hex| asked(s).filter(|_| !needed.iter().any(|n| sum(*n) == *s));
        let goes = to_go(&mut all, most, wanted, age)?;
        Some(
            goes.iter()
                .map(|s| [1, 2, 3].into_iter().find(|n| sum(*n) == *s).unwrap())
                .collect(),
        )
    }

    #[test]
    fn who_was_not_asked_for_longest_goes_first_and_what_is_needed_stays() {
        assert_eq!(goes(10, 4, &[]), Some(vec![]));
        assert_eq!(goes(10, 5, &[]), Some(vec![3]));
        assert_eq!(goes(10, 8, &[]), Some(vec![3, 1]));
        assert_eq!(goes(10, 8, &[1]), Some(vec![3, 2]));
        assert_eq!(goes(10, 11, &[]), None);
        assert_eq!(goes(10, 5, &[1, 2, 3]), None);
    }
}
