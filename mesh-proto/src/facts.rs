//! What a machine is made of, as its agent reads it: the value that travels in the READY line, over the link and into
//! the store. Versioned JSON (`"v":1`); unknown fields are ignored, so an older controller reads a newer agent.
//! Where the numbers come from is the agent's business; matching machines by them is the controller's. Whatever is read
//! from JSON is bounded by [`limits`], however hostile the text.

mod digest;
pub mod limits;

use serde::{Deserialize, Serialize};

use limits::{MAX_DISKS, MAX_NICS, MAX_PCI_DEVICES, clean, list, maybe_text, text};

/// The version this crate writes. A reader refuses other majors and ignores unknown fields.
pub const FACTS_VERSION: u32 = 1;

/// Everything the agent could find out about one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardwareFacts {
    /// Format version, [`FACTS_VERSION`].
    pub v: u32,
    /// CPU architecture as the kernel names it: `x86_64`, `aarch64`.
    #[serde(deserialize_with = "text")]
    pub arch: String,
    /// How the running kernel was started.
    pub firmware: FirmwareMode,
    /// UEFI Secure Boot is enforced; `None` where there is no such thing, or its variable cannot be read.
    #[serde(default)]
    pub secure_boot: Option<bool>,
    /// The trusted platform module, when a driver has found one.
    #[serde(default)]
    pub tpm: Option<Tpm>,
    /// What SMBIOS (or the device tree) says about the machine.
    pub smbios: Smbios,
    /// Processors.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Network cards with hardware behind them, sorted by name.
    #[serde(deserialize_with = "list::<MAX_NICS, _, _>")]
    pub nics: Vec<Nic>,
    /// Whole disks, sorted by name; no loop, RAM, mapper or optical devices.
    #[serde(deserialize_with = "list::<MAX_DISKS, _, _>")]
    pub disks: Vec<Disk>,
    /// PCI devices, sorted by address. Empty in the READY line and in an enrolment, which have to be short.
    #[serde(
        default,
        deserialize_with = "list::<MAX_PCI_DEVICES, _, _>",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub pci: Vec<PciDevice>,
    /// Running kernel release (`uname -r`).
    #[serde(default, deserialize_with = "maybe_text")]
    pub kernel: Option<String>,
}

/// Cards kept by [`HardwareFacts::identity_part`]; with [`IDENTITY_DISKS`] the worst texts stay below an early frame.
const IDENTITY_NICS: usize = 16;
/// Disks kept by [`HardwareFacts::identity_part`].
const IDENTITY_DISKS: usize = 32;

impl HardwareFacts {
    /// A name for the facts, 32 hex digits: it changes when the hardware does. Link state, kernel names, drivers and the
    /// running kernel do not count.
    #[must_use]
    pub fn digest(&self) -> String {
        digest::digest(self)
    }

    /// What tells this machine from others, short enough for a frame from somebody who has proved nothing yet, and for
    /// one line on a serial console of 115,200 baud.
    #[must_use]
    pub fn identity_part(&self) -> Self {
        let mut part = self.clone();
        part.nics.truncate(IDENTITY_NICS);
        part.disks.truncate(IDENTITY_DISKS);
        part.pci.clear();
        part.bounded()
    }

    /// Cut to [`limits`], as reading from JSON does it by itself.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.nics.truncate(MAX_NICS);
        self.disks.truncate(MAX_DISKS);
        self.pci.truncate(MAX_PCI_DEVICES);
        self.visit_texts(|text| {
            let cleaned = clean(text);
            if cleaned != *text {
                *text = cleaned;
            }
        });
        self
    }

    fn visit_texts(&mut self, mut see: impl FnMut(&mut String)) {
        see(&mut self.arch);
        self.smbios
            .texts()
            .chain([&mut self.cpu.model, &mut self.kernel])
            .flatten()
            .for_each(&mut see);
        for nic in &mut self.nics {
            see(&mut nic.name);
            see(&mut nic.mac);
            [&mut nic.permanent_mac, &mut nic.driver]
                .into_iter()
                .flatten()
                .for_each(&mut see);
        }
        for disk in &mut self.disks {
            see(&mut disk.name);
            [&mut disk.model, &mut disk.serial, &mut disk.by_path]
                .into_iter()
                .flatten()
                .for_each(&mut see);
        }
        for device in &mut self.pci {
            [
                &mut device.address,
                &mut device.class,
                &mut device.vendor,
                &mut device.device,
            ]
            .into_iter()
            .for_each(&mut see);
            device.driver.iter_mut().for_each(&mut see);
        }
    }
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
    #[serde(default, deserialize_with = "maybe_text")]
    pub vendor: Option<String>,
    /// System product name (type 1).
    #[serde(default, deserialize_with = "maybe_text")]
    pub product: Option<String>,
    /// System serial number (type 1).
    #[serde(default, deserialize_with = "maybe_text")]
    pub serial: Option<String>,
    /// System uuid (type 1), lower-case. Repeats, is zero or FF on bad boards.
    #[serde(default, deserialize_with = "maybe_text")]
    pub uuid: Option<String>,
    /// Base board manufacturer (type 2).
    #[serde(default, deserialize_with = "maybe_text")]
    pub board_vendor: Option<String>,
    /// Base board product name (type 2).
    #[serde(default, deserialize_with = "maybe_text")]
    pub board_product: Option<String>,
    /// Base board serial number (type 2).
    #[serde(default, deserialize_with = "maybe_text")]
    pub board_serial: Option<String>,
    /// Chassis serial number (type 3).
    #[serde(default, deserialize_with = "maybe_text")]
    pub chassis_serial: Option<String>,
    /// Chassis asset tag (type 3): what a person stuck on the case.
    #[serde(default, deserialize_with = "maybe_text")]
    pub chassis_asset_tag: Option<String>,
    /// BIOS or UEFI version (type 0).
    #[serde(default, deserialize_with = "maybe_text")]
    pub firmware_version: Option<String>,
}

