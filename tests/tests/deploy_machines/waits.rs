//! A key that nobody vouches for waits for a person, and with it everything that was ordered: the disks stay as they are. Then both
//! are written, one on SATA and one whose sectors have 4096 bytes; and of that one a partition once more, by itself.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    fixture::Flavour,
    lab::{
        Bus, Disk, Firmware, Machine, Space, need, output,
        peers::ForeignDhcp,
        re, same_bytes, story,
        tenant::{self, Tenant},
    },
    site::{DISCOVER, READY_LIMIT, Site},
};

use crate::acts::{deploy, holds, over, own_disk, push};

/// Another server leads machines here: the controller never sees them ask for an address, so nobody is sent a boot's secret.
const ELSEWHERE: &str = "[dhcp]\nmode = \"off\"\n";
const GENERAL_SCRIPT: &str = "http://10.77.0.1:4880/boot.ipxe";
/// Of the data disk and of its image: no table has to be moved.
const DATA_MIB: u64 = 24;
/// Where its one partition lies.
const PARTITION_MIB: Range<u64> = 1..21;

#[test]
fn what_waits_for_a_person_writes_nothing_and_then_every_kind_of_disk() -> Result<()> {
    story("waits", |space| {
        let _foreign = ForeignDhcp::naming(space, GENERAL_SCRIPT)?;
        let site = Site::open(space, &format!("{DISCOVER}{ELSEWHERE}"), Flavour::Generic)?;
        let (system, data) = (Tenant::new("waited").image()?, data_image(space)?);
        push(&site, &system, "system")?;
        push(&site, &data, "data")?;
        let home = home_image(space)?;
        push_for_large_sectors(&site, &home, "home")?;
        let (own, empty) = (own_disk(space)?, space.folder().file("empty.img"));
        fs::File::create(&empty)?.set_len(DATA_MIB << 20)?;
        let sata = Disk::copy_of(&own).bus(Bus::Ahci);
        let large_sectors = Disk::copy_of(&empty).bus(Bus::Nvme).sectors(4096);
        let plan = space.machine(1).firmware(Firmware::Bios);
        let mut machine = plan.disk(sata).disk(large_sectors).build()?;
        let mac = machine.mac();
        site.enforcer(&["machines", "register", &mac])?;
        let onto = |image: &str, disk: &str, after: &str| {
            deploy(&site, &mac, image, &["--disk", disk, "--after", after])
        };
        let first = onto("data", "serial=DISK-1-1", "stay")?;
        let only = [
            "--disk",
            "serial=DISK-1-1",
            "--partition",
            "#1",
            "--after",
            "stay",
        ];
        let part = deploy(&site, &mac, "home", &only)?;
        let second = onto("system", "serial=DISK-1-0", "reboot")?;
        machine.power_on()?;
        let code = code_of_one_that_waits(&site, &mut machine)?;
        ensure!(site.member(&mac)?.is_none(), "it is no member yet");
        ensure!(same_bytes(machine.disk(0), &own), "its own disk differs");
        ensure!(same_bytes(machine.disk(1), &empty), "the other one differs");

        site.enforcer(&["machines", "accept", &mac, "--code", &code])?;
        let ended = |id: u64, how: &str| -> Result<()> {
            let end = over(&site, id)?;
            ensure!(end["state"] == how, "deployment {id}: {end:#}");
            Ok(())
        };
        ended(first, "done")?;
        ended(part, "done")?;
        machine.expect(tenant::line("waited", Firmware::Bios))?;
        ended(second, "handed-over")?;
        is_one_within_the_other(machine.disk(1), &data, &home)?;
        holds(machine.disk(0), &system)
    })
}

fn code_of_one_that_waits(site: &Site, machine: &mut Machine) -> Result<String> {
    machine
        .serial()?
        .expect(re("ENFORCER READY"), READY_LIMIT)?;
    machine.expect("waiting for a person")?;
    let shown = machine.expect(re(r"ENFORCER CODE (\d{4}-\d{4})"))?;
    let known = site.machine(&machine.mac())?;
    ensure!(known["pending"][0].is_object(), "a key waits: {known:#}");
    shown.groups.first().cloned().context("a code")
}

/// Content that does not repeat, behind a table of partitions for sectors of 4096 bytes.
fn data_image(space: &Space) -> Result<PathBuf> {
    let file = space.folder().file("data.img");
    let mut content = content(DATA_MIB, 0x9E37_79B9_7F4A_7C15);
    // Where the tables will be.
    content[..1 << 20].fill(0);
    let end = content.len() - (1 << 20);
    content[end..].fill(0);
    fs::write(&file, content)?;
    table_for_large_sectors(&file)?;
    Ok(file)
}

/// Other content, as large as the partition.
fn home_image(space: &Space) -> Result<PathBuf> {
    let file = space.folder().file("home.img");
    let mib = PARTITION_MIB.end - PARTITION_MIB.start;
    fs::write(&file, content(mib, 0xC2B2_AE3D_27D4_EB4F))?;
    Ok(file)
}

fn content(mib: u64, factor: u64) -> Vec<u8> {
    (0..mib << 17)
        .flat_map(|n: u64| n.wrapping_mul(factor).to_le_bytes())
        .collect()
}

/// A file system has no table that would tell for which sectors it was made: people say it.
fn push_for_large_sectors(site: &Site, image: &Path, name: &str) -> Result<()> {
    let image = image.to_str().context("a path")?;
    let asked = ["images", "push", image, name, "--sector-size", "4096"];
    site.enforcer(&asked).map(drop)
}

/// The disk holds `whole`, and in its partition, to the byte, `part`.
fn is_one_within_the_other(disk: &Path, whole: &Path, part: &Path) -> Result<()> {
    let (disk, mut wanted) = (fs::read(disk)?, fs::read(whole)?);
    let start = usize::try_from(PARTITION_MIB.start << 20)?;
    let part = fs::read(part)?;
    wanted[start..start + part.len()].copy_from_slice(&part);
    let differs = (0..wanted.len()).find(|at| disk[*at] != wanted[*at]);
    ensure!(differs.is_none(), "the disk differs at byte {differs:?}");
    Ok(())
}

/// fdisk alone of its family believes any sector size of a file.
fn table_for_large_sectors(file: &Path) -> Result<()> {
    let script = file.with_extension("table");
    fs::write(&script, "label: gpt\nstart=1MiB, size=20MiB, type=linux\n")?;
    let words = format!("I\n{}\nw\n", script.display());
    let mut fdisk = Command::new("sh");
    let call = "printf %s \"$1\" | \"$2\" --sector-size 4096 --wipe never \"$3\"";
    need::programs(&["fdisk"])?;
    fdisk.args(["-c", call, "sh", &words, "fdisk"]).arg(file);
    fdisk.env("PATH", need::search_path());
    output(fdisk).map(drop)
}
