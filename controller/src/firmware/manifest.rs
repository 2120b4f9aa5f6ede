//! `firmware/manifest.json`: each file with its size, hash, origin and use.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use ipxe::{Arch, Firmware};
use mesh_proto::json;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk;

/// Name of the manifest in its folder.
const NAME: &str = "manifest.json";

/// What a boot program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// BIOS machines: a `.kpxe` or `.pxe`.
    Bios,
    /// 32-bit x86 UEFI.
    UefiX86,
    /// x86-64 UEFI, by PXE and by HTTP.
    UefiX64,
    /// 32-bit Arm UEFI.
    UefiArm32,
    /// arm64 UEFI, by PXE and by HTTP.
    UefiArm64,
}

impl Use {
    /// The words a person reads.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Bios => "BIOS",
            Self::UefiX86 => "32-bit x86 UEFI",
            Self::UefiX64 => "x86-64 UEFI",
            Self::UefiArm32 => "32-bit Arm UEFI",
            Self::UefiArm64 => "arm64 UEFI",
        }
    }

    /// The use for a firmware; none for a Raspberry Pi, which names its files itself.
    #[must_use]
    pub fn of(firmware: Firmware) -> Option<Self> {
        match firmware {
            Firmware::Bios => Some(Self::Bios),
            Firmware::RaspberryPi => None,
            Firmware::UefiPxe(arch) | Firmware::UefiHttp(arch) => Some(match arch {
                Arch::X86 => Self::UefiX86,
                Arch::X64 => Self::UefiX64,
                Arch::Arm32 => Self::UefiArm32,
                Arch::Arm64 => Self::UefiArm64,
            }),
        }
    }
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name: relative, forward slashes, no segment that starts with a dot.
    pub name: String,
    /// SHA-256, lower-case hex.
    pub sha256: String,
    /// Length, bytes.
    pub size: u64,
    /// Which machines load it first, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_for: Option<Use>,
    /// Where it came from, for a person.
    pub origin: String,
}

/// The list of files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The files.
    pub files: Vec<Entry>,
}

/// A manifest that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The disk refuses.
    #[error("cannot use {}; {}", path.display(), disk::cure(source))]
    Io {
        /// Which file.
        path: PathBuf,
        /// As the system says.
        source: io::Error,
    },
    /// No JSON of ours.
    #[error("{} is damaged ({problem}); remove it and start again to have it made anew", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
}

impl Manifest {
    /// Reads it; an absent one is empty.
    ///
    /// # Errors
    /// When it cannot be read, or names a file outside its folder.
    pub fn read(folder: &Path) -> Result<Self, ManifestError> {
        let path = folder.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(ManifestError::Io { path, source }),
        };
        let manifest: Self =
            json::from_slice(text.as_bytes()).map_err(|e| ManifestError::Damaged {
                path: path.clone(),
                problem: e.to_string(),
            })?;
        match manifest.files.iter().find(|e| !is_inside(&e.name)) {
            Some(e) => Err(ManifestError::Damaged {
                path,
                problem: format!("'{}' is no file name", e.name),
            }),
            None => Ok(manifest),
        }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// As the disk refuses.
    pub fn write(&self, folder: &Path) -> Result<(), ManifestError> {
        let path = folder.join(NAME);
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        write_whole(&path, &text).map_err(|source| ManifestError::Io { path, source })
    }

    /// Puts an entry in; it replaces the one of its name, and the earlier one of its use.
    pub fn put(&mut self, entry: Entry) {
        if entry.used_for.is_some() {
            self.files
                .iter_mut()
                .filter(|e| e.used_for == entry.used_for)
                .for_each(|e| e.used_for = None);
        }
        self.files.retain(|e| e.name != entry.name);
        self.files.push(entry);
    }
}

/// Whether a name stays inside its folder.
pub(super) fn is_inside(name: &str) -> bool {
    !name.is_empty()
        && name
            .split('/')
            .all(|s| !s.is_empty() && !s.starts_with('.') && !s.contains('\\'))
}

/// Writes a file beside, syncs it, renames it: a reader sees the old or the new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// SHA-256 and length of a file.
pub(super) fn hash_file(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut size = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((format!("{:x}", hasher.finalize()), size));
        }
        hasher.update(&buffer[..n]);
        size += n as u64;
    }
}
