//! Tenant disks and every place of an ESP: what the local-boot matrix stands on.

use anyhow::Result;
use enforcer_tests::lab::marker::{self, BootsOn};
use enforcer_tests::lab::peers::ReferencePlan;
use enforcer_tests::lab::tenant::image::EspPlace;
use enforcer_tests::lab::tenant::{self, Tenant, Then};
use enforcer_tests::lab::{BootFrom, Bus, Disk, Firmware, Space};
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Boots a machine from a copy of `image` alone and waits for `line`.
fn boots(space: &Space, firmware: Firmware, bus: Bus, image: &Path, line: &str) -> Result<()> {
    let plan = space
        .machine(1)
        .firmware(firmware)
        .disk(Disk::copy_of(image).bus(bus));
    let mut machine = plan.boot(&[BootFrom::Disks]).power_on()?;
    let hit = machine.serial()?.expect(line, LIMIT)?;
    println!("{firmware:?} {bus:?}: {:?} {}", hit.at, hit.line);
    Ok(())
}

fn one_image_boots_on(firmware: Firmware) -> Result<()> {
    let space = Space::new("tenant")?;
    let image = Tenant::new("lodger").image()?;
    boots(
        &space,
        firmware,
        Bus::Virtio,
        &image,
        &tenant::line("lodger", firmware),
    )
}

#[test]
fn a_tenant_disk_boots_its_kernel_on_bios() -> Result<()> {
    one_image_boots_on(Firmware::Bios)
}

#[test]
fn the_same_tenant_disk_boots_its_kernel_on_uefi() -> Result<()> {
    one_image_boots_on(Firmware::Uefi)
}

#[test]
fn a_tenant_on_partition_five_boots_on_uefi() -> Result<()> {
    let space = Space::new("fifth")?;
    let tenant = Tenant::new("fifth")
        .boots_on(BootsOn::UefiOnly)
        .esp(EspPlace::GptFifth);
    boots(
        &space,
        Firmware::Uefi,
        Bus::Virtio,
        &tenant.image()?,
        "TENANT-OS-UP fifth fw=uefi",
    )
}

#[test]
fn a_tenant_that_reboots_is_seen_as_a_guest_reset_and_boots_again() -> Result<()> {
    let space = Space::new("reboot")?;
    let image = Tenant::new("again").then(Then::Reboot).image()?;
    let plan = space
        .machine(1)
        .disk(Disk::copy_of(&image))
        .boot(&[BootFrom::Disks]);
    let mut machine = plan.power_on()?;
    machine.serial()?.expect("TENANT-OS-UP again", LIMIT)?;
    machine.wait_guest_reset(0, LIMIT)?;
    machine.serial()?.expect("TENANT-OS-UP again", LIMIT)?;
    Ok(())
}

#[test]
fn markers_boot_from_every_place_and_bus_on_uefi() -> Result<()> {
    let space = Space::new("places")?;
    let cases = [
        (EspPlace::MbrFifth, Bus::Virtio),
        (EspPlace::GptFirst, Bus::Ahci),
        (EspPlace::GptFifth, Bus::Nvme),
    ];
    for (place, bus) in cases {
        let image = space.folder().file("place.img");
        marker::write_as(&image, "place", BootsOn::UefiOnly, place)?;
        boots(
            &space,
            Firmware::Uefi,
            bus,
            &image,
            "MARKER-UP place fw=uefi",
        )?;
    }
    Ok(())
}

#[test]
fn markers_boot_from_every_bus_on_bios() -> Result<()> {
    let space = Space::new("buses")?;
    let image = space.folder().file("bus.img");
    marker::write_as(&image, "bus", BootsOn::BiosOnly, EspPlace::MbrFirst)?;
    for bus in [Bus::Virtio, Bus::Ahci, Bus::Nvme] {
        boots(&space, Firmware::Bios, bus, &image, "MARKER-UP bus fw=bios")?;
    }
    Ok(())
}

#[test]
fn the_reference_chain_boots_a_kernel_and_initrd_over_the_network() -> Result<()> {
    let space = Space::new("chain")?;
    let (kernel, initrd) = Tenant::new("netboot").kernel_and_initrd()?;
    let plan = ReferencePlan::kernel("console=ttyS0,115200")
        .file("vmlinuz", kernel)
        .file("initrd.img", initrd);
    let _reference = plan.start(&space)?;
    for firmware in [Firmware::Bios, Firmware::Uefi] {
        let mut machine = space.machine(1).firmware(firmware).power_on()?;
        let hit = machine
            .serial()?
            .expect(tenant::line("netboot", firmware), LIMIT)?;
        println!("reference chain {firmware:?}: {:?}", hit.at);
    }
    Ok(())
}
