//! What a reader of the pages does besides typing.

use std::{fs, time::Duration};

use anyhow::{Context, Result, bail};
use enforcer_tests::{
    guest::{self, PHONED_HOME},
    lab::{Disk, Firmware, Machine, Space, marker, re, tenant, wait_until},
    site::{PATIENCE, READY_LIMIT},
};
use serde_json::Value;
use tenant::{Tenant, Then};

use crate::reader::Reader;

/// What the machine's firmware is.
const FIRMWARE: Firmware = Firmware::Bios;
/// Larger than the image, so that there is something to grow into.
const DISK_MIB: u64 = 96;
/// A new system is waited for by the command before; this is for the serial line alone.
const RUNS_LIMIT: Duration = Duration::from_secs(120);
/// The agent's lines come by the last console; and the test of the timer panics an emulated machine on a busy host.
const CONSOLE: &str = "no_timer_check console=tty0 console=ttyS0,115200";
/// The systems by their names on the serial line.
const OWN: &str = "own";
const IMAGE: &str = "tutorial";
const KERNEL: &str = "live";

/// The spare PC, switched off. A system of its own is on the disk.
pub(crate) fn spare_pc(space: &Space) -> Result<Machine> {
    let own = space.folder().file("own.img");
    marker::write(&own, OWN)?;
    let disk = fs::File::options().write(true).open(&own)?;
    disk.set_len(DISK_MIB << 20)?;
    let plan = space.machine(1).firmware(FIRMWARE);
    plan.disk(Disk::copy_of(&own)).build()
}

impl Reader<'_> {
    pub(crate) fn act(&mut self, what: &str) -> Result<()> {
        match what {
            "the packages are carried there" => self.carry_packages(),
            "the machine is an emulated one" => self.suits_emulation(),
            "power on, and it boots its own disk" => {
                self.machine.power_on()?;
                self.sees(marker::line(OWN, FIRMWARE))
            }
            "restart it, and it joins" => self.joins(),
            "Ctrl-C" => self.leave_follower(),
            "the image is there" => self.put_image(),
            "the new system runs" => {
                self.sees(tenant::line(IMAGE, FIRMWARE))?;
                self.sees(PHONED_HOME.to_owned())
            }
            "a kernel of one's own is there" => self.put_kernel(),
            "restart it, and the kernel runs once" => {
                self.machine.reset()?;
                self.sees(tenant::line(KERNEL, FIRMWARE))?;
                self.sees(tenant::line(IMAGE, FIRMWARE))
            }
            _ => bail!("the test does not know how to do this"),
        }
    }

    fn sees(&mut self, line: String) -> Result<()> {
        self.machine.serial()?.expect(line, RUNS_LIMIT).map(drop)
    }

    /// As an operator of machines without screens sets it, and without the test of the timer.
    fn suits_emulation(&self) -> Result<()> {
        let script = format!(
            "sed -i 's/^cmdline = .*/cmdline = \"{CONSOLE}\"/' /etc/enforcer/enforcer.toml
             grep -q '{CONSOLE}' /etc/enforcer/enforcer.toml
             systemctl restart enforcer"
        );
        self.debian.sh(&script).map(drop)
    }

    fn joins(&mut self) -> Result<()> {
        self.machine.reset()?;
        let serial = self.machine.serial()?;
        serial.expect(re("ENFORCER READY"), READY_LIMIT)?;
        let shown = self.machine.expect(re(r"ENFORCER CODE (\d{4}-\d{4})"))?;
        self.code = Some(shown.groups.first().context("a code")?.clone());
        wait_until("web1 to be a member with facts", PATIENCE, || {
            let shown = self.debian.sh("enforcer machines show web1 -o json")?;
            let shown: Value = serde_json::from_str(&shown)?;
            let told = self.debian.sh("enforcer machines facts web1 || true")?;
            let there = shown["member"]["state"] == "alive" && !told.is_empty();
            Ok(there.then_some(()))
        })
    }

    fn put_image(&self) -> Result<()> {
        let image = fs::read(guest::calls_home(IMAGE).image()?)?;
        self.write("debian-12-generic-amd64.raw", &image)
    }

    fn put_kernel(&self) -> Result<()> {
        let kernel = Tenant::new(KERNEL).then(Then::Reboot);
        let (kernel, initrd) = kernel.kernel_and_initrd()?;
        self.write("vmlinuz", &fs::read(kernel)?)?;
        self.write("initrd.img", &fs::read(initrd)?)
    }
}
