//! The management OS: a Debian kernel and a small archive with busybox, drivers and our static agent, that a machine
//! boots over the network to show its hardware and, later, to write images. Built here on any Debian host (also for
//! another architecture), or imported from one. Blocking throughout: it is a command, never part of the server.

mod apt;
mod build;
mod command;
mod cpio;
mod elf;
mod import;
mod initramfs;
mod install;
mod manifest;
mod modules;
mod process;
mod sources;
mod tools;

pub use apt::AptError;
pub use build::{BuildError, BuildOptions, Built, build};
pub use command::{ManagementOsCommand, ManagementOsError, run};
pub use import::{ImportError, import};
pub use install::{InstallError, folder_of, list};
pub use manifest::{FileEntry, MANIFEST, Manifest, ManifestError};
pub use process::ToolError;

use serde::{Deserialize, Serialize};

/// Architecture of the machines that boot it, by Debian's name.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// PCs and servers (x86-64).
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

/// Which drivers are inside.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// Virtual machines only: virtio and what the clouds use. Small and quick to start.
    Virtio,
    /// Real hardware: the common network cards and disk controllers, and all of virtio.
    Generic,
}

impl Flavour {
    /// The Debian package that leads to the newest kernel of this flavour.
    fn kernel_package(self, arch: Arch) -> &'static str {
        match (self, arch) {
            (Self::Virtio, Arch::Amd64) => "linux-image-cloud-amd64",
            (Self::Virtio, Arch::Arm64) => "linux-image-cloud-arm64",
            (Self::Generic, Arch::Amd64) => "linux-image-amd64",
            (Self::Generic, Arch::Arm64) => "linux-image-arm64",
        }
    }
}

impl std::fmt::Display for Arch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        })
    }
}

impl std::fmt::Display for Flavour {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Virtio => "virtio",
            Self::Generic => "generic",
        })
    }
}
