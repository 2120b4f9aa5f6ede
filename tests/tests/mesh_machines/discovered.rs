//! Nobody has heard of two machines. They are switched on, become members, are looked at, accepted, told to reboot, boot what is due once,
//! and then their own disk.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    fixture::Flavour,
    given::Given,
    lab::{
        Bus, Disk, Firmware, FirstStage, Machine, Nic, Space, marker,
        peers::ForeignDhcp,
        re, story,
        tenant::{self, Tenant, Then},
        wait_until,
    },
};

use enforcer_tests::site::{DISCOVER, READY_LIMIT, Site, reset_at};

/// What every tenant's kernel is told: its line must be seen, and soon.
const CONSOLE: &str =
    "console=ttyS0,115200 panic=10 loglevel=4 random.trust_cpu=on mitigations=off nokaslr";
/// From the READY line to an alive member.
const MEMBER_LIMIT: Duration = Duration::from_secs(5);

struct Unknown {
    machine: Machine,
    given: Given,
    disk: String,
}

fn unknown(space: &Space, id: u8, given: Given, bus: Bus) -> Result<Unknown> {
    let disk = format!("own-disk-{id}");
    let image = space.folder().file(format!("{disk}.img"));
    marker::write(&image, &disk)?;
    // OVMF drives virtio by itself; an Intel card brings its driver in its ROM.
    let stage = match (given.firmware, given.nic) {
        (Firmware::Uefi, Nic::Virtio) => FirstStage::OvmfPxe,
        (Firmware::Bios, _) | (Firmware::Uefi, Nic::E1000) => FirstStage::RomIpxe,
    };
    let plan = space
        .machine(id)
        .firmware(given.firmware)
        .first_stage(stage);
    let plan = plan.nic(given.nic).ram_mib(given.ram_mib).cpus(given.cpus);
    let serial = &given.disks.first().context("one disk")?.serial;
    let machine = plan.disk(Disk::copy_of(&image).bus(bus).serial(serial));
    Ok(Unknown {
        machine: machine.build()?,
        given,
        disk,
    })
}

#[test]
fn unknown_machines_become_members_and_reboot_through_the_mesh_into_what_is_due() -> Result<()> {
    story("discovered", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let site = Site::open(space, DISCOVER, Flavour::Generic)?;
        let bios = Given::new(1, Firmware::Bios).disk(Bus::Virtio, marker::SIZE_MIB);
        let uefi = Given::new(2, Firmware::Uefi)
            .nic(Nic::E1000)
            .cpus(2)
            .disk(Bus::Ahci, marker::SIZE_MIB);
        let mut machines = [
            unknown(space, 1, bios, Bus::Virtio)?,
            unknown(space, 2, uefi, Bus::Ahci)?,
        ];
        let once = Tenant::new("once").then(Then::Reboot);
        configure(&site, &once)?;
        for unknown in &mut machines {
            unknown.machine.power_on()?;
        }
        std::thread::scope(|scope| {
            let stories: Vec<_> = machines
                .iter_mut()
                .map(|unknown| scope.spawn(|| whole_story(&site, unknown)))
                .collect();
            stories.into_iter().try_for_each(|told| {
                told.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
        })
    })
}

fn configure(site: &Site, tenant: &Tenant) -> Result<()> {
    let (kernel, initrd) = tenant.kernel_and_initrd()?;
    let kernel = format!("linux={}", kernel.display());
    let initrd = format!("initrd.img={}", initrd.display());
    let set = ["boot-configs", "set", "once", "--kernel", &kernel];
    let more = [
        "--initrd",
        &initrd,
        "--evidence",
        "fetched",
        "--cmdline",
        CONSOLE,
    ];
    site.enforcer(&[&set[..], &more[..]].concat()).map(drop)
}

fn whole_story(site: &Site, unknown: &mut Unknown) -> Result<()> {
    let mac = unknown.machine.mac();
    let who = format!("{:?}", unknown.given.firmware);
    joins(site, unknown, &who).with_context(|| format!("{who} joins"))?;

    let refused = site.refused(&["boot-configs", "activate", "once", &mac])?;
    ensure!(
        !refused.is_empty(),
        "a machine that nobody accepted was given a config"
    );
    site.enforcer(&["machines", "accept", &mac])?;
    site.enforcer(&["boot-configs", "activate", "once", &mac])?;

    let skip = unknown.machine.events().len();
    site.enforcer(&["machines", "reboot", &mac])?;
    let told = SystemTime::now();
    let went_down = reset_at(&unknown.machine, skip)?;
    let acknowledged = site.wait_event(&mac, "command.done")?;
    ensure!(
        acknowledged.at < went_down,
        "{who}: acknowledged at {:?}, down at {went_down:?}: {}",
        acknowledged.at,
        acknowledged.text
    );
    if let Ok(early) = went_down.duration_since(told) {
        eprintln!("{who}: the command line was back {early:.2?} before it went down");
    }

    let firmware = unknown.given.firmware;
    unknown.machine.expect(tenant::line("once", firmware))?;
    unknown
        .machine
        .expect(marker::line(&unknown.disk, firmware))?;
    let text = unknown.machine.serial()?.text().to_owned();
    let times = text.matches(&tenant::line("once", firmware)).count();
    ensure!(times == 1, "{who}: the config booted {times} times");
    site.wait_event(&mac, "activation.confirmed").map(drop)
}

/// READY, a member soon after, and facts that are what QEMU was given.
fn joins(site: &Site, unknown: &mut Unknown, who: &str) -> Result<()> {
    let mac = unknown.machine.mac();
    let ready = unknown
        .machine
        .serial()?
        .expect(re(r"ENFORCER READY (\{.*)"), READY_LIMIT)?;
    let ready_at = unknown.machine.power_on_clock()? + ready.at;
    site.wait_alive(&mac)?;
    let alive = SystemTime::now().duration_since(ready_at)?;
    eprintln!(
        "{who}: READY {:.1?} after power-on, a member {alive:.1?} later",
        ready.at
    );
    ensure!(
        alive <= MEMBER_LIMIT,
        "{who}: a member only after {alive:?}"
    );
    let path = format!("/api/v1/machines/{mac}/facts");
    let mut facts =
        wait_until("the facts", MEMBER_LIMIT, || Ok(site.get(&path).ok()))?["facts"].take();
    // The READY line has no room for PCI devices; over the link they are there.
    let pci = facts["pci"].take().to_string();
    let card = match unknown.given.nic {
        Nic::Virtio => "1af4",
        Nic::E1000 => "8086",
    };
    ensure!(pci.contains(card), "no device of {card} in {pci}");
    facts.as_object_mut().context("facts")?.remove("pci");
    unknown.given.check(&facts.to_string())
}
