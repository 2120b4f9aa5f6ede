//! The second archive: programs that only jobs need (partitioning, cloning, discarding, boot order), with the shared
//! libraries they name. It is unpacked over the same root when a job's boot script loads it as a second initrd.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::apt::{AptError, AptRoot};
use super::build::BuildError;
use super::cpio::Archive;
use super::{Arch, elf};
use crate::ordered::Gather as _;

/// Packages and the programs taken from them; a name that ends in `*` takes all that start so.
pub(super) const TOOLS: [(&str, &[&str]); 8] = [
    ("partclone", &["partclone.*"]),
    ("gdisk", &["sgdisk"]),
    ("fdisk", &["sfdisk"]),
    ("util-linux", &["blkdiscard"]),
    ("nvme-cli", &["nvme"]),
    ("efibootmgr", &["efibootmgr"]),
    ("kexec-tools", &["kexec"]),
    // libext2fs2 needs this one without saying so: it belongs to the packages that every Debian has.
    ("libcom-err2", &[]),
];

/// Where Debian keeps programs.
const PROGRAM_FOLDERS: [&str; 4] = ["usr/sbin", "sbin", "usr/bin", "bin"];

/// A library tree deeper than this is a loop.
const DEPTH_LIMIT: usize = 12;

/// The tools' packages and the library packages they lead to. Only libraries are followed: scripts of a package's
/// installation (perl, adduser) have no place in the archive.
pub(super) fn packages(apt: &AptRoot) -> Result<Vec<String>, AptError> {
    let mut found: BTreeSet<String> = TOOLS
        .iter()
        .map(|(package, _)| (*package).to_owned())
        .gather();
    let mut open: Vec<String> = found.iter().cloned().collect();
    for package in &open {
        apt.record(package)?;
    }
    for _ in 0..DEPTH_LIMIT {
        let names: Vec<&str> = open.iter().map(String::as_str).collect();
        let depends = apt
            .records(&names)?
            .into_iter()
            .flat_map(|record| record.depends);
        open = depends
            .filter(|name| is_library(name) && found.insert(name.clone()))
            .collect();
        if open.is_empty() {
            break;
        }
    }
    Ok(found.into_iter().collect())
}

fn is_library(package: &str) -> bool {
    (package.starts_with("lib") && !package.ends_with("-perl") && !package.starts_with("libperl"))
        || package == "zlib1g"
}

/// Puts the archive together from the packages unpacked below `root`.
pub(super) fn assemble(root: &Path, arch: Arch) -> Result<Archive, BuildError> {
    let mut archive = Archive::default();
    let mut open: Vec<(String, Vec<u8>)> = Vec::new();
    for (package, patterns) in TOOLS {
        for pattern in patterns {
            let programs = programs(root, pattern);
            if programs.is_empty() {
                return Err(BuildError::Layout(format!(
                    "the package {package} has no program {pattern}"
                )));
            }
            for (name, path) in programs {
                let content = fs::read(&path).map_err(BuildError::file(&path))?;
                archive.program(&format!("usr/sbin/{name}"), content.clone());
                open.push((name, content));
            }
        }
    }
    let libraries = libraries(root, arch);
    let mut have = BTreeSet::new();
    while let Some((user, content)) = open.pop() {
        // A program of a package may be a script; those name no libraries.
        let Some(elf) = elf::read(&content) else {
            continue;
        };
        let loader = elf
            .loader
            .map(|path| path.trim_start_matches('/').to_owned());
        let paths = elf
            .needed
            .iter()
            .map(|name| format!("lib/{}/{name}", triplet(arch)))
            .chain(loader);
        for path in paths {
            let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
            if !have.insert(path.clone()) {
                continue;
            }
            let file = libraries.get(&name);
            let file = file.ok_or_else(|| {
                BuildError::Layout(format!(
                    "{user} needs {name}, which none of the packages has"
                ))
            })?;
            let content = fs::read(file).map_err(BuildError::file(file))?;
            archive.program(&path, content.clone());
            open.push((name, content));
        }
    }
    Ok(archive)
}

fn programs(root: &Path, pattern: &str) -> BTreeMap<String, PathBuf> {
    let wanted = |name: &str| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    };
    let entries = PROGRAM_FOLDERS
        .iter()
        .flat_map(|folder| entries(&root.join(folder)));
    entries.filter(|(name, _)| wanted(name)).gather()
}

/// Every library file below the architecture's folders, by name; links within the root are followed.
fn libraries(root: &Path, arch: Arch) -> BTreeMap<String, PathBuf> {
    let triplet = triplet(arch);
    let folders = [
        format!("usr/lib/{triplet}"),
        format!("lib/{triplet}"),
        "usr/lib64".into(),
        "lib64".into(),
        "usr/lib".into(),
        "lib".into(),
    ];
    let mut found = BTreeMap::new();
    for (name, path) in folders
        .iter()
        .flat_map(|folder| entries(&root.join(folder)))
    {
        found.entry(name).or_insert(path);
    }
    found
}

/// Files of a folder with links resolved; a link that leads out of the host's or our root is simply not there.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let listing = fs::read_dir(folder).into_iter().flatten().flatten();
    let file = |entry: fs::DirEntry| {
        let path = entry.path();
        let target = fs::read_link(&path).ok();
        // An absolute link would lead to the host's own file.
        let inside = target.is_none_or(|target| target.is_relative());
        (inside && path.is_file()).then_some((entry.file_name().into_string().ok()?, path))
    };
    listing.filter_map(file).collect()
}

fn triplet(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "x86_64-linux-gnu",
        Arch::Arm64 => "aarch64-linux-gnu",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_libraries_are_followed() {
        let check = |name: &str, want: bool| assert_eq!(is_library(name), want, "{name}");
        for (name, want) in [
            ("libblkid1", true),
            ("zlib1g", true),
            ("uuid-runtime", false),
            ("libfile-find-rule-perl", false),
            ("perl", false),
        ] {
            check(name, want);
        }
    }

    #[test]
    fn a_missing_library_is_named_with_its_user() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("usr/sbin");
        fs::create_dir_all(&folder).unwrap();
        // This test program needs libc, and the root has none.
        for name in [
            "partclone.dd",
            "sgdisk",
            "sfdisk",
            "blkdiscard",
            "nvme",
            "efibootmgr",
            "kexec",
        ] {
            fs::copy(std::env::current_exe().unwrap(), folder.join(name)).unwrap();
        }
        let error = assemble(root.path(), Arch::Amd64).unwrap_err().to_string();
        assert!(error.contains("which none of the packages has"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named_with_its_package() {
        let root = tempfile::tempdir().unwrap();
        let error = assemble(root.path(), Arch::Amd64).unwrap_err().to_string();
        assert!(
            error.contains("partclone has no program partclone.*"),
            "{error}"
        );
    }
}
