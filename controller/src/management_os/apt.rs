//! A private apt root: own lists, own cache, own architecture, the host's mirrors and keys. So any Debian host gets
//! packages of any architecture, without root and without touching its own apt.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::manifest::sha256_of;
use super::process::{self, ToolError};
use super::{Arch, sources};
use crate::ordered::Gather as _;

/// Why packages could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AptError {
    /// The host has no Debian archive that we can use.
    #[error(
        "this host is no Debian (no Debian archive in /etc/apt): build on a Debian host and use `enforcer management-os import`"
    )]
    NotDebian,
    /// Debian's keys are not installed.
    #[error(
        "Debian's archive keys are missing on this host: apt-get install debian-archive-keyring"
    )]
    NoKeyring,
    /// A folder of the private root could not be written.
    #[error("writing {path}")]
    Write {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The archive has no such package for the architecture.
    #[error("Debian's archive has no package {package} for {arch}")]
    NoPackage {
        /// Package that was looked for.
        package: String,
        /// For this architecture.
        arch: Arch,
    },
    /// A quote or line end in a path would break apt's configuration.
    #[error(
        "{path:?} cannot be written into apt's configuration: choose a state folder with plain characters"
    )]
    OddPath {
        /// The path.
        path: PathBuf,
    },
}

/// One downloaded package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deb {
    /// Package name.
    pub name: String,
    /// Debian version.
    pub version: String,
    /// The file.
    pub path: PathBuf,
}

/// What the archive says about a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Package name.
    pub name: String,
    /// First alternative of each dependency.
    pub depends: Vec<String>,
}

/// The private root.
pub(super) struct AptRoot {
    folder: PathBuf,
    arch: Arch,
}

