//! What must not happen: a disk is written before its machine is accepted; a system that does not come up counts as online.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use enforcer_tests::{
    fixture::Flavour,
    lab::{
        Disk, Firmware, Machine,
        peers::ForeignDhcp,
        re, same_bytes, story,
        tenant::{self, Tenant, Then},
    },
    site::{DISCOVER, READY_LIMIT, Site},
};

use crate::acts::{deploy, over, own_disk, push};

/// An idle agent asks for a job every half a minute.
const ASKED: Duration = Duration::from_secs(90);
/// The shortest time that a new system can be given, twice in all: it panics long before.
const WITHIN: [&str; 2] = ["--online-within", "10s"];

/// The agent asked for its job, was told this, and did nothing.
fn is_told(machine: &mut Machine, hold: &str, untouched: &Path) -> Result<()> {
    machine.serial()?.expect(hold, ASKED)?;
    let disk = machine.disk(0);
    ensure!(same_bytes(disk, untouched), "{hold}, and the disk differs");
    Ok(())
}

#[test]
fn no_disk_is_written_before_its_machine_is_accepted_and_a_panic_is_not_online() -> Result<()> {
    story("refused", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let site = Site::open(space, DISCOVER, Flavour::Virtio)?;
        let sick = Tenant::new("sick").then(Then::Panic).image()?;
        push(&site, &sick, "sick")?;
        let own = &own_disk(space)?;
        let plan = space.machine(1).firmware(Firmware::Bios);
        let mut machine = plan.disk(Disk::copy_of(own)).power_on()?;
        let mac = machine.mac();
        machine
            .serial()?
            .expect(re("ENFORCER READY"), READY_LIMIT)?;
        let shown = machine.expect(re(r"ENFORCER CODE (\d{4}-\d{4})"))?;
        site.wait_alive(&mac)?;

        // Seen, then registered by a person while it is up; each with a deployment that waits, and an agent that asks for it.
        let id = deploy(&site, &mac, "sick", &WITHIN)?;
        is_told(&mut machine, "the machine is only seen", own)?;
        site.enforcer(&["machines", "register", &mac])?;
        is_told(&mut machine, "until the machine is accepted", own)?;
        site.enforcer(&["machines", "accept", &mac, "--code", &shown.groups[0]])?;

        // Accepted it is written, starts, and panics.
        let serial = machine.serial()?;
        serial.expect("ENFORCER JOB 1 BEGINS", ASKED)?;
        serial.expect("ENFORCER JOB 1 WRITTEN", ASKED)?;
        machine.expect(tenant::line("sick", Firmware::Bios))?;
        machine.expect("Kernel panic")?;
        let end = over(&site, id)?;
        let reason = end["reason"].as_str().unwrap_or_default();
        ensure!(
            end["state"] == "failed" && reason.contains("did not speak within 10 s, 2 starts"),
            "{end:#}"
        );
        let states = end["history"].as_array().into_iter().flatten();
        let mut states = states.map(|moment| &moment["state"]);
        ensure!(!states.any(|state| state == "online"), "{end:#}");
        Ok(())
    })
}
