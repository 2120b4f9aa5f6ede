//! The lab's own claims: what a story relies on is shown here once, with the opposite beside it.

use anyhow::{Context, Result};
use enforcer_tests::lab::peers::{Loss, ReferencePlan};
use enforcer_tests::lab::{
    BootFrom, Disk, Event, Firmware, Machine, Namespace, Space, marker, need,
};
use std::time::Duration;

const BIOS_LIMIT: Duration = Duration::from_secs(30);
const UEFI_LIMIT: Duration = Duration::from_secs(90);

fn from_marker_disk(space: &Space, id: u8, firmware: Firmware) -> Result<Machine> {
    let image = space.folder().file("marker.img");
    marker::write(&image, "here")?;
    let plan = space
        .machine(id)
        .firmware(firmware)
        .ram_mib(256)
        .disk(Disk::copy_of(&image))
        .boot(&[BootFrom::Disks]);
    plan.power_on()
}

fn reaches_its_marker(firmware: Firmware, limit: Duration) -> Result<()> {
    let space = Space::new("marker")?;
    let mut machine = from_marker_disk(&space, 1, firmware)?;
    let hit = machine
        .serial()?
        .expect(marker::line("here", firmware), limit)?;
    println!("{} marker after {:?}", firmware.name(), hit.at);
    Ok(())
}

#[test]
fn this_host_has_every_program_of_the_lab() -> Result<()> {
    need::everything()
}

#[test]
fn a_bios_machine_reaches_the_marker_of_its_disk() -> Result<()> {
    reaches_its_marker(Firmware::Bios, BIOS_LIMIT)
}

#[test]
fn a_uefi_machine_reaches_the_marker_of_its_disk() -> Result<()> {
    reaches_its_marker(Firmware::Uefi, UEFI_LIMIT)
}

#[test]
fn reset_and_power_cut_are_seen_and_the_machine_boots_again() -> Result<()> {
    let space = Space::new("power")?;
    let mut machine = from_marker_disk(&space, 1, Firmware::Bios)?;
    let line = marker::line("here", Firmware::Bios);
    machine.serial()?.expect(line.clone(), BIOS_LIMIT)?;
    machine.reset()?;
    let reset = machine.wait_event("RESET", 0, Duration::from_secs(5))?;
    assert_eq!(reset.reason(), "host-qmp-system-reset");
    machine.serial()?.expect(line.clone(), BIOS_LIMIT)?;
    machine.cut();
    assert!(!machine.is_on());
    assert_eq!(
        machine.events().last().map(|event| event.name.clone()),
        Some(Event::POWER_CUT.to_owned())
    );
    machine.power_on()?;
    assert!(
        machine.events().iter().all(|event| event.name != "RESET"),
        "events start anew at power-on"
    );
    machine.serial()?.expect(line, BIOS_LIMIT)?;
    Ok(())
}

/// How many of 200 pings from the foreign host to the controller's address are lost, in percent.
fn pings_lost(host: &Namespace) -> Result<u32> {
    let output = host.sh("busybox ping -q -c 200 -i 0.01 -W 1 10.77.0.1 || true")?;
    let words: Vec<&str> = output.split_whitespace().collect();
    let at = words
        .iter()
        .position(|word| *word == "packet")
        .with_context(|| output.clone())?;
    Ok(words[at - 1].trim_end_matches('%').parse()?)
}

#[test]
fn the_loss_rule_drops_about_its_share_and_nothing_without_it() -> Result<()> {
    let space = Space::new("loss")?;
    let host = space.home().host("foreign", Space::FOREIGN)?;
    assert_eq!(pings_lost(&host)?, 0, "without the rule");
    let loss = Loss::start(space.home(), 20)?;
    // there and back: 1 - 0.8² = 36 %; four standard deviations of 200 tries are 14
    let lost = pings_lost(&host)?;
    assert!((22..=50).contains(&lost), "{lost} % of pings lost");
    assert!(loss.dropped()? > 0);
    drop(loss);
    assert_eq!(pings_lost(&host)?, 0, "after the rule");
    Ok(())
}

#[test]
fn the_reference_chain_boots_a_script_on_bios() -> Result<()> {
    let space = Space::new("reference")?;
    let reference =
        ReferencePlan::new("#!ipxe\necho REFERENCE-SAYS ${platform} ${net0/ip}\nsleep 60\n")
            .start(&space)?;
    let mut machine = space.machine(1).ram_mib(256).power_on()?;
    let hit = machine
        .serial()?
        .expect("REFERENCE-SAYS pcbios 10.77.0.101", BIOS_LIMIT)?;
    println!("script after {:?}", hit.at);
    assert!(
        reference
            .nginx()
            .access_log()
            .contains("GET /boot.ipxe 200"),
        "{}",
        reference.nginx().access_log()
    );
    Ok(())
}
