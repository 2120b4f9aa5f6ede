//! Who is who on real firmware: a person compares the code on the screen, one machine is one record however often it boots, and another
//! machine with its card's address gets nothing while it lives; nor does the first one's disk, until a person has decided.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    fixture::Flavour,
    lab::{
        Disk, Firmware, Machine, MachinePlan, Segment, Space, marker, peers::Relay, re, same_bytes,
        story,
    },
};

use enforcer_tests::site::{DISCOVER, PATIENCE, READY_LIMIT, Site};

/// Two wires: bridges would not know where an address is that two machines on one wire have.
const TWO_WIRES: &str = "[dhcp]\nmode = \"server\"
[[dhcp.subnet]]\nnetwork = \"10.77.0.0/24\"\npool = \"10.77.0.150-10.77.0.199\"
[[dhcp.subnet]]\nnetwork = \"10.78.0.0/24\"\npool = \"10.78.0.150-10.78.0.199\"\nrouters = [\"10.78.0.1\"]\n";
/// How often the machine boots the management OS.
const BOOTS: usize = 3;

/// A wrong code changes nothing, the right one proves the key.
fn accept_by_code(site: &Site, mac: &str, code: &str) -> Result<()> {
    let wrong = site.refused(&["machines", "accept", mac, "--code", "0000-0000"])?;
    ensure!(wrong.contains("code"), "{wrong}");
    let level = |level: &str| -> Result<()> {
        let shown = site.machine(mac)?;
        ensure!(shown["level"] == level, "not {level}: {shown:#}");
        Ok(())
    };
    level("t1")?;
    site.enforcer(&["machines", "accept", mac, "--code", code])?;
    level("t2")
}

/// One record, an alive member, nothing to decide for a person.
fn is_one(site: &Site, mac: &str) -> Result<()> {
    site.wait_alive(mac)?;
    let records = site.records(mac)?;
    ensure!(records.len() == 1, "one record, not {records:#?}");
    let all = site.json(&["machines", "list"])?;
    ensure!(all.as_array().is_some_and(|all| all.len() == 1), "{all:#}");
    let known = site.machine(mac)?;
    ensure!(known["disputed"].is_null(), "disputed: {known:#}");
    Ok(())
}

/// It is looked at again, as often as it takes: each boot has a key of its own.
fn boots_again(site: &Site, machine: &mut Machine) -> Result<()> {
    let mac = machine.mac();
    let generation = |site: &Site| -> Result<u64> {
        let member = site.json(&["members", "show", &mac])?;
        let generation = member["generation"].as_u64();
        generation.context("a member has a generation")
    };
    for boot in 2..=BOOTS {
        let before = generation(site)?;
        site.enforcer(&["machines", "inspect", &mac])?;
        machine.serial()?.from_here();
        machine.reset()?;
        machine
            .serial()?
            .expect(re("ENFORCER MEMBER"), READY_LIMIT)?;
        is_one(site, &mac).with_context(|| format!("boot {boot}"))?;
        ensure!(generation(site)? > before, "boot {boot} is another life");
    }
    Ok(())
}

/// Another machine (other board, other disk) with this one's card's address boots in its stead, behind a router.
fn forger(site: &Site, far: &Segment, mac: &str, own: &Path) -> Result<Machine> {
    site.enforcer(&["machines", "inspect", mac])?;
    let plan = MachinePlan::new(far.clone(), 66).firmware(Firmware::Bios);
    let mut forger = plan.mac(mac).disk(Disk::copy_of(own)).power_on()?;
    forger.serial()?.forbid(re("ENFORCER MEMBER"));
    forger.serial()?.expect(re("ENFORCER READY"), READY_LIMIT)?;
    Ok(forger)
}

/// An image for it waits, its agent asks and is told why; its disk is as it was.
fn is_not_written(space: &Space, site: &Site, machine: &mut Machine, own: &Path) -> Result<()> {
    let image = space.folder().file("other.img");
    marker::write(&image, "other")?;
    let image = image.to_str().context("a path")?;
    site.enforcer(&["images", "push", image, "other"])?;
    site.enforcer(&["deploy", &machine.mac(), "other", "--after", "stay"])?;
    machine
        .serial()?
        .expect("the machine is disputed", PATIENCE)?;
    ensure!(same_bytes(machine.disk(0), own), "disputed, and written");
    Ok(())
}

#[test]
fn three_boots_are_one_machine_and_another_with_its_address_is_refused() -> Result<()> {
    story("identity", |space| {
        let far = space.far_segment()?;
        let site = Site::open(space, &format!("{DISCOVER}{TWO_WIRES}"), Flavour::Virtio)?;
        let _relay = Relay::start(&far)?;
        let own = space.folder().file("own.img");
        marker::write(&own, "own")?;
        let plan = space.machine(1).firmware(Firmware::Bios);
        let mut first = plan.disk(Disk::copy_of(&own)).power_on()?;
        let mac = first.mac();
        first.serial()?.expect(re("ENFORCER READY"), READY_LIMIT)?;
        let shown = first.expect(re(r"ENFORCER CODE (\d{4}-\d{4})"))?;
        let code = shown.groups.first().cloned().context("a code")?;
        is_one(&site, &mac)?;
        let known = site.machine(&mac)?;
        ensure!(known["code"] == *code, "the screen says {code}: {known:#}");
        accept_by_code(&site, &mac, &code)?;
        boots_again(&site, &mut first)?;

        let mut forger = forger(&site, &far, &mac, &own)?;
        site.wait_event(&mac, "machine.disputed")?;
        forger.serial()?.expect(re("refused"), PATIENCE)?;
        let known = site.machine(&mac)?;
        ensure!(known["disputed"].is_string(), "{known:#}");
        let records = site.records(&mac)?;
        ensure!(records.len() == 1, "one record, not {records:#?}");
        ensure!(
            site.member(&mac)?.as_deref() == Some("alive"),
            "the first keeps its link"
        );
        // Its link still carries orders.
        site.enforcer(&["machines", "inventory", &mac])?;
        is_not_written(space, &site, &mut first, &own)?;
        ensure!(
            same_bytes(forger.disk(0), &own),
            "the forger's disk differs"
        );
        site.enforcer(&["machines", "resolve", &mac, "--keep", "enrolled"])?;
        ensure!(
            site.machine(&mac)?["disputed"].is_null(),
            "a person has decided"
        );
        // What was ordered meanwhile had only waited for that word.
        first.serial()?.expect("ENFORCER JOB 1 WRITTEN", PATIENCE)?;
        ensure!(!same_bytes(first.disk(0), &own), "it was written");
        Ok(())
    })
}
