//! What a machine is made of, as its agent reads it: the value that travels in the READY line, over the link and into
//! the store. Versioned JSON (`"v":1`); unknown fields are ignored, so an older controller reads a newer agent.
//! Where the numbers come from is the agent's business; matching machines by them is the controller's.

use serde::{Deserialize, Serialize};

/// The version this crate writes. A reader refuses other majors and ignores unknown fields.
pub const FACTS_VERSION: u32 = 1;

/// Everything the agent could find out about one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareFacts {
    /// Format version, [`FACTS_VERSION`].
    pub v: u32,
    /// CPU architecture as the kernel names it: `x86_64`, `aarch64`.
    pub arch: String,
    /// How the running kernel was started.
    pub firmware: FirmwareMode,
    /// What SMBIOS (or the device tree) says about the machine.
    pub smbios: Smbios,
    /// Processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Network cards with hardware behind them, sorted by name.
    pub nics: Vec<Nic>,
    /// Whole disks, sorted by name; no loop, RAM, mapper or optical devices.
    pub disks: Vec<Disk>,
    /// Running kernel release (`uname -r`).
    pub kernel: Option<String>,
}

/// Started by a PC BIOS or by UEFI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirmwareMode {
    /// Legacy BIOS, or a board without either (a Raspberry Pi).
    Bios,
    /// UEFI: `/sys/firmware/efi` exists.
    Uefi,
}

/// SMBIOS identity, values as read. An empty value is `None`; placeholders ("To be filled by O.E.M.") are kept,
/// because judging them is the matching's work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Smbios {
    /// System manufacturer (type 1).
    pub vendor: Option<String>,
    /// System product name (type 1).
    pub product: Option<String>,
    /// System serial number (type 1).
    pub serial: Option<String>,
    /// System uuid (type 1), lower-case. Repeats, is zero or FF on bad boards.
    pub uuid: Option<String>,
    /// Base board manufacturer (type 2).
    pub board_vendor: Option<String>,
    /// Base board product name (type 2).
    pub board_product: Option<String>,
    /// Base board serial number (type 2).
    pub board_serial: Option<String>,
    /// Chassis serial number (type 3).
    pub chassis_serial: Option<String>,
    /// Chassis asset tag (type 3): what a person stuck on the case.
    pub chassis_asset_tag: Option<String>,
    /// BIOS or UEFI version (type 0).
    pub firmware_version: Option<String>,
}

/// The processors, summed over sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Model name of the first processor.
    pub model: Option<String>,
    /// Logical processors that are online.
    pub threads: u32,
}

/// Memory in two views: what is plugged in, and what the kernel can give out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Installed bytes: the sum of SMBIOS memory devices (type 17), else the same as `usable_bytes`.
    pub bytes: u64,
    /// `MemTotal`: less than installed by what firmware and kernel keep.
    pub usable_bytes: u64,
}

/// One network card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Kernel name; not stable between boots.
    pub name: String,
    /// Hardware address, lower-case with colons.
    pub mac: String,
    /// Kernel driver.
    pub driver: Option<String>,
    /// Negotiated speed in Mbit/s, when the link is up and the card says so.
    pub speed_mbps: Option<u32>,
    /// A carrier is there.
    pub link: bool,
}

/// One whole disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Kernel name (`sda`, `nvme0n1`); not stable between boots, so never a target by itself.
    pub name: String,
    /// Size in bytes; zero for a card reader without a card.
    pub bytes: u64,
    /// Smallest addressable unit in bytes (512 or 4096).
    pub logical_sector_bytes: u32,
    /// Smallest unit the medium writes in bytes.
    pub physical_sector_bytes: u32,
    /// Spinning medium.
    pub rotational: bool,
    /// Removable medium: never a deployment target by default.
    pub removable: bool,
    /// Model as the disk reports it.
    pub model: Option<String>,
    /// Serial number as the disk reports it.
    pub serial: Option<String>,
    /// Where it is plugged in, in the form of udev's `by-path` names, when the bus is one we can name.
    pub by_path: Option<String>,
}

/// Trims what firmware and disks pad with blanks or NULs; nothing left is `None`.
#[must_use]
pub fn normalised(raw: &str) -> Option<String> {
    let text = raw.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_trimmed_and_nothing_is_none() {
        for (raw, want) in [
            ("  LAB-1 \n", Some("LAB-1")),
            ("\0\0", None),
            (" ", None),
            ("", None),
            ("a b\0", Some("a b")),
        ] {
            assert_eq!(normalised(raw).as_deref(), want, "{raw:?}");
        }
    }
}
