//! Takes in a management OS that was built elsewhere: a folder, or a tar file with the same four files. Nothing is put
//! in place before sizes and hashes agree with the manifest.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use super::Built;
use super::install::{InstallError, Staging, folder_of};
use super::manifest::{FILES, MANIFEST, Manifest, ManifestError};

/// No file of a management OS comes near this; a larger one would only fill the disk.
const FILE_LIMIT_BYTES: u64 = 512 << 20;

/// A tar header block.
const BLOCK: usize = 512;

/// Why nothing was taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source could not be read.
    #[error("reading {path}")]
    Read {
        /// Folder or file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not a tar file.
    #[error(
        "{0} is neither a folder nor an uncompressed tar file; make one with `tar -C FOLDER -cf FILE.tar .`"
    )]
    NotTar(PathBuf),
    /// A file is larger than any of ours.
    #[error("{0} is larger than any file of a management OS")]
    TooLarge(String),
    /// A file could not be written.
    #[error("writing {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The files are not what the manifest says.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The files could not be put in place.
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// Checks `source` and puts it in place below `state`.
///
/// # Errors
/// When a file is missing, too large, or differs from the manifest.
pub fn import(source: &Path, state: &Path) -> Result<Built, ImportError> {
    let imports = state.join("assets/management-os/import");
    let staging = Staging::beside(&imports)?;
    let metadata = fs::metadata(source).map_err(|error| ImportError::Read {
        path: source.to_owned(),
        source: error,
    })?;
    if metadata.is_dir() {
        copy_folder(source, staging.path())?;
    } else {
        unpack_tar(source, staging.path())?;
    }
    let manifest = Manifest::verify(staging.path())?;
    let folder = folder_of(state, manifest.arch, manifest.flavour);
    staging.put_at(&folder)?;
    Ok(Built { folder, manifest })
}

fn our_files() -> impl Iterator<Item = &'static str> {
    FILES.into_iter().chain([MANIFEST])
}

fn copy_folder(from: &Path, into: &Path) -> Result<(), ImportError> {
    for name in our_files() {
        let path = from.join(name);
        let file = File::open(&path).map_err(|source| ImportError::Read {
            path: path.clone(),
            source,
        })?;
        copy(file, &into.join(name), &path)?;
    }
    Ok(())
}

fn copy(from: impl Read, into: &Path, what: &Path) -> Result<(), ImportError> {
    let write = |source| ImportError::Write {
        path: into.to_owned(),
        source,
    };
    let mut file = File::create(into).map_err(write)?;
    let count = io::copy(&mut from.take(FILE_LIMIT_BYTES + 1), &mut file).map_err(write)?;
    if count > FILE_LIMIT_BYTES {
        Err(ImportError::TooLarge(what.display().to_string()))
    } else {
        Ok(())
    }
}

/// Takes our four files out of a tar; everything else in it is skipped, so no path of a stranger is ever used.
fn unpack_tar(path: &Path, into: &Path) -> Result<(), ImportError> {
    let read = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let mut tar = BufReader::new(File::open(path).map_err(read)?);
    let mut block = [0u8; BLOCK];
    let mut first = true;
    loop {
        match tar.read_exact(&mut block) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !first => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(ImportError::NotTar(path.to_owned()));
            }
            other => other.map_err(read)?,
        }
        // The archive ends with blocks of zeros.
        if block.iter().all(|byte| *byte == 0) && !first {
            return Ok(());
        }
        first = false;
        let entry = Entry::parse(&block).ok_or_else(|| ImportError::NotTar(path.to_owned()))?;
        let padded = entry.bytes.next_multiple_of(BLOCK as u64);
        let Some(name) = entry.ours() else {
            skip(&mut tar, padded).map_err(read)?;
            continue;
        };
        if entry.bytes > FILE_LIMIT_BYTES {
            return Err(ImportError::TooLarge(name.to_owned()));
        }
        copy((&mut tar).take(entry.bytes), &into.join(name), path)?;
        skip(&mut tar, padded - entry.bytes).map_err(read)?;
    }
}

fn skip(from: &mut impl Read, bytes: u64) -> io::Result<()> {
    io::copy(&mut from.take(bytes), &mut io::sink()).map(drop)
}

/// What matters of a tar header.
struct Entry {
    name: String,
    bytes: u64,
    is_file: bool,
}

impl Entry {
    fn parse(block: &[u8; BLOCK]) -> Option<Self> {
        if &block[257..262] != b"ustar" {
            return None;
        }
        let text = |field: &[u8]| {
            String::from_utf8_lossy(field)
                .trim_matches(['\0', ' '])
                .to_owned()
        };
        let bytes = u64::from_str_radix(&text(&block[124..136]), 8).ok()?;
        // Also for padding: no size of twelve octal digits reaches the edge of u64.
        Some(Self {
            name: text(&block[..100]),
            bytes,
            is_file: matches!(block[156], b'0' | 0),
        })
    }

    /// One of our names, when this is such a file at the top or in one folder.
    fn ours(&self) -> Option<&'static str> {
        let (_, base) = self.name.rsplit_once('/').unwrap_or(("", &self.name));
        our_files().find(|name| self.is_file && *name == base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::management_os::manifest::tests::sample;
    use crate::management_os::{Arch, Flavour, install};
    use std::process::Command;

    fn tar(folder: &Path, file: &Path) {
        let status = Command::new("tar")
            .arg("-C")
            .arg(folder)
            .arg("-cf")
            .arg(file)
            .arg(".")
            .status()
            .unwrap();
        assert!(status.success());
    }

    #[test]
    fn a_folder_and_its_tar_are_taken_in_alike() {
        let (from, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let manifest = sample(from.path());
        let file = state.path().join("x.tar");
        tar(from.path(), &file);
        for source in [from.path(), &file] {
            let built = import(source, state.path()).unwrap();
            assert_eq!(built.manifest, manifest);
            assert_eq!(
                built.folder,
                folder_of(state.path(), Arch::Amd64, Flavour::Virtio)
            );
            assert_eq!(Manifest::verify(&built.folder).unwrap(), manifest);
            assert_eq!(install::list(state.path()).len(), 1);
        }
    }

    #[test]
    fn a_flipped_byte_leaves_the_old_one_in_place() {
        let (from, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        sample(from.path());
        let built = import(from.path(), state.path()).unwrap();
        fs::write(from.path().join("initrd.img"), "Content of initrd.img").unwrap();
        let file = state.path().join("x.tar");
        tar(from.path(), &file);
        for source in [from.path(), &file] {
            assert!(matches!(
                import(source, state.path()),
                Err(ImportError::Manifest(ManifestError::Damaged { .. }))
            ));
            Manifest::verify(&built.folder).unwrap();
        }
    }

    #[test]
    fn what_is_no_tar_is_refused_and_a_strangers_path_is_never_used() {
        let (from, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for content in [&b""[..], b"short", &[7u8; 2048]] {
            let path = from.path().join("no.tar");
            fs::write(&path, content).unwrap();
            assert!(matches!(
                import(&path, state.path()),
                Err(ImportError::NotTar(_))
            ));
        }
        let entry = Entry {
            name: "../../etc/passwd".into(),
            bytes: 1,
            is_file: true,
        };
        assert_eq!(entry.ours(), None);
        let entry = Entry {
            name: "../../vmlinuz".into(),
            bytes: 1,
            is_file: true,
        };
        assert_eq!(entry.ours(), Some("vmlinuz"), "only the base name is used");
    }
}
