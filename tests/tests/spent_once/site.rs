//! What every story here stands on: a controller in proxy mode beside somebody's DHCP server, and one registered machine
//! with a disk that says so when it starts.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{
    Controller, ControllerPlan, Disk, Firmware, Hit, Machine, Space, marker, peers::ForeignDhcp,
    tenant::Tenant, wait_until,
};
use serde_json::Value;

/// Kernel arguments of every tenant: its line must be seen, and soon.
const CONSOLE: &str = "console=ttyS0,115200 loglevel=4 random.trust_cpu=on mitigations=off nokaslr";
/// Only a failing story waits so long for an event.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct Site {
    pub(crate) controller: Controller,
    pub(crate) machine: Machine,
    firmware: Firmware,
    _foreign: ForeignDhcp,
}

impl Site {
    pub(crate) fn open(space: &Space, firmware: Firmware) -> Result<Self> {
        Self::with_ram(space, firmware, 512)
    }

    pub(crate) fn with_ram(space: &Space, firmware: Firmware, mib: u32) -> Result<Self> {
        let foreign = ForeignDhcp::start(space)?;
        let controller = ControllerPlan::new().start(space)?;
        let disk = space.folder().file("marker.img");
        marker::write(&disk, "own-disk")?;
        let plan = space.machine(1).firmware(firmware).ram_mib(mib);
        let machine = plan.disk(Disk::copy_of(&disk)).build()?;
        controller.cli(&["machines", "register", &machine.mac(), "--name", "web1"])?;
        Ok(Self {
            controller,
            machine,
            firmware,
            _foreign: foreign,
        })
    }

    /// Makes a tenant's kernel and initrd due, once.
    pub(crate) fn tenant(&self, tenant: &Tenant, evidence: &str, cmdline: &str) -> Result<()> {
        let (kernel, initrd) = tenant.kernel_and_initrd()?;
        let cmdline = format!("{CONSOLE} {cmdline}");
        self.arm(
            &kernel,
            &initrd,
            &["--evidence", evidence, "--cmdline", &cmdline],
        )
    }

    /// Sets a config and makes it due, once.
    pub(crate) fn arm(&self, kernel: &Path, initrd: &Path, more: &[&str]) -> Result<()> {
        let kernel = format!("linux={}", kernel.display());
        let initrd = format!("initrd.img={}", initrd.display());
        let mut set = vec!["boot-configs", "set", "job", "--kernel", &kernel];
        set.extend(["--initrd", &initrd]);
        set.extend(more);
        self.controller.cli(&set)?;
        self.controller
            .cli(&["boot-configs", "activate", "job", "web1"])
            .map(drop)
    }

    /// The nonce in the script that the machine would be served now.
    pub(crate) fn nonce(&self) -> Result<String> {
        let script = self
            .controller
            .cli(&["boot-configs", "preview", "job", "web1"])?;
        let nonce = script
            .split_once("/boot/n/")
            .and_then(|(_, rest)| rest.get(..32));
        let nonce = nonce.context("no nonce in the script")?;
        ensure!(nonce != "0".repeat(32), "nothing is armed");
        Ok(nonce.to_owned())
    }

    /// Where the activation stands.
    pub(crate) fn stage(&self) -> Result<String> {
        Ok(word(&self.activation()?["stage"]))
    }

    /// Why it was closed.
    pub(crate) fn reason(&self) -> Result<String> {
        Ok(word(&self.activation()?["reason"]))
    }

    fn activation(&self) -> Result<Value> {
        let mut found = self.items("/api/v1/activations?machine=web1")?;
        found.pop().context("no activation")
    }

    /// How often an event of this kind happened.
    pub(crate) fn count(&self, kind: &str) -> Result<usize> {
        let events = self.items("/api/v1/events?limit=1000")?;
        Ok(events.iter().filter(|e| e["kind"] == kind).count())
    }

    /// Waits for the first event of this kind.
    pub(crate) fn wait_event(&self, kind: &str) -> Result<()> {
        wait_until(kind, PATIENCE, || Ok((self.count(kind)? > 0).then_some(())))
    }

    fn items(&self, path: &str) -> Result<Vec<Value>> {
        let (status, body) = self.controller.api("GET", path, "")?;
        ensure!(status == 200, "{path}: {status} {body}");
        let mut page: Value = serde_json::from_str(&body)?;
        serde_json::from_value(page["items"].take()).context("a list")
    }

    /// The machine's own disk starts.
    pub(crate) fn expect_disk(&mut self) -> Result<Hit> {
        self.machine.expect(marker::line("own-disk", self.firmware))
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
