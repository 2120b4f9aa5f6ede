//! What a machine was given, and whether its agent says exactly that.

use crate::lab::{Bus, Firmware, Nic, Smbios, machine_mac, machine_uuid};
use anyhow::{Context, Result, ensure};
use mesh_proto::facts::{FACTS_VERSION, FirmwareMode, HardwareFacts};
use serde_json::{Value, json};

const MIB: u64 = 1024 * 1024;

/// A disk as QEMU got it.
#[derive(Debug, Clone)]
pub struct GivenDisk {
    /// How it is attached.
    pub bus: Bus,
    /// Its size.
    pub mib: u64,
    /// Its serial number.
    pub serial: String,
}

/// A machine as QEMU got it.
#[derive(Debug, Clone)]
pub struct Given {
    id: u8,
    /// Its mainboard's.
    pub firmware: Firmware,
    /// Installed memory.
    pub ram_mib: u32,
    /// Processors.
    pub cpus: u32,
    /// Its card.
    pub nic: Nic,
    /// Its disks, in the order of QEMU's arguments.
    pub disks: Vec<GivenDisk>,
}

impl Given {
    /// Machine `id`: one processor, 512 MiB, a virtio card, no disk.
    pub fn new(id: u8, firmware: Firmware) -> Self {
        Self {
            id,
            firmware,
            ram_mib: 512,
            cpus: 1,
            nic: Nic::Virtio,
            disks: Vec::new(),
        }
    }

    /// Other than one.
    pub fn cpus(self, cpus: u32) -> Self {
        Self { cpus, ..self }
    }

    /// Other than 512 MiB.
    pub fn ram(self, ram_mib: u32) -> Self {
        Self { ram_mib, ..self }
    }

    /// Other than virtio.
    pub fn nic(self, nic: Nic) -> Self {
        Self { nic, ..self }
    }

    /// One more disk.
    pub fn disk(mut self, bus: Bus, mib: u64) -> Self {
        let serial = format!("SN{}-{}", self.id, self.disks.len());
        self.disks.push(GivenDisk { bus, mib, serial });
        self
    }

    /// Compares with the READY line. What nobody gave (kernel release, processor and disk models, where a disk is plugged in, what the
    /// kernel keeps of the memory) must be there and plausible, and is then taken from the line; all else must be equal.
    pub fn check(&self, text: &str) -> Result<()> {
        let said: HardwareFacts =
            serde_json::from_str(text).with_context(|| format!("facts: {text}"))?;
        plausible(&said)?;
        let said = serde_json::to_value(said)?;
        let expected = self.facts(&said);
        ensure!(
            said == expected,
            "the facts differ\nsaid:  {said:#}\ngiven: {expected:#}"
        );
        Ok(())
    }

    fn facts(&self, said: &Value) -> Value {
        let smbios = Smbios::of(self.id);
        let mode = match self.firmware {
            Firmware::Bios => FirmwareMode::Bios,
            Firmware::Uefi => FirmwareMode::Uefi,
        };
        json!({
            "v": FACTS_VERSION,
            "arch": "x86_64",
            "firmware": mode,
            "secure_boot": matches!(self.firmware, Firmware::Uefi).then_some(false),
            "tpm": null,
            "smbios": {
                "vendor": smbios.manufacturer,
                "product": smbios.product,
                "serial": smbios.serial,
                "uuid": machine_uuid(self.id),
                "board_vendor": smbios.manufacturer,
                "board_product": "Board1",
                "board_serial": smbios.board_serial,
                "chassis_serial": smbios.chassis_serial,
                "chassis_asset_tag": smbios.asset_tag,
                "firmware_version": said["smbios"]["firmware_version"],
            },
            "cpu": { "model": said["cpu"]["model"], "sockets": said["cpu"]["sockets"], "cores": said["cpu"]["cores"], "threads": self.cpus },
            "memory": {
                "bytes": u64::from(self.ram_mib) * MIB,
                "usable_bytes": said["memory"]["usable_bytes"],
            },
            "nics": [self.card(&said["nics"][0])],
            "disks": self.disks_in_order().iter().enumerate().map(|(n, d)| disk(d, &said["disks"][n])).collect::<Vec<_>>(),
            "kernel": said["kernel"],
        })
    }

    fn card(&self, said: &Value) -> Value {
        let driver = match self.nic {
            Nic::Virtio => "virtio_net",
            Nic::E1000 => "e1000",
        };
        json!({
            "name": "eth0",
            "mac": machine_mac(self.id),
            "permanent_mac": machine_mac(self.id),
            "driver": driver,
            "speed_mbps": said["speed_mbps"],
            "link": true,
        })
    }

    /// Facts are sorted by kernel name: nvme before sd before vd.
    fn disks_in_order(&self) -> Vec<&GivenDisk> {
        let mut disks: Vec<&GivenDisk> = self.disks.iter().collect();
        disks.sort_by_key(|disk| stem(disk.bus));
        disks
    }
}

fn stem(bus: Bus) -> &'static str {
    match bus {
        Bus::Nvme => "nvme",
        Bus::Ahci => "sd",
        Bus::Virtio => "vd",
    }
}

fn disk(given: &GivenDisk, said: &Value) -> Value {
    json!({
        "name": said["name"].as_str().filter(|name| name.starts_with(stem(given.bus))),
        "bytes": given.mib * MIB,
        "logical_sector_bytes": 512,
        "physical_sector_bytes": 512,
        "rotational": said["rotational"],
        "removable": false,
        "model": said["model"],
        "serial": given.serial,
        "by_path": said["by_path"],
    })
}

/// What nobody gave but every machine has.
fn plausible(said: &HardwareFacts) -> Result<()> {
    ensure!(
        said.kernel.is_some() && said.cpu.model.is_some(),
        "{said:?}"
    );
    ensure!(said.smbios.firmware_version.is_some(), "{said:?}");
    let cpu = &said.cpu;
    ensure!(
        cpu.sockets >= 1 && cpu.cores >= cpu.sockets && cpu.threads >= cpu.cores,
        "{cpu:?}"
    );
    let (all, usable) = (said.memory.bytes, said.memory.usable_bytes);
    ensure!(usable < all && usable > all / 2, "{:?}", said.memory);
    let by_path = said.disks.iter().all(|disk| {
        disk.by_path
            .as_ref()
            .is_some_and(|path| path.starts_with("pci-"))
    });
    ensure!(by_path, "{:?}", said.disks);
    Ok(())
}
