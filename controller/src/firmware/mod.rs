//! The firmware folder: boot programs that machines load before any script, by manifest with hashes.
//!
//! Filled by itself from Debian's `ipxe` package and GRUB when it is empty; `enforcer firmware add` puts others in. Only
//! what the manifest names, with the hash it names, is served.

mod command;
mod import;
mod localboot;
mod manifest;

use std::{collections::BTreeMap, fs, io, path::Path};

use bytes::Bytes;
pub use command::{FirmwareCommand, run};
pub use import::{ImportError, add, fill};
use ipxe::{Arch, Firmware};
use ipxe_net::BootFile;
pub use manifest::{Entry, Manifest, ManifestError, Use};

/// `localboot.efi`'s name: what the general script fetches first on UEFI.
pub const LOCALBOOT: &str = "localboot.efi";
/// Where a Raspberry Pi's files are.
const PI: &str = "raspberry-pi/";
/// Kept in memory up to this size, bytes; larger ones (a Raspberry Pi's kernel) are read from the disk as they are sent.
const IN_MEMORY: u64 = 2 * 1024 * 1024;

/// The files that are served.
#[derive(Debug, Default)]
pub struct FirmwareSet {
    manifest: Manifest,
    files: BTreeMap<String, BootFile>,
}

impl FirmwareSet {
    /// Opens what the manifest in `folder` names; the second value says in plain lines what is missing or spoiled.
    ///
    /// # Errors
    /// When the manifest itself cannot be read.
    pub fn open(folder: &Path) -> Result<(Self, Vec<String>), ManifestError> {
        let manifest = Manifest::read(folder)?;
        let mut files = BTreeMap::new();
        let mut notices = Vec::new();
        for entry in &manifest.files {
            match open_checked(folder, entry) {
                Ok(file) => drop(files.insert(entry.name.clone(), file)),
                Err(problem) => notices.push(format!(
                    "firmware {}: {problem}; it is not served",
                    entry.name
                )),
            }
        }
        let set = Self { manifest, files };
        notices.extend(set.missing());
        Ok((set, notices))
    }

    /// A file by its name.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&BootFile> {
        self.files.get(name)
    }

    /// The boot program for a firmware.
    #[must_use]
    pub fn program(&self, firmware: Firmware) -> Option<&str> {
        if firmware == Firmware::RaspberryPi {
            return self.pi_program();
        }
        let wanted = Use::of(firmware)?;
        let entry = self
            .manifest
            .files
            .iter()
            .find(|e| e.used_for == Some(wanted))?;
        self.files
            .contains_key(&entry.name)
            .then_some(entry.name.as_str())
    }

    /// What a Raspberry Pi is told to load: it only heeds that it is told anything, then asks for the files it knows.
    fn pi_program(&self) -> Option<&str> {
        let first = |name: &&str| self.files.contains_key(&format!("{PI}{name}"));
        ["bootcode.bin", "start4.elf", "config.txt"]
            .into_iter()
            .find(first)
    }

    /// A file by its name in any case: some ROMs and boot loaders write names in capitals.
    #[must_use]
    pub fn file_in_any_case(&self, name: &str) -> Option<&BootFile> {
        let same = |known: &&String| known.eq_ignore_ascii_case(name);
        let known = self.files.keys().find(same)?;
        self.files.get(known)
    }

    /// The names of a Raspberry Pi's files below its serial: `<serial>/start4.elf` is served from
    /// `raspberry-pi/<serial>/start4.elf`, else from `raspberry-pi/start4.elf`.
    #[must_use]
    pub fn pi_file(&self, name: &str) -> Option<&BootFile> {
        let shared = name.split_once('/').map_or(name, |(_, rest)| rest);
        self.file(&format!("{PI}{name}"))
            .or_else(|| self.file(&format!("{PI}{shared}")))
    }

    /// What the manifest says.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// A line for each kind of machine that cannot be booted with what is here.
    fn missing(&self) -> Vec<String> {
        let kinds = [
            (Firmware::Bios, "BIOS machines"),
            (Firmware::UefiPxe(Arch::X64), "x86-64 UEFI machines"),
            (Firmware::UefiPxe(Arch::Arm64), "arm64 UEFI machines"),
        ];
        let lacking = kinds
            .iter()
            .filter(|(firmware, _)| self.program(*firmware).is_none());
        let mut lines: Vec<String> = lacking
            .map(|(_, machines)| {
                format!("no iPXE for {machines}: they are not answered; `enforcer firmware add FILE --for …` provides one")
            })
            .collect();
        if self.file(LOCALBOOT).is_none() {
            lines.push(
                "no localboot.efi: UEFI machines are sent to their disk by `exit 1`, which some firmware takes slowly; \
                 install enforcer-boot-assets, or grub-common and grub-efi-amd64-bin, and start again"
                    .to_owned(),
            );
        }
        lines
    }
}

/// Opens a file and compares its hash.
fn open_checked(folder: &Path, entry: &Entry) -> Result<BootFile, String> {
    let path = folder.join(&entry.name);
    let found = manifest::hash_file(&path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "the file is missing".to_owned(),
        _ => e.to_string(),
    })?;
    if found != (entry.sha256.clone(), entry.size) {
        return Err("its bytes are not those of the manifest".to_owned());
    }
    let opened = if entry.size <= IN_MEMORY {
        fs::read(&path).map(|bytes| BootFile::Memory(Bytes::from(bytes)))
    } else {
        BootFile::open(&path)
    };
    opened.map_err(|e| e.to_string())
}
