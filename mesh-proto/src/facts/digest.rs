//! A short name for the facts, which changes when the hardware does and else not.

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{Cpu, Disk, FirmwareMode, HardwareFacts, Nic, PciDevice, Smbios, Tpm};

/// Bytes of SHA-256 that are kept: nobody gains by two machines' facts having one digest, so chance is the only enemy.
const DIGEST_BYTES: usize = 16;

/// What the digest covers. Left out is what another boot of the same hardware may change: link state and speed, kernel
/// names and their order, the kernel itself, its drivers (built in here, loaded late there), the memory it keeps.
#[derive(Serialize)]
struct Stable<'a> {
    v: u32,
    arch: &'a str,
    firmware: FirmwareMode,
    secure_boot: Option<bool>,
    tpm: &'a Option<Tpm>,
    smbios: &'a Smbios,
    cpu: &'a Cpu,
    memory_bytes: u64,
    nics: Vec<&'a str>,
    disks: Vec<StableDisk<'a>>,
    pci: Vec<StablePci<'a>>,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct StableDisk<'a> {
    serial: Option<&'a str>,
    by_path: Option<&'a str>,
    model: Option<&'a str>,
    bytes: u64,
    sector_bytes: (u32, u32),
    rotational: bool,
}

#[derive(Serialize, PartialEq, Eq, PartialOrd, Ord)]
struct StablePci<'a>(&'a str, &'a str, &'a str, &'a str);

/// 32 hex digits.
pub(super) fn digest(facts: &HardwareFacts) -> String {
    let stable = Stable {
        v: facts.v,
        arch: &facts.arch,
        firmware: facts.firmware,
        secure_boot: facts.secure_boot,
        tpm: &facts.tpm,
        smbios: &facts.smbios,
        cpu: &facts.cpu,
        memory_bytes: facts.memory.bytes,
        nics: sorted(facts.nics.iter().map(Nic::identity)),
        disks: sorted(facts.disks.iter().map(stable_disk)),
        pci: sorted(facts.pci.iter().map(stable_pci)),
    };
    // Fields are written in the order they are declared in, without blanks: the same facts, the same bytes.
    let json = serde_json::to_vec(&stable).expect("texts, numbers and lists are always JSON");
    let hash = Sha256::digest(json);
    hash[..DIGEST_BYTES]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn sorted<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.collect();
    items.sort();
    items
}

fn stable_disk(disk: &Disk) -> StableDisk<'_> {
    StableDisk {
        serial: disk.serial.as_deref(),
        by_path: disk.by_path.as_deref(),
        model: disk.model.as_deref(),
        // A card reader without a card: what is in it is no part of the machine.
        bytes: if disk.removable { 0 } else { disk.bytes },
        sector_bytes: (disk.logical_sector_bytes, disk.physical_sector_bytes),
        rotational: disk.rotational,
    }
}

fn stable_pci(device: &PciDevice) -> StablePci<'_> {
    StablePci(
        &device.address,
        &device.class,
        &device.vendor,
        &device.device,
    )
}