impl Smbios {
    fn texts(&mut self) -> impl Iterator<Item = &mut Option<String>> {
        [
            &mut self.vendor,
            &mut self.product,
            &mut self.serial,
            &mut self.uuid,
            &mut self.board_vendor,
            &mut self.board_product,
            &mut self.board_serial,
            &mut self.chassis_serial,
            &mut self.chassis_asset_tag,
            &mut self.firmware_version,
        ]
        .into_iter()
    }
}

/// The trusted platform module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tpm {
    /// 1 or 2, when the kernel says so.
    #[serde(default)]
    pub version: Option<u32>,
}

/// The processors, summed over sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// Model name of the first processor.
    #[serde(default, deserialize_with = "maybe_text")]
    pub model: Option<String>,
    /// Packages with at least one processor online; zero when the kernel does not say.
    #[serde(default)]
    pub sockets: u32,
    /// Cores, each of which may have several threads; zero when the kernel does not say.
    #[serde(default)]
    pub cores: u32,
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
    #[serde(deserialize_with = "text")]
    pub name: String,
    /// Hardware address in use, lower-case with colons.
    #[serde(deserialize_with = "text")]
    pub mac: String,
    /// The address burned into the card, when the kernel knows it: a bond or a person may have set another one.
    #[serde(default, deserialize_with = "maybe_text")]
    pub permanent_mac: Option<String>,
    /// Kernel driver.
    #[serde(default, deserialize_with = "maybe_text")]
    pub driver: Option<String>,
    /// Negotiated speed in Mbit/s, when the link is up and the card says so.
    pub speed_mbps: Option<u32>,
    /// A carrier is there.
    pub link: bool,
}

impl Nic {
    /// The address to know this card by: the burned-in one, else the one in use.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.permanent_mac.as_deref().unwrap_or(&self.mac)
    }
}

/// One PCI function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciDevice {
    /// Place on the bus, `0000:00:1f.2`.
    #[serde(deserialize_with = "text")]
    pub address: String,
    /// Class code, six hex digits: `020000` is an Ethernet controller.
    #[serde(deserialize_with = "text")]
    pub class: String,
    /// Vendor, four hex digits.
    #[serde(deserialize_with = "text")]
    pub vendor: String,
    /// Device, four hex digits.
    #[serde(deserialize_with = "text")]
    pub device: String,
    /// Kernel driver that holds it.
    #[serde(default, deserialize_with = "maybe_text")]
    pub driver: Option<String>,
}

/// One whole disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Kernel name (`sda`, `nvme0n1`); not stable between boots, so never a target by itself.
    #[serde(deserialize_with = "text")]
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
    #[serde(default, deserialize_with = "maybe_text")]
    pub model: Option<String>,
    /// Serial number as the disk reports it.
    #[serde(default, deserialize_with = "maybe_text")]
    pub serial: Option<String>,
    /// Where it is plugged in, in the form of udev's `by-path` names, when the bus is one we can name.
    #[serde(default, deserialize_with = "maybe_text")]
    pub by_path: Option<String>,
}

/// Trims what firmware and disks pad with blanks or NULs; nothing left is `None`.
#[must_use]
pub fn normalised(raw: &str) -> Option<String> {
    let text = raw.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
