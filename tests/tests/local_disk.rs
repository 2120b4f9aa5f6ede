//! The way to the local disk: of an idle machine, and of one whose controller dies while it is asked. docs/LOCAL-BOOT.md has the whole matrix.

use anyhow::{Context, Result};
use enforcer_tests::lab::{
    Controller, ControllerPlan, Disk, Firmware, Hit, Machine, Space, marker,
    peers::{ForeignDhcp, Hold},
    story,
};
use std::path::PathBuf;
use std::time::Duration;

/// Own addresses: old iPXE then does not wait for a router.
const SERVE_ADDRESSES: &str = "[dhcp]\nmode = \"server\"\n[[dhcp.subnet]]\nnetwork = \"10.77.0.0/24\"\npool = \"10.77.0.150-10.77.0.199\"\n";
/// What DESIGN §4 promises from the script to the disk, also without a controller.
const WITHOUT_CONTROLLER: Duration = Duration::from_secs(10);

fn own_disk(space: &Space) -> Result<PathBuf> {
    let image = space.folder().file("own.img");
    marker::write(&image, "own")?;
    Ok(image)
}

fn registered(
    space: &Space,
    controller: &Controller,
    id: u8,
    firmware: Firmware,
) -> Result<Machine> {
    let plan = space.machine(id).firmware(firmware).ram_mib(256);
    let machine = plan.disk(Disk::copy_of(own_disk(space)?)).build()?;
    controller.cli(&["machines", "register", &machine.mac()])?;
    Ok(machine)
}

#[test]
fn a_registered_idle_machine_reaches_its_own_disk() -> Result<()> {
    story("idle", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let controller = ControllerPlan::new().start(space)?;
        let mut bios = registered(space, &controller, 1, Firmware::Bios)?;
        let mut uefi = registered(space, &controller, 2, Firmware::Uefi)?;
        bios.power_on()?;
        uefi.power_on()?;
        for (mut machine, firmware) in [(bios, Firmware::Bios), (uefi, Firmware::Uefi)] {
            let script = machine.expect("boots its own disk")?;
            let disk = machine.expect(marker::line("own", firmware))?;
            tell("idle", firmware, &script, &disk);
        }
        Ok(())
    })
}

#[test]
fn the_controller_is_killed_after_the_script_and_the_disk_starts_within_ten_seconds() -> Result<()>
{
    story("killed", |space| {
        let mut controller = ControllerPlan::new().config(SERVE_ADDRESSES).start(space)?;
        for (id, firmware) in [(1, Firmware::Bios), (2, Firmware::Uefi)] {
            killed_while_asked(space, &mut controller, id, firmware)
                .with_context(|| format!("{firmware:?}"))?;
            controller.restart()?;
        }
        Ok(())
    })
}

/// The machine has the general script; its question for its own one never arrives, so that no answer can win the race with the kill. Then the
/// whole host falls silent, which is slower for the machine than a program's end, after which the kernel refuses at once.
fn killed_while_asked(
    space: &Space,
    controller: &mut Controller,
    id: u8,
    firmware: Firmware,
) -> Result<()> {
    let hold = Hold::requests(space.home(), "GET /boot/")?;
    let mut machine = registered(space, controller, id, firmware)?;
    machine.power_on()?;
    let asking = machine.expect("Enforcer: asking")?;
    hold.everything()?;
    controller.kill9();
    let disk = machine.expect(marker::line("own", firmware))?;
    assert!(hold.has_held()?, "the machine did ask, and got no answer");
    tell("killed", firmware, &asking, &disk);
    let took = disk.at.saturating_sub(asking.at);
    assert!(
        took <= WITHOUT_CONTROLLER,
        "{took:?} from the script to the disk"
    );
    Ok(())
}

fn tell(story: &str, firmware: Firmware, script: &Hit, disk: &Hit) {
    let (script, disk) = (script.at.as_secs_f32(), disk.at.as_secs_f32());
    eprintln!(
        "{story} {firmware:?}: script at {script:.1} s, disk {:.1} s later",
        disk - script
    );
}
