//! What a machine is made of: firmware, first stage, card, disks, SMBIOS strings.

use crate::lab::process;
use anyhow::Result;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Which firmware the mainboard has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS; its text goes to the serial line too.
    Bios,
    /// OVMF without Secure Boot; its variables are kept between power-ons of one machine.
    Uefi,
}

impl Firmware {
    /// Long enough for any boot of this firmware on a loaded host; only failures wait that long.
    pub fn patience(self) -> Duration {
        match self {
            Self::Bios => Duration::from_secs(90),
            Self::Uefi => Duration::from_secs(180),
        }
    }

    /// `bios` or `uefi`, as the markers print it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
        }
    }
}

/// What the network card's first stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstStage {
    /// QEMU's option ROM, which already is (an old) iPXE; under UEFI it is the card's driver.
    RomIpxe,
    /// OVMF's own PXE client, a true non-iPXE first stage. UEFI only.
    OvmfPxe,
    /// OVMF's HTTP Boot client, with PXE switched off. UEFI only.
    OvmfHttp,
    /// The card has no boot ROM and the firmware does not try it.
    NoNetwork,
}

/// The network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nic {
    /// virtio-net-pci.
    Virtio,
    /// Intel 82540EM: the generic management OS must have its driver.
    E1000,
}

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// virtio-blk: `/dev/vda`.
    Virtio,
    /// SATA on the board's AHCI: `/dev/sda`.
    Ahci,
    /// NVMe: `/dev/nvme0n1`.
    Nvme,
}

/// What the firmware tries, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootFrom {
    /// The network card.
    Network,
    /// The disks, in the order given.
    Disks,
}

#[derive(Debug, Clone)]
enum Content {
    Blank(u64),
    CopyOf(PathBuf),
    At(PathBuf),
}

/// A disk of a machine. Its file lives in the lab's folder and survives power cuts.
#[derive(Debug, Clone)]
pub struct Disk {
    content: Content,
    pub(super) bus: Bus,
    pub(super) serial: Option<String>,
    pub(super) sector_bytes: u32,
}

impl Disk {
    fn new(content: Content) -> Self {
        Self {
            content,
            bus: Bus::Virtio,
            serial: None,
            sector_bytes: 512,
        }
    }

    /// An empty disk of so many MiB.
    pub fn blank(mib: u64) -> Self {
        Self::new(Content::Blank(mib))
    }

    /// A private copy of a raw image (sparse).
    pub fn copy_of(image: impl Into<PathBuf>) -> Self {
        Self::new(Content::CopyOf(image.into()))
    }

    /// This very file, e.g. to look at it afterwards.
    pub fn at(file: impl Into<PathBuf>) -> Self {
        Self::new(Content::At(file.into()))
    }

    /// Default: virtio.
    pub fn bus(mut self, bus: Bus) -> Self {
        self.bus = bus;
        self
    }

    /// The disk's serial number (≤ 20 characters). Default: `DISK-<machine>-<index>`.
    pub fn serial(mut self, serial: &str) -> Self {
        self.serial = Some(serial.to_owned());
        self
    }

    /// Bytes of its sectors, to programs and on the medium. Default: 512; SeaBIOS boots from no other.
    pub fn sectors(mut self, bytes: u32) -> Self {
        self.sector_bytes = bytes;
        self
    }

    /// The file behind it: made, copied, or as it is.
    pub(super) fn materialise(&self, path: PathBuf) -> Result<PathBuf> {
        match &self.content {
            Content::At(file) => return Ok(file.clone()),
            Content::Blank(mib) => File::create(&path)?.set_len(mib * 1024 * 1024)?,
            Content::CopyOf(image) => {
                let mut copy = process::host("cp");
                copy.args(["--sparse=always", "--reflink=auto"])
                    .arg(image)
                    .arg(&path);
                process::output(copy)?;
            }
        }
        Ok(path)
    }
}

/// The SMBIOS strings a board reports (types 1, 2 and 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smbios {
    /// Type 1.
    pub manufacturer: String,
    /// Type 1.
    pub product: String,
    /// Type 1.
    pub serial: String,
    /// Type 2.
    pub board_serial: String,
    /// Type 3.
    pub chassis_serial: String,
    /// Type 3.
    pub asset_tag: String,
}

impl Smbios {
    /// The defaults of machine `id`.
    pub fn of(id: u8) -> Self {
        Self {
            manufacturer: "EnforcerLab".to_owned(),
            product: "VirtualMetal".to_owned(),
            serial: format!("LAB-{id:04}"),
            board_serial: format!("BRD-{id:04}"),
            chassis_serial: format!("CHS-{id:04}"),
            asset_tag: format!("ASSET-{id:04}"),
        }
    }
}

/// Whether a raw image still is byte for byte what another is: e.g. that a disk was not written.
pub fn same_bytes(one: &Path, other: &Path) -> bool {
    let mut compare = process::host("cmp");
    compare.arg("-s").arg(one).arg(other);
    compare.status().is_ok_and(|status| status.success())
}
