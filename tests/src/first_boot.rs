//! One boot that shows that a controller of whatever making works: an empty site, a machine registered by hand, iPXE from the
//! controller's own files, a kernel that a person gave.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use crate::lab::{
    Firmware, Service, Space, enforcer_binary, output,
    tenant::{self, Tenant},
    wait_until,
};

/// An emulated program, or one in a container that is unpacked by hand, takes its time.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// An emulated machine loads iPXE twice and a small kernel.
const BOOT_LIMIT: Duration = Duration::from_secs(120);
/// Talk on the serial line, and lose no time under emulation.
const CMDLINE: &str = "console=ttyS0,115200 loglevel=4 random.trust_cpu=on no_timer_check";

/// A controller that is spoken to by its socket alone. It was started with `ENFORCER_RECHAIN=always`, so that its own iPXE is loaded.
#[derive(Debug)]
pub struct Site<'a> {
    /// The lab.
    pub space: &'a Space,
    /// Where its socket is, seen from here.
    pub socket: PathBuf,
}

impl Site<'_> {
    /// The command line of this host.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn cli(&self, args: &[&str]) -> Result<String> {
        let mut command = self.space.command(enforcer_binary()?);
        command.args(args).env("ENFORCER_API_SOCKET", &self.socket);
        output(command)
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// When it ends or does not answer; with what it said.
    pub fn wait_ready(&self, service: &mut Service) -> Result<()> {
        wait_until("the controller to answer", READY_LIMIT, || {
            service.ensure_running()?;
            Ok(self.cli(&["members", "list"]).ok())
        })
        .with_context(|| service.log())
        .map(drop)
    }

    /// A BIOS machine loads iPXE by TFTP and then the kernel, and the record says so.
    ///
    /// # Errors
    /// When it does not.
    pub fn boots_a_bios_machine(&self) -> Result<()> {
        let (kernel, initrd) = Tenant::new("boxed").kernel_and_initrd()?;
        let mut machine = self.space.machine(1).firmware(Firmware::Bios).build()?;
        let (kernel, initrd) = (
            format!("vmlinuz={}", kernel.display()),
            format!("initrd.img={}", initrd.display()),
        );
        self.cli(&["machines", "register", &machine.mac(), "--name", "web1"])?;
        let set = ["boot-configs", "set", "boxed", "--cmdline", CMDLINE];
        let files = ["--kernel", &kernel, "--initrd", &initrd];
        self.cli(&[&set[..], &files].concat())?;
        self.cli(&["boot-configs", "activate", "boxed", "web1"])?;
        machine.power_on()?;
        let line = tenant::line("boxed", Firmware::Bios);
        machine.serial()?.expect(line, BOOT_LIMIT)?;
        wait_until("the record of its first program", READY_LIMIT, || {
            let events = self.cli(&["events", "--machine", "web1"])?;
            Ok(events.contains("undionly.kpxe by TFTP").then_some(()))
        })
    }
}
