//! From power-on to the management OS on every kind of firmware.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;
use enforcer_tests::{
    fixture::{self, Flavour},
    lab::{
        self, Controller, ControllerPlan, Disk, Firmware, FirstStage, Space, peers::ForeignDhcp,
    },
};

const DISCOVER_ALL: &str =
    "discovery = \"all\"\n[management_os]\ncmdline = \"console=tty0 console=ttyS0,115200\"\n";

/// A controller that can boot the management OS of `flavour`.
fn controller(space: &Space, config: &str, flavour: Flavour) -> Result<Controller> {
    let controller = ControllerPlan::new().config(config).start(space)?;
    import(&controller.state(), &fixture::management_os(flavour)?)?;
    Ok(controller)
}

fn import(state: &Path, built: &Path) -> Result<()> {
    let done = Command::new(lab::enforcer_binary()?)
        .args(["management-os", "--state"])
        .arg(state)
        .arg("import")
        .arg(built)
        .output()?;
    anyhow::ensure!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

#[test]
fn bios_in_proxy_mode() -> Result<()> {
    let space = Space::new("bios-proxy")?;
    let _foreign = ForeignDhcp::start(&space)?;
    let mut controller = controller(&space, DISCOVER_ALL, Flavour::Virtio)?;
    controller.wait_log("were read again", Duration::from_secs(10))?;
    let mut machine = space
        .machine(1)
        .firmware(Firmware::Bios)
        .disk(Disk::blank(64))
        .power_on()?;
    let hit = machine.expect("ENFORCER READY");
    eprintln!("{}", controller.log());
    eprintln!("{:?}", hit?);
    Ok(())
}

#[test]
fn uefi_in_proxy_mode() -> Result<()> {
    let space = Space::new("uefi-proxy")?;
    let _foreign = ForeignDhcp::start(&space)?;
    let mut controller = controller(&space, DISCOVER_ALL, Flavour::Virtio)?;
    controller.wait_log("were read again", Duration::from_secs(10))?;
    let mut machine = space
        .machine(1)
        .firmware(Firmware::Uefi)
        .first_stage(FirstStage::OvmfPxe)
        .disk(Disk::blank(64))
        .power_on()?;
    let hit = machine.expect("ENFORCER READY");
    eprintln!("{}", controller.log());
    eprintln!("{:?}", hit?);
    Ok(())
}
