//! A machine on the routed wire, with real firmware: through the helper into the mesh; and without the controller to its own disk.

use std::time::Duration;

use anyhow::{Result, ensure};
use enforcer_tests::{
    fixture::Flavour,
    lab::{Disk, Firmware, Hit, Machine, MachinePlan, marker, re, story, wait_until},
    site::{PATIENCE, READY_LIMIT, Site},
};

use crate::{
    room::{Room, delegated},
    within,
};

/// Serial console last, so that it gets the agent's lines; and a busy host must not make the kernel's timer test fail.
const CONSOLE: &str =
    "[management_os]\ncmdline = \"no_timer_check console=tty0 console=ttyS0,115200\"\n";
/// From its question to the disk's own loader (issue 5). What firmware needs before is not ours.
const TO_THE_DISK: Duration = Duration::from_secs(5);

#[test]
fn a_machine_joins_through_a_helper_and_reaches_its_disk_without_the_controller() -> Result<()> {
    story("helpers-machine", |space| {
        let site = Site::open(space, CONSOLE, Flavour::Virtio)?;
        let mut room = Room::open(space, site, 1)?;
        room.give_roles()?;
        let disk = space.folder().file("own.img");
        marker::write(&disk, "own")?;
        let plan = MachinePlan::new(room.far.clone(), 5).firmware(Firmware::Bios);
        let mut machine = plan.disk(Disk::copy_of(&disk)).build()?;
        let mac = machine.mac();
        room.site
            .enforcer(&["machines", "register", &mac, "--name", "pc"])?;
        joins(&room, &mut machine)?;
        machine.cut();

        room.wait_delegated(0, "the machine", |all| delegated(all, &mac).is_some())?;
        room.site.controller.kill9();
        room.helpers[0].wait_says("the link has ended")?;
        machine.power_on()?;
        machine.serial()?.forbid("ENFORCER READY");
        let asks = asks(&room, &mut machine)?;
        let disk = machine.expect(marker::line("own", Firmware::Bios))?;
        let took = disk.at.saturating_sub(asks.at);
        within(
            "without the controller, from its question to its disk",
            took,
            TO_THE_DISK,
        )
    })
}

/// The management OS through the helper, and a member by the secret that came with it.
fn joins(room: &Room<'_>, machine: &mut Machine) -> Result<()> {
    let mac = machine.mac();
    machine.power_on()?;
    let asks = asks(room, machine)?;
    let ready = re(r"ENFORCER READY \{");
    let ready = machine.serial()?.expect(ready, READY_LIMIT)?;
    eprintln!(
        "through a helper: firmware and iPXE {:.1} s, then to READY {:.1} s",
        asks.at.as_secs_f32(),
        ready.at.saturating_sub(asks.at).as_secs_f32()
    );
    room.site.wait_alive(&mac)?;
    let shown = room.site.machine(&mac)?;
    ensure!(shown["level"] == "t1", "by its boot's secret: {shown}");
    ensure!(shown["standing"] == "accepted", "{shown}");
    // Once its facts are known nothing is due for it but its disk.
    let facts = format!("/api/v1/machines/{mac}/facts");
    wait_until("its facts", PATIENCE, || Ok(room.site.get(&facts).ok()))?;
    Ok(())
}

/// The general script, from the helper.
fn asks(room: &Room<'_>, machine: &mut Machine) -> Result<Hit> {
    let line = format!("Enforcer: asking {}", room.helpers[0].url(""));
    machine.expect(line.as_str())
}
