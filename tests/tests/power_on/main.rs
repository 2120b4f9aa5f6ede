//! From power-on to the management OS on every kind of firmware, with facts equal to what the machines were given.
//!
//! Two stories, because machines of one story run at the same time: beside a foreign DHCP server with the virtio flavour, and as the DHCP
//! server itself with the generic one. In both, the controller is then told to chain its own iPXE over the one in BIOS ROMs.

mod timeline;

use anyhow::{Context, Result};
use enforcer_tests::{
    fixture::{self, Flavour},
    given::Given,
    lab::{
        Bus, Controller, ControllerPlan, Disk, Firmware, FirstStage, Machine, MachinePlan, Nic,
        Space, peers::ForeignDhcp, re, story,
    },
};
use std::fs;
use std::time::Duration;
use timeline::Story;

/// Three emulated machines at once unpack a kernel of all drivers: half a minute each on two quiet cores, far more on a busy host.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// Serial console last, so that it gets the agent's lines. An emulated machine that gets too little of a busy host misses the ticks by
/// which the kernel tests its timer, and panics.
const DISCOVER: &str = "discovery = \"all\"\n[management_os]\ncmdline = \"no_timer_check console=tty0 console=ttyS0,115200\"\n";
const SERVE_ADDRESSES: &str = "[dhcp]\nmode = \"server\"\n[[dhcp.subnet]]\nnetwork = \"10.77.0.0/24\"\npool = \"10.77.0.150-10.77.0.199\"\n";
const RECHAIN: &str = "[ipxe]\nrechain = \"always\"\n";

/// A controller that can boot the management OS of `flavour`.
fn controller(space: &Space, config: &str, flavour: Flavour) -> Result<Controller> {
    fixture::install_management_os(&space.folder().file("enforcer/state"), flavour)?;
    ControllerPlan::new().config(config).start(space)
}

/// The same controller with other settings.
fn reconfigure(controller: &mut Controller, config: &str) -> Result<()> {
    fs::write(controller.folder().join("enforcer.toml"), config)?;
    controller.restart()
}

/// A machine, what it must say of itself, and the timeline it must leave.
struct Guest {
    machine: Machine,
    given: Given,
    story: Story,
}

fn guest(plan: MachinePlan, given: Given, story: Story) -> Result<Guest> {
    let machine = plan
        .firmware(given.firmware)
        .ram_mib(given.ram_mib)
        .cpus(given.cpus)
        .nic(given.nic);
    let machine = given.disks.iter().fold(machine, |machine, disk| {
        machine.disk(Disk::blank(disk.mib).bus(disk.bus).serial(&disk.serial))
    });
    Ok(Guest {
        machine: machine.build()?,
        given,
        story,
    })
}

/// Powers all on at once and holds each to its word.
fn all_become_ready(guests: &mut [Guest], controller: &Controller) -> Result<()> {
    guests
        .iter_mut()
        .try_for_each(|guest| guest.machine.power_on())?;
    for guest in guests {
        ready(guest, controller).with_context(|| format!("{:?}", guest.story))?;
    }
    Ok(())
}

fn ready(guest: &mut Guest, controller: &Controller) -> Result<()> {
    let line = re(r"ENFORCER READY (\{.*)");
    let hit = guest.machine.serial()?.expect(line, READY_LIMIT)?;
    let seconds = hit.at.as_secs_f32();
    eprintln!("{:?}: READY {seconds:.1} s after power-on", guest.story);
    guest.given.check(&hit.groups[0])?;
    timeline::check(controller, &guest.machine.mac(), guest.story)?;
    guest.machine.cut();
    Ok(())
}

#[test]
fn every_firmware_reaches_the_management_os_beside_a_foreign_dhcp_server() -> Result<()> {
    story("proxy", |space| {
        let foreign = ForeignDhcp::start(space)?;
        let mut controller = controller(space, DISCOVER, Flavour::Virtio)?;
        let virtio = |id, firmware| Given::new(id, firmware).disk(Bus::Virtio, 64);
        let mut guests = [
            guest(space.machine(1), virtio(1, Firmware::Bios), Story::RomIpxe)?,
            guest(
                space.machine(2).first_stage(FirstStage::OvmfPxe),
                virtio(2, Firmware::Uefi).cpus(2),
                Story::UefiPxe,
            )?,
            guest(
                space.machine(3).first_stage(FirstStage::OvmfHttp),
                virtio(3, Firmware::Uefi).disk(Bus::Virtio, 33),
                Story::UefiHttp,
            )?,
        ];
        all_become_ready(&mut guests, &controller)?;
        assert!(
            foreign.log().contains("DHCPACK"),
            "the addresses come from the foreign server"
        );

        reconfigure(&mut controller, &format!("{DISCOVER}{RECHAIN}"))?;
        let again = virtio(4, Firmware::Bios);
        all_become_ready(
            &mut [guest(space.machine(4), again, Story::Rechained)?],
            &controller,
        )
    })
}

#[test]
fn every_firmware_reaches_the_generic_management_os_in_512_mib_from_our_own_addresses() -> Result<()>
{
    story("server", |space| {
        let config = format!("{DISCOVER}{SERVE_ADDRESSES}");
        let mut controller = controller(space, &config, Flavour::Generic)?;
        let metal = |id, firmware| {
            let given = Given::new(id, firmware).nic(Nic::E1000).ram(512);
            given.disk(Bus::Ahci, 64).disk(Bus::Nvme, 48)
        };
        let mut guests = [
            guest(space.machine(1), metal(1, Firmware::Bios), Story::RomIpxe)?,
            guest(
                space.machine(2).first_stage(FirstStage::OvmfPxe),
                Given::new(2, Firmware::Uefi).ram(512).disk(Bus::Nvme, 64),
                Story::UefiPxe,
            )?,
            guest(
                space.machine(3).first_stage(FirstStage::OvmfHttp),
                Given::new(3, Firmware::Uefi).ram(512).disk(Bus::Ahci, 64),
                Story::UefiHttp,
            )?,
        ];
        all_become_ready(&mut guests, &controller)?;

        reconfigure(&mut controller, &format!("{config}{RECHAIN}"))?;
        let again = metal(4, Firmware::Bios);
        all_become_ready(
            &mut [guest(space.machine(4), again, Story::Rechained)?],
            &controller,
        )
    })
}
