//! Boot files by their content, for helpers: they are told a SHA-256 and fetch what they do not have yet.
//!
//! What was named is held open for a while, so that the bytes that follow are those that were named, also when the file
//! is replaced in between.

use std::{
    collections::{HashMap, VecDeque},
    io,
    os::unix::fs::MetadataExt as _,
};

use ipxe_net::BootFile;
use mesh_proto::message::boot::StoredFile;
use sha2::{Digest as _, Sha256};

/// Files that are held: all programs, a management OS or two, and the files of a room's configs.
const MAX: usize = 512;
/// Bytes hashed at a time.
const PIECE: usize = 256 << 10;

/// A file on the disk, as long as it is the same: device, inode, size, time of its last change.
type Identity = (u64, u64, u64, i64, i64);

/// The memory.
#[derive(Debug, Default)]
pub(super) struct Named {
    files: HashMap<String, BootFile>,
    order: VecDeque<String>,
    /// Hashes that were computed: a management OS is tens of megabytes.
    known: HashMap<Identity, String>,
}

impl Named {
    /// Holds a file under its hash.
    pub(super) fn hold(&mut self, sha256: &str, file: &BootFile) -> StoredFile {
        let named = StoredFile {
            sha256: sha256.to_owned(),
            size: file.size(),
        };
        if self.files.insert(sha256.to_owned(), file.clone()).is_none() {
            self.order.push_back(sha256.to_owned());
        }
        if self.order.len() > MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.files.remove(&oldest);
        }
        named
    }

    /// What was named so.
    pub(super) fn get(&self, sha256: &str) -> Option<BootFile> {
        self.files.get(sha256).cloned()
    }

    /// The hash of a file, if it was computed before.
    pub(super) fn known(&self, file: &BootFile) -> Option<String> {
        self.known.get(&identity(file)?).cloned()
    }

    /// Remembers a hash that was computed.
    pub(super) fn learn(&mut self, file: &BootFile, sha256: &str) {
        if self.known.len() >= MAX {
            self.known.clear();
        }
        if let Some(identity) = identity(file) {
            self.known.insert(identity, sha256.to_owned());
        }
    }
}

/// Hashes a file; waits for the disk.
///
/// # Errors
/// As the disk fails.
pub(super) fn hash(file: &BootFile) -> io::Result<String> {
    let (mut hasher, mut piece, mut done) = (Sha256::new(), vec![0; PIECE], 0);
    loop {
        match file.read_at(&mut piece, done)? {
            0 => return Ok(crate::hex::of(&hasher.finalize())),
            n => {
                hasher.update(&piece[..n]);
                done += n as u64;
            }
        }
    }
}

fn identity(file: &BootFile) -> Option<Identity> {
    let BootFile::Disk { file, .. } = file else {
        return None;
    };
    let meta = file.metadata().ok()?;
    Some((
        meta.dev(),
        meta.ino(),
        meta.len(),
        meta.mtime(),
        meta.mtime_nsec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_named_last_is_there_and_the_oldest_makes_room() {
        let mut named = Named::default();
        let file = |n: usize| BootFile::Memory(n.to_string().into());
        for n in 0..=MAX {
            named.hold(&hash(&file(n)).unwrap(), &file(n));
        }
        assert!(named.get(&hash(&file(0)).unwrap()).is_none());
        let last = named.get(&hash(&file(MAX)).unwrap()).unwrap();
        assert_eq!(hash(&last).unwrap(), hash(&file(MAX)).unwrap());
        assert_eq!(named.files.len(), MAX);
    }
}