impl AptRoot {
    /// Writes the root's configuration into `folder` (kept between builds: it is also the cache).
    ///
    /// # Errors
    /// When this host is no Debian, or the folder cannot be written.
    pub(super) fn open(folder: &Path, arch: Arch) -> Result<Self, AptError> {
        let host = Path::new("/");
        let sources = sources::of_host(host);
        if sources.is_empty() {
            return Err(AptError::NotDebian);
        }
        let keyring = sources::keyring(host).ok_or(AptError::NoKeyring)?;
        let plain = folder.to_str().filter(|text| !text.contains(['"', '\n']));
        let plain = plain.ok_or_else(|| AptError::OddPath {
            path: folder.to_owned(),
        })?;
        for part in [
            "state/lists/partial",
            "cache/archives/partial",
            "empty",
            "debs",
        ] {
            let path = folder.join(part);
            fs::create_dir_all(&path).map_err(|source| AptError::Write { path, source })?;
        }
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|source| AptError::Write { path, source })
        };
        write("status", String::new())?;
        write("sources.list", sources::render(&sources, &keyring))?;
        write("apt.conf", configuration(plain, arch, &host_settings()?))?;
        Ok(Self {
            folder: folder.to_owned(),
            arch,
        })
    }

    /// Fetches the package lists.
    ///
    /// # Errors
    /// When apt-get fails (no network, a bad mirror).
    pub(super) fn update(&self) -> Result<(), AptError> {
        // Without this, apt-get answers 0 when a mirror could not be reached.
        self.run(
            "apt-get",
            &["update", "-o", "APT::Update::Error-Mode=any", "-q"],
        )?;
        Ok(())
    }

    /// What the archive says about these packages; those it does not have are left out.
    ///
    /// # Errors
    /// When apt-cache cannot be run.
    pub(super) fn records(&self, packages: &[&str]) -> Result<Vec<Record>, AptError> {
        let mut arguments = vec!["show", "--no-all-versions"];
        arguments.extend(packages);
        match self.run("apt-cache", &arguments) {
            Ok(text) => Ok(records(&String::from_utf8_lossy(&text))),
            // apt-cache's answer when it has none of them.
            Err(AptError::Tool(ToolError::Failed { .. })) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// One package's record.
    ///
    /// # Errors
    /// When the archive does not have it.
    pub(super) fn record(&self, package: &str) -> Result<Record, AptError> {
        let found = self
            .records(&[package])?
            .into_iter()
            .find(|record| record.name == package);
        found.ok_or_else(|| AptError::NoPackage {
            package: package.to_owned(),
            arch: self.arch,
        })
    }

    /// Downloads packages that are not in the cache yet; apt checks their hashes against the signed lists, we check
    /// those from the cache again.
    ///
    /// # Errors
    /// When a package does not exist or cannot be fetched.
    pub(super) fn download(&self, packages: &[String]) -> Result<Vec<Deb>, AptError> {
        let mut arguments = vec!["download", "--print-uris"];
        arguments.extend(packages.iter().map(String::as_str));
        let text = self.run("apt-get", &arguments)?;
        let debs = self.folder.join("debs");
        let offers: Vec<Offer> = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(Offer::parse)
            .collect();
        let missing: Vec<&str> = offers
            .iter()
            .filter(|offer| !offer.is_in(&debs))
            .map(|offer| offer.name.as_str())
            .collect();
        if !missing.is_empty() {
            missing.iter().for_each(|name| forget(&debs, name));
            let mut arguments = vec!["download", "-q"];
            arguments.extend(missing);
            self.run_in("debs", "apt-get", &arguments)?;
        }
        let deb = |offer: Offer| Deb {
            path: debs.join(&offer.file),
            name: offer.name,
            version: offer.version,
        };
        Ok(offers.into_iter().map(deb).collect())
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Result<Vec<u8>, AptError> {
        // Not in `debs`: apt would leave out of its answer what is there already.
        self.run_in("empty", program, arguments)
    }

    fn run_in(&self, folder: &str, program: &str, arguments: &[&str]) -> Result<Vec<u8>, AptError> {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("APT_CONFIG", self.folder.join("apt.conf"))
            .current_dir(self.folder.join(folder));
        Ok(process::run(&mut command, "apt")?)
    }
}

/// Unpacks a package's files; no root needed, owners are not kept.
///
/// # Errors
/// When dpkg-deb fails.
pub(super) fn unpack(deb: &Path, into: &Path) -> Result<(), ToolError> {
    process::run(
        Command::new("dpkg-deb").arg("--extract").arg(deb).arg(into),
        "dpkg",
    )
    .map(drop)
}

/// Proxy, date and retry settings of the host: they belong to its network, so the private root needs them too.
fn host_settings() -> Result<String, AptError> {
    let dump = process::run(Command::new("apt-config").arg("dump"), "apt")?;
    let kept = [
        "Acquire::http",
        "Acquire::https",
        "Acquire::Check-",
        "Acquire::Retries",
        "Acquire::ForceIPv",
        "Dir::Etc::netrc",
    ];
    let dump = String::from_utf8_lossy(&dump);
    let lines = dump
        .lines()
        .filter(|line| kept.iter().any(|start| line.starts_with(start)));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

fn configuration(folder: &str, arch: Arch, host_settings: &str) -> String {
    // Sandbox: as root, apt would drop to `_apt`, which may not enter a state folder of mode 0700.
    format!(
        "Dir::State \"{folder}/state\";\nDir::State::status \"{folder}/status\";\nDir::Cache \"{folder}/cache\";\n\
         Dir::Etc::sourcelist \"{folder}/sources.list\";\nDir::Etc::sourceparts \"{folder}/empty\";\n\
         Dir::Etc::parts \"{folder}/empty\";\nDir::Etc::main \"{folder}/empty/none\";\n\
         Dir::Etc::preferencesparts \"{folder}/empty\";\nDir::Etc::preferences \"{folder}/empty/none\";\n\
         APT::Architecture \"{arch}\";\nAPT::Architectures {{ \"{arch}\"; }};\n\
         APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\nDebug::NoLocking \"1\";\n{host_settings}"
    )
}

/// Removes a package's older files, so that the cache holds one version of each.
fn forget(debs: &Path, name: &str) {
    for entry in fs::read_dir(debs).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().split('_').next() == Some(name) {
            // What cannot be removed only costs space.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// A line of `apt-get download --print-uris`: `'http://…' name_version_arch.deb size SHA256:…`.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    name: String,
    version: String,
    file: String,
    sha256: String,
}

impl Offer {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix('\'')?.split_whitespace();
        let (_uri, file, _size, hash) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        let (name, rest) = file.split_once('_')?;
        Some(Self {
            name: name.to_owned(),
            version: rest.rsplit_once('_')?.0.replace("%3a", ":"),
            file: file.to_owned(),
            sha256: hash.strip_prefix("SHA256:")?.to_owned(),
        })
    }

    fn is_in(&self, debs: &Path) -> bool {
        sha256_of(&debs.join(&self.file)).is_ok_and(|(_, sha256)| sha256 == self.sha256)
    }
}

fn records(text: &str) -> Vec<Record> {
    text.split("\n\n").filter_map(record).collect()
}

fn record(stanza: &str) -> Option<Record> {
    let fields: BTreeMap<&str, &str> = stanza
        .lines()
        .filter_map(|line| line.split_once(": "))
        .gather();
    let first = |dependency: &str| {
        let name = dependency.split('|').next()?.split_whitespace().next()?;
        Some(name.split(':').next().unwrap_or(name).to_owned())
    };
    let both = ["Pre-Depends", "Depends"]
        .iter()
        .filter_map(|key| fields.get(key));
    let depends = both
        .flat_map(|list| list.split(','))
        .filter_map(first)
        .collect();
    Some(Record {
        name: (*fields.get("Package")?).to_owned(),
        depends,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_dependencies_are_the_first_alternatives() {
        let text = "Package: partclone\nVersion: 0.3\nPre-Depends: libc6:any (>= 2.34)\nDepends: libfuse2 (>= 2.6) | fuse, zlib1g\n\nPackage: b\nVersion: 1\n";
        let depends = ["libc6", "libfuse2", "zlib1g"].map(str::to_owned).to_vec();
        let want = [
            Record {
                name: "partclone".into(),
                depends,
            },
            Record {
                name: "b".into(),
                depends: Vec::new(),
            },
        ];
        assert_eq!(records(text), want);
    }

    #[test]
    fn an_offer_keeps_the_epoch_of_its_version() {
        let line = "'http://x/busybox-static_1.35_amd64.deb' busybox-static_1%3a1.35.0-4+b1_amd64.deb 928188 SHA256:3d3f";
        let offer = Offer::parse(line).unwrap();
        assert_eq!(
            (
                offer.name.as_str(),
                offer.version.as_str(),
                offer.sha256.as_str()
            ),
            ("busybox-static", "1:1.35.0-4+b1", "3d3f")
        );
        assert_eq!(Offer::parse("Get:1 something"), None);
    }

    #[test]
    fn the_configuration_names_our_folders_and_the_foreign_architecture() {
        let text = configuration(
            "/s/apt",
            Arch::Arm64,
            "Acquire::http::Proxy \"http://p:1\";\n",
        );
        for part in [
            "Dir::State::status \"/s/apt/status\";",
            "APT::Architectures { \"arm64\"; };",
            "Acquire::http::Proxy \"http://p:1\";",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
