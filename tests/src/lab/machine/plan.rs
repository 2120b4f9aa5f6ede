//! A machine as a story asks for it.

use super::Machine;
use super::hardware::{BootFrom, Disk, Firmware, FirstStage, Nic, Smbios};
use crate::lab::need;
use crate::lab::serial::Pattern;
use crate::lab::space::{Segment, machine_mac, machine_uuid};
use anyhow::{Result, bail, ensure};

/// What a machine shall be; [`Self::power_on`] builds it and presses the button.
#[derive(Debug, Clone)]
pub struct MachinePlan {
    pub(super) segment: Segment,
    pub(super) id: u8,
    pub(super) firmware: Firmware,
    first_stage: Option<FirstStage>,
    pub(super) nic: Nic,
    pub(super) disks: Vec<Disk>,
    pub(super) boot: Vec<BootFrom>,
    pub(super) ram_mib: u32,
    pub(super) cpus: u32,
    pub(super) mac: String,
    pub(super) uuid: String,
    pub(super) smbios: Smbios,
    pub(super) forbidden: Vec<Pattern>,
    pub(super) extra: Vec<String>,
}

impl MachinePlan {
    /// Machine `id` (1..=99) on a segment: BIOS, virtio card, no disk, 512 MiB, network first. Its MAC, uuid, serial and expected
    /// address follow from the id.
    pub fn new(segment: Segment, id: u8) -> Self {
        Self {
            segment,
            id,
            firmware: Firmware::Bios,
            first_stage: None,
            nic: Nic::Virtio,
            disks: Vec::new(),
            boot: vec![BootFrom::Network, BootFrom::Disks],
            ram_mib: 512,
            cpus: 1,
            mac: machine_mac(id),
            uuid: machine_uuid(id),
            smbios: Smbios::of(id),
            forbidden: vec!["Kernel panic".into()],
            extra: Vec::new(),
        }
    }

    /// Default: BIOS.
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// Default: the ROM's iPXE on BIOS, OVMF's PXE on UEFI.
    pub fn first_stage(mut self, stage: FirstStage) -> Self {
        self.first_stage = Some(stage);
        self
    }

    /// Default: virtio.
    pub fn nic(mut self, nic: Nic) -> Self {
        self.nic = nic;
        self
    }

    /// One more disk.
    pub fn disk(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// What the firmware tries, in order. Default: network, then disks. What is not named is not tried.
    pub fn boot(mut self, order: &[BootFrom]) -> Self {
        self.boot = order.to_vec();
        self
    }

    /// Default: 512. BIOS needs 96 at least, UEFI 192; 256 is safe for iPXE and markers.
    pub fn ram_mib(mut self, mib: u32) -> Self {
        self.ram_mib = mib;
        self
    }

    /// Default: 1.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Another machine's hardware address, as a forger's card has. Default: [`machine_mac`] of the id.
    pub fn mac(mut self, mac: &str) -> Self {
        mac.clone_into(&mut self.mac);
        self
    }

    /// The SMBIOS uuid. Default: [`machine_uuid`].
    pub fn uuid(mut self, uuid: &str) -> Self {
        uuid.clone_into(&mut self.uuid);
        self
    }

    /// Default: [`Smbios::of`] the id.
    pub fn smbios(mut self, smbios: Smbios) -> Self {
        self.smbios = smbios;
        self
    }

    /// A pattern that fails every expectation at once, beside `Kernel panic`.
    pub fn forbid(mut self, pattern: impl Into<Pattern>) -> Self {
        self.forbidden.push(pattern.into());
        self
    }

    /// More QEMU arguments, e.g. `-kernel`.
    pub fn extra(mut self, args: &[&str]) -> Self {
        self.extra.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Assembles the machine, switched off: its disks exist, nothing runs.
    pub fn build(self) -> Result<Machine> {
        need::programs(&["qemu-system-x86_64"])?;
        ensure!((1..=99).contains(&self.id), "a machine's id is 1 to 99");
        let stage = self.stage()?;
        let file = |suffix: &str| self.segment.folder().file(format!("m{}.{suffix}", self.id));
        let disk = |(index, disk): (usize, &Disk)| disk.materialise(file(&format!("disk{index}")));
        let disks = self
            .disks
            .iter()
            .enumerate()
            .map(disk)
            .collect::<Result<_>>()?;
        Ok(Machine::new(self, stage, disks))
    }

    /// [`Self::build`], then [`Machine::power_on`].
    pub fn power_on(self) -> Result<Machine> {
        let mut machine = self.build()?;
        machine.power_on()?;
        Ok(machine)
    }

    fn stage(&self) -> Result<FirstStage> {
        use FirstStage::{NoNetwork, OvmfHttp, OvmfPxe, RomIpxe};
        match (self.firmware, self.first_stage) {
            _ if !self.boot.contains(&BootFrom::Network) => Ok(NoNetwork),
            (Firmware::Bios, None) => Ok(RomIpxe),
            (Firmware::Uefi, None) => Ok(OvmfPxe),
            (Firmware::Bios, Some(OvmfPxe | OvmfHttp)) => {
                bail!("a BIOS machine has no OVMF client: choose RomIpxe or NoNetwork")
            }
            (_, Some(stage)) => Ok(stage),
        }
    }
}
