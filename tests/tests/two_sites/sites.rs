//! Sites of the lab, how they get to know each other, and a machine that stands in the branch.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{
    Controller, ControllerPlan, Disk, Firmware, Machine, Space, marker, wait_until,
};
use serde_json::Value;

/// The branch lends addresses: old iPXE then does not wait for a router.
const BRANCH: &str = "site = \"branch\"\n[dhcp]\nmode = \"server\"\n[[dhcp.subnet]]\nnetwork = \"10.77.0.0/24\"\npool = \"10.77.0.150-10.77.0.199\"\n";
/// The other sites stand on the same wire, and answer no machine there.
const QUIET: &str = "tftp = false\n[dhcp]\nmode = \"off\"\n";
pub(crate) const HQ_AT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
/// Only a failing story waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// From the question to the disk's own loader, whatever peers do.
const TO_THE_DISK: Duration = Duration::from_secs(5);

/// The site where the machine stands.
pub(crate) fn branch(space: &Space) -> Result<Controller> {
    ControllerPlan::new().config(BRANCH).start(space)
}

/// Another site.
pub(crate) fn site(space: &Space, name: &str, at: Ipv4Addr) -> Result<Controller> {
    let host = space.home().host(name, at)?;
    let config = format!("site = \"{name}\"\n{QUIET}");
    let plan = ControllerPlan::new().name(name).config(&config).on(host);
    plan.start(space)
}

/// Two sites get to know each other.
pub(crate) fn introduce(inviter: &Controller, joiner: &Controller) -> Result<()> {
    let invited: Value = serde_json::from_str(&inviter.cli(&["peers", "invite", "-o", "json"])?)?;
    let invitation = invited["invitation"].as_str().context("an invitation")?;
    joiner.cli(&["peers", "join", invitation]).map(drop)
}

/// A machine with a disk of its own.
pub(crate) fn machine(space: &Space) -> Result<Machine> {
    let disk = space.folder().file("own.img");
    marker::write(&disk, "own")?;
    let plan = space.machine(1).firmware(Firmware::Bios).ram_mib(512);
    plan.disk(Disk::copy_of(&disk)).build()
}

/// The machine is a laptop of this site.
pub(crate) fn owns(site: &Controller, mac: &str, name: &str) -> Result<()> {
    site.cli(&["machines", "register", mac, "--name", name])?;
    let label = ["machines", "set", name, "--label", "pool=laptops"];
    site.cli(&label).map(drop)
}

/// Waits until the site knows that so many of its peers have something for a machine.
pub(crate) fn is_told(site: &Controller, by: usize) -> Result<()> {
    wait_until("the other sites to name the machine", PATIENCE, || {
        let peers = site.list("peers")?;
        let naming = peers.iter().filter(|p| p["names"].as_u64() > Some(0));
        Ok((naming.count() == by).then_some(()))
    })
}

/// The machine, which is on, asks and starts its own disk, soon.
pub(crate) fn starts_its_disk(what: &str, machine: &mut Machine) -> Result<()> {
    let asks = machine.expect("Enforcer: asking")?;
    let disk = machine.expect(marker::line("own", Firmware::Bios))?;
    let took = disk.at.saturating_sub(asks.at);
    eprintln!(
        "{what}: own disk {:.1} s after the machine asked",
        took.as_secs_f32()
    );
    ensure!(took <= TO_THE_DISK, "{what}: {took:?} to the disk");
    Ok(())
}
