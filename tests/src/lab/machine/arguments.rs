//! The machine as QEMU's command line.

use super::{BootFrom, Bus, Firmware, FirstStage, Machine, Nic};
use crate::lab::need;
use anyhow::Result;
use std::fs;
use std::path::Path;

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// COM1's port for SeaBIOS's `etc/sercon-port`: its text goes to the serial line.
const COM1: u64 = 0x3f8;

impl Machine {
    /// The files that the firmware needs: a copy of the UEFI variables (kept once made), or SeaBIOS's serial console setting.
    pub(super) fn prepare_firmware(&self) -> Result<()> {
        match self.plan.firmware {
            Firmware::Bios => fs::write(self.file("sercon"), COM1.to_le_bytes())?,
            Firmware::Uefi => {
                need::file(OVMF_CODE)?;
                if !self.file("vars").exists() {
                    fs::copy(OVMF_VARS, self.file("vars"))?;
                }
            }
        }
        Ok(())
    }

    /// All arguments after the program's name.
    pub(super) fn arguments(&self, tap: &str) -> Vec<String> {
        let mut args = self.board();
        args.extend(self.identity());
        args.extend(self.lines());
        args.extend(self.card(tap));
        args.extend(self.drives());
        args.extend(self.firmware());
        args.extend(self.plan.extra.iter().cloned());
        args
    }

    fn board(&self) -> Vec<String> {
        let (id, cpus, ram) = (self.plan.id, self.plan.cpus, self.plan.ram_mib);
        words(&format!(
            "-name m{id} -machine q35 -accel tcg -cpu max -smp {cpus} -m {ram} -nodefaults -no-user-config -display none -rtc base=utc \
             -device virtio-rng-pci"
        ))
    }

    fn identity(&self) -> Vec<String> {
        let (bios, uuid, id) = (&self.plan.smbios, &self.plan.uuid, self.plan.id);
        let system = format!(
            "type=1,manufacturer={},product={},version=1,serial={},uuid={uuid},sku=vm1,family=lab",
            bios.manufacturer, bios.product, bios.serial
        );
        let board = format!(
            "type=2,manufacturer={},product=Board1,serial={},asset=rack1-u{id}",
            bios.manufacturer, bios.board_serial
        );
        let chassis = format!(
            "type=3,manufacturer={},serial={},asset={}",
            bios.manufacturer, bios.chassis_serial, bios.asset_tag
        );
        let mut args = vec!["-uuid".to_owned(), uuid.clone()];
        for record in [system, board, chassis] {
            args.extend(["-smbios".to_owned(), record]);
        }
        args
    }

    /// Serial line on our pipe, firmware log in a file, two control sockets.
    fn lines(&self) -> Vec<String> {
        let (debug, qmp, events) = (self.path("debug"), self.path("qmp"), self.path("evt"));
        words(&format!(
            "-chardev stdio,id=ser,signal=off -device isa-serial,chardev=ser -chardev file,id=dbg,path={debug} \
             -device isa-debugcon,iobase=0x402,chardev=dbg -qmp unix:{qmp},server=on,wait=off -qmp unix:{events},server=on,wait=off"
        ))
    }

    fn card(&self, tap: &str) -> Vec<String> {
        let model = match self.plan.nic {
            Nic::Virtio => "virtio-net-pci",
            Nic::E1000 => "e1000",
        };
        let rom = if self.stage == FirstStage::RomIpxe {
            ""
        } else {
            ",romfile="
        };
        let index = match self.stage {
            FirstStage::NoNetwork => String::new(),
            _ => format!(",bootindex={}", self.boot_index(BootFrom::Network)),
        };
        let mac = &self.plan.mac;
        words(&format!(
            "-netdev tap,id=n0,ifname={tap},script=no,downscript=no -device {model},netdev=n0,mac={mac}{index}{rom}"
        ))
    }

    /// `cache=unsafe`: a power cut is QEMU's death, not the host's, so nothing the guest wrote is lost.
    fn drives(&self) -> Vec<String> {
        let bootable = self.plan.boot.contains(&BootFrom::Disks);
        let mut args = Vec::new();
        for (number, (disk, file)) in self.plan.disks.iter().zip(&self.disks).enumerate() {
            let serial = disk
                .serial
                .clone()
                .unwrap_or_else(|| format!("DISK-{}-{number}", self.plan.id));
            let device = match disk.bus {
                Bus::Virtio => "virtio-blk-pci".to_owned(),
                Bus::Ahci => format!("ide-hd,bus=ide.{number}"),
                Bus::Nvme => "nvme".to_owned(),
            };
            let index = if bootable {
                format!(",bootindex={}", self.boot_index(BootFrom::Disks) + number)
            } else {
                String::new()
            };
            let sectors = match disk.sector_bytes {
                512 => String::new(),
                n => format!(",logical_block_size={n},physical_block_size={n}"),
            };
            let file = comma_safe(file);
            args.extend([
                "-drive".to_owned(),
                format!("if=none,id=d{number},file={file},format=raw,cache=unsafe,discard=unmap"),
            ]);
            args.extend([
                "-device".to_owned(),
                format!("{device},drive=d{number},serial={serial}{sectors}{index}"),
            ]);
        }
        args
    }

    /// Boot order by bootindex, never by `-boot order=`: OVMF honours only bootindex. Disks take ten numbers.
    fn boot_index(&self, from: BootFrom) -> usize {
        1 + 10
            * self
                .plan
                .boot
                .iter()
                .position(|step| *step == from)
                .unwrap_or_default()
    }

    fn firmware(&self) -> Vec<String> {
        match self.plan.firmware {
            // sgabios is gone from modern SeaBIOS; etc/sercon-port does its work
            Firmware::Bios => vec![
                "-fw_cfg".to_owned(),
                format!("name=etc/sercon-port,file={}", self.path("sercon")),
            ],
            Firmware::Uefi => self.ovmf(),
        }
    }

    /// OVMF's network options off by fw_cfg: IPv6 always, since each dead option costs 10 to 60 s.
    fn ovmf(&self) -> Vec<String> {
        let mut line = "-fw_cfg name=opt/org.tianocore/IPv6PXESupport,string=n".to_owned();
        if self.stage == FirstStage::OvmfHttp {
            line += " -fw_cfg name=opt/org.tianocore/IPv4PXESupport,string=n";
        }
        let vars = self.path("vars");
        line += &format!(
            " -drive if=pflash,format=raw,readonly=on,file={OVMF_CODE} -drive if=pflash,format=raw,file={vars}"
        );
        words(&line)
    }

    fn path(&self, suffix: &str) -> String {
        comma_safe(&self.file(suffix))
    }
}

/// A path inside one of QEMU's comma lists.
fn comma_safe(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Splits at blanks: none of the values above contains one (the folder's name is ours).
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
