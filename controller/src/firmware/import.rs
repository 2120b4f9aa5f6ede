//! How the firmware folder is filled: from Debian's packages by itself, from a person's file by name.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::disk;

use super::{
    LOCALBOOT, localboot,
    manifest::{Entry, Manifest, ManifestError, Use, hash_file, is_inside, write_whole},
};

/// Where Debian's `ipxe` package puts its builds: file, our name, use. Newer packages name the arm64 ones so.
const DEBIAN: [(&str, &str, Option<Use>); 5] = [
    (
        "/usr/lib/ipxe/undionly.kpxe",
        "undionly.kpxe",
        Some(Use::Bios),
    ),
    // Both reach the disk through localboot.efi, but only snponly.efi gives the machine back to its firmware by `exit 1` when
    // that is not in memory (docs/LOCAL-BOOT.md); it uses the firmware's own network driver, so it knows every boot card.
    (
        "/usr/lib/ipxe/snponly.efi",
        "snponly.efi",
        Some(Use::UefiX64),
    ),
    ("/usr/lib/ipxe/ipxe.efi", "ipxe.efi", None),
    (
        "/usr/lib/ipxe/ipxe-arm64.efi",
        "ipxe-arm64.efi",
        Some(Use::UefiArm64),
    ),
    ("/usr/lib/ipxe/snponly-arm64.efi", "snponly-arm64.efi", None),
];

/// `localboot.efi` as the package of boot assets brings it, for hosts that cannot make it (arm64 has no GRUB for x86-64).
const PACKAGED_LOCALBOOT: &str = "/usr/share/enforcer/firmware/localboot.efi";

/// A file that cannot be put in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The file itself.
    #[error("cannot use {}; {}", path.display(), disk::cure(source))]
    File {
        /// Which file.
        path: PathBuf,
        /// As the system says.
        source: io::Error,
    },
    /// Its name.
    #[error("'{0}' cannot be a firmware name; use a relative path without '..'")]
    Name(String),
}

/// Puts what is missing into the folder: Debian's iPXE builds, and `localboot.efi` made by GRUB. What is there already
/// stays as it is, so that a person's own choice survives. What could not be made is left out.
///
/// # Errors
/// When the folder cannot be written.
pub fn fill(folder: &Path) -> Result<(), ImportError> {
    let mut manifest = Manifest::read(folder)?;
    let before = manifest.clone();
    for (source, name, used_for) in DEBIAN {
        let known = manifest.files.iter().any(|e| e.name == name);
        let source = Path::new(source);
        if !known && source.is_file() {
            let taken = manifest
                .files
                .iter()
                .any(|e| e.used_for.is_some() && e.used_for == used_for);
            let used_for = used_for.filter(|_| !taken);
            manifest.put(copy(folder, source, name, used_for, "Debian package ipxe")?);
        }
    }
    if !manifest.files.iter().any(|e| e.name == LOCALBOOT)
        && let Some(made) = local_boot(folder, Path::new(PACKAGED_LOCALBOOT))?
    {
        manifest.put(made);
    }
    if manifest != before {
        manifest.write(folder)?;
    }
    Ok(())
}

/// `localboot.efi`, from the package of boot assets or made here; `None` where neither can be had.
fn local_boot(folder: &Path, packaged: &Path) -> Result<Option<Entry>, ImportError> {
    if packaged.is_file() {
        return copy(
            folder,
            packaged,
            LOCALBOOT,
            None,
            "package enforcer-boot-assets",
        )
        .map(Some);
    }
    let Ok(program) = localboot::build() else {
        return Ok(None);
    };
    let path = folder.join(LOCALBOOT);
    write_whole(&path, &program).map_err(|source| ImportError::File { path, source })?;
    entry(folder, LOCALBOOT, None, "made by grub-mkimage").map(Some)
}

/// Puts a person's file in, under `name`.
///
/// # Errors
/// When it cannot be read, named so, or written.
pub fn add(
    folder: &Path,
    source: &Path,
    name: &str,
    used_for: Option<Use>,
) -> Result<Entry, ImportError> {
    if !is_inside(name) {
        return Err(ImportError::Name(name.to_owned()));
    }
    let mut manifest = Manifest::read(folder)?;
    let entry = copy(
        folder,
        source,
        name,
        used_for,
        &format!("added from {}", source.display()),
    )?;
    manifest.put(entry.clone());
    manifest.write(folder)?;
    Ok(entry)
}

fn copy(
    folder: &Path,
    source: &Path,
    name: &str,
    used_for: Option<Use>,
    origin: &str,
) -> Result<Entry, ImportError> {
    let bytes = fs::read(source).map_err(|e| ImportError::File {
        path: source.to_owned(),
        source: e,
    })?;
    let path = folder.join(name);
    write_whole(&path, &bytes).map_err(|source| ImportError::File { path, source })?;
    entry(folder, name, used_for, origin)
}

fn entry(
    folder: &Path,
    name: &str,
    used_for: Option<Use>,
    origin: &str,
) -> Result<Entry, ImportError> {
    let path = folder.join(name);
    let (sha256, size) = hash_file(&path).map_err(|source| ImportError::File { path, source })?;
    Ok(Entry {
        name: name.to_owned(),
        sha256,
        size,
        used_for,
        origin: origin.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packaged_localboot_is_taken_before_one_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let packaged = dir.path().join("packaged.efi");
        fs::write(&packaged, b"MZ packaged").unwrap();
        let folder = dir.path().join("firmware");
        let entry = local_boot(&folder, &packaged).unwrap().unwrap();
        assert_eq!(
            (entry.name.as_str(), entry.origin.as_str()),
            (LOCALBOOT, "package enforcer-boot-assets")
        );
        assert_eq!(fs::read(folder.join(LOCALBOOT)).unwrap(), b"MZ packaged");
    }
}
