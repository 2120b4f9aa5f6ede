//! What a machine shall run, in words that need no store to be understood and no socket to be rendered.

use serde::{Deserialize, Serialize};

/// The answer to "what does this machine boot?". Everything a script needs is inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootPlan {
    /// A boot config that is due.
    Config(ConfigBoot),
    /// The management OS.
    Management(KernelBoot),
    /// Ask the remote Enforcers, then decide again with their answers.
    AskPeers,
    /// The machine's own disk.
    LocalDisk(LocalBoot),
    /// Not ours: say nothing.
    Silent,
}

impl BootPlan {
    /// The plan's kind, as events and `explain` name it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Config(_) => "config",
            Self::Management(_) => "management-os",
            Self::AskPeers => "ask-peers",
            Self::LocalDisk(_) => "local-disk",
            Self::Silent => "silent",
        }
    }
}

/// A boot config, ready to be written as a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigBoot {
    /// Load a kernel and its initrds, then start it.
    Kernel(KernelBoot),
    /// A person's own iPXE lines, already rendered and checked.
    Script(String),
}

/// A Linux-style kernel with its initrds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelBoot {
    /// The kernel.
    pub kernel: FileRef,
    /// Loaded in this order.
    pub initrds: Vec<FileRef>,
    /// Path that is fetched when all files are in memory, just before the kernel starts: the machine's own word that it
    /// has them. `None`: nobody wants to know.
    pub loaded: Option<String>,
    /// Kernel command line, without `initrd=`, which the script adds.
    pub cmdline: String,
}

/// A file that the script fetches from the server that serves the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRef {
    /// The image's name inside iPXE; letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// Absolute path on the boot HTTP server, percent-encoded, such as `/boot/n/…/vmlinuz`.
    pub path: String,
}

/// How a machine is sent to its own disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalBoot {
    /// What is measured best for the firmware: `sanboot` then `exit` on BIOS; `localboot.efi`, else `exit 1`, on UEFI.
    #[default]
    Auto,
    /// `sanboot --no-describe --drive 0x80` (BIOS; hangs on some controllers, TRAPS 24).
    Sanboot,
    /// `exit`: back to the firmware as a success.
    Exit,
    /// `exit 1`: back to the firmware as a failure, which takes UEFI to the next boot entry (TRAPS 23).
    ExitFailure,
    /// `localboot.efi`, fetched into memory by the general script.
    Localboot,
}
