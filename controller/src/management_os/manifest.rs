//! `manifest.json`: what a built management OS consists of, with sizes and hashes. A folder counts as a management OS
//! only when its manifest says so and the files agree.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use mesh_proto::json;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Arch, Flavour};

/// The version this program writes and reads.
const VERSION: u32 = 1;

/// A manifest is some kilobytes; more is not ours.
pub(super) const MANIFEST_LIMIT_BYTES: u64 = 1 << 20;

/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";

/// The files every management OS has: kernel, first archive, tools archive for jobs.
pub(super) const FILES: [&str; 3] = ["vmlinuz", "initrd.img", "tools.img"];

/// A built management OS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format version.
    pub v: u32,
    /// Architecture it runs on.
    pub arch: Arch,
    /// Which drivers it has.
    pub flavour: Flavour,
    /// Kernel release.
    pub kernel: String,
    /// Each of `FILES`.
    pub files: BTreeMap<String, FileEntry>,
    /// SHA-256 of the agent inside, lower-case hexadecimal.
    pub agent_sha256: String,
    /// Debian packages inside, with their versions.
    pub packages: BTreeMap<String, String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

/// Why a folder is not a management OS.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// A file could not be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The manifest is not ours.
    #[error("{path} is not a manifest of a management OS")]
    Parse {
        /// The manifest.
        path: PathBuf,
        /// Where it goes wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Written by a newer program.
    #[error("{path} has version {found}, this program reads version {VERSION}: update enforcer")]
    Version {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The manifest does not list a file that every management OS has.
    #[error("{path} does not list {file}")]
    Unlisted {
        /// The manifest.
        path: PathBuf,
        /// The file it should list.
        file: &'static str,
    },
    /// Size or hash is not what the manifest says.
    #[error(
        "{path} is damaged: its size or SHA-256 is not what the manifest says; build or copy it again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

impl Manifest {
    /// Describes the files in `folder`; the caller gives the rest.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn describe(folder: &Path, arch: Arch, flavour: Flavour) -> Result<Self, ManifestError> {
        let entry = |name: &&str| {
            let path = folder.join(name);
            let (bytes, sha256) =
                sha256_of(&path).map_err(|source| ManifestError::Read { path, source })?;
            Ok(((*name).to_owned(), FileEntry { bytes, sha256 }))
        };
        Ok(Self {
            v: VERSION,
            arch,
            flavour,
            kernel: String::new(),
            files: FILES
                .iter()
                .map(entry)
                .collect::<Result<_, ManifestError>>()?,
            agent_sha256: String::new(),
            packages: BTreeMap::new(),
        })
    }

    /// Reads the manifest of `folder` without looking at the files.
    ///
    /// # Errors
    /// When it is missing or not ours.
    pub fn load(folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(MANIFEST);
        let mut text = Vec::new();
        let file = File::open(&path)
            .and_then(|file| file.take(MANIFEST_LIMIT_BYTES).read_to_end(&mut text));
        if let Err(source) = file {
            return Err(ManifestError::Read { path, source });
        }
        let manifest: Self = json::from_slice(&text).map_err(|source| ManifestError::Parse {
            path: path.clone(),
            source,
        })?;
        if manifest.v != VERSION {
            return Err(ManifestError::Version {
                path,
                found: manifest.v,
            });
        }
        match FILES
            .into_iter()
            .find(|file| !manifest.files.contains_key(*file))
        {
            Some(file) => Err(ManifestError::Unlisted { path, file }),
            None => Ok(manifest),
        }
    }

    /// Reads the manifest of `folder` and checks every file against it.
    ///
    /// # Errors
    /// When a file is missing or differs by a byte.
    pub fn verify(folder: &Path) -> Result<Self, ManifestError> {
        let manifest = Self::load(folder)?;
        for name in FILES {
            let path = folder.join(name);
            let found = sha256_of(&path).map_err(|source| ManifestError::Read {
                path: path.clone(),
                source,
            })?;
            let want = manifest
                .files
                .get(name)
                .map(|entry| (entry.bytes, entry.sha256.clone()));
            if want != Some(found) {
                return Err(ManifestError::Damaged { path });
            }
        }
        Ok(manifest)
    }
}

/// Size and lower-case SHA-256 of a file, read in pieces.
///
/// # Errors
/// When it cannot be read.
pub(super) fn sha256_of(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0u8; 128 << 10];
    let mut bytes = 0u64;
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok((bytes, crate::hex::of(&hash.finalize())));
        }
        hash.update(&piece[..count]);
        bytes += count as u64;
    }
}

/// SHA-256 of bytes at hand.
pub(super) fn sha256_of_bytes(bytes: &[u8]) -> String {
    crate::hex::of(&Sha256::digest(bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;

    /// Writes a small management OS into `folder`.
    pub(in super::super) fn sample(folder: &Path) -> Manifest {
        for name in FILES {
            fs::write(folder.join(name), format!("content of {name}")).unwrap();
        }
        let mut manifest = Manifest::describe(folder, Arch::Amd64, Flavour::Virtio).unwrap();
        manifest.kernel = "6.1.0-1-amd64".to_owned();
        fs::write(
            folder.join(MANIFEST),
            serde_json::to_vec(&manifest).unwrap(),
        )
        .unwrap();
        manifest
    }

    #[test]
    fn whole_files_pass_and_a_flipped_byte_or_a_missing_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = sample(folder.path());
        assert_eq!(Manifest::verify(folder.path()).unwrap(), manifest);
        for name in FILES {
            let path = folder.path().join(name);
            let whole = fs::read(&path).unwrap();
            let mut flipped = whole.clone();
            flipped[3] ^= 1;
            fs::write(&path, flipped).unwrap();
            assert!(
                matches!(
                    Manifest::verify(folder.path()),
                    Err(ManifestError::Damaged { .. })
                ),
                "{name}"
            );
            fs::remove_file(&path).unwrap();
            assert!(
                matches!(
                    Manifest::verify(folder.path()),
                    Err(ManifestError::Read { .. })
                ),
                "{name}"
            );
            fs::write(&path, whole).unwrap();
        }
    }

    #[test]
    fn a_newer_version_and_an_unlisted_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let good = sample(folder.path());
        let write = |manifest: &Manifest| {
            let text = serde_json::to_vec(manifest).unwrap();
            fs::write(folder.path().join(MANIFEST), text).unwrap();
        };
        write(&Manifest {
            v: 2,
            ..good.clone()
        });
        assert!(matches!(
            Manifest::load(folder.path()),
            Err(ManifestError::Version { found: 2, .. })
        ));
        let mut short = good;
        short.files.remove("tools.img");
        write(&short);
        assert!(matches!(
            Manifest::load(folder.path()),
            Err(ManifestError::Unlisted {
                file: "tools.img",
                ..
            })
        ));
    }
}
