//! A written system that starts without the firmware, watched by the machine's watchdog; without a watchdog it restarts and says so.

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    fixture::Flavour,
    guest,
    lab::{Disk, Firmware, Machine, Space, peers::ForeignDhcp, story, tenant::Tenant},
    site::{DISCOVER, Site},
};
use serde_json::Value;

use crate::acts::{LIMIT, both, deploy, online, over, prove, push};

/// What SeaBIOS says first on the serial line.
const FIRMWARE: &str = "SeaBIOS";
const MIB: u64 = 64;

#[test]
fn a_written_kernel_starts_without_the_firmware_when_a_watchdog_watches_it() -> Result<()> {
    story("kexec", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        // The cloud kernel has no drivers of watchdogs.
        let site = Site::open(space, &without_the_chipsets_own(), Flavour::Generic)?;
        push(&site, &Tenant::new("swift").image()?, "swift")?;
        push(&site, &guest::joins("joiner")?.image()?, "joiner")?;

        let watched = ["-device", "i6300esb"];
        let mut machine = on(space, Firmware::Bios, 1, &watched)?;
        let end = written(&site, &mut machine, "starting the written kernel")?;
        let seen = since(&mut machine, "ENFORCER JOB")?;
        ensure!(!seen.contains(FIRMWARE), "the firmware was there: {seen}");
        ensure!(seen.contains("watchdog0 resets the machine"), "{seen}");
        ensure!(states(&end) == ["written", "handed-over"], "{end:#}");

        both(
            || unwatched(space, &site),
            || joins_by_itself(space, &site, &watched),
        )
        .map(drop)
    })
}

/// Without a watchdog the machine restarts, and its deployment says why.
fn unwatched(space: &Space, site: &Site) -> Result<()> {
    let mut machine = on(space, Firmware::Bios, 2, &[])?;
    let end = written(site, &mut machine, "no hardware watchdog")?;
    ensure!(
        since(&mut machine, "ENFORCER JOB")?.contains(FIRMWARE),
        "nobody asked the firmware"
    );
    ensure!(
        states(&end) == ["written", "rebooting", "handed-over"],
        "{end:#}"
    );
    Ok(())
}

/// With UEFI, and an agent in the image: by the token that its deployment wrote beside the image it is a member, and that is
/// the evidence. The image's table has no names of partitions, and no udev runs in it.
fn joins_by_itself(space: &Space, site: &Site, watched: &[&str]) -> Result<()> {
    let mut machine = on(space, Firmware::Uefi, 3, watched)?;
    let mac = machine.mac();
    prove(site, &mut machine)?;
    let id = deploy(site, &mac, "joiner", &["--join", "--after", "kexec"])?;
    machine
        .serial()?
        .expect("starting the written kernel", LIMIT)?;
    machine.expect(guest::line_on("joiner", Firmware::Uefi, 3))?;
    let end = online(site, id)?;
    ensure!(
        states(&end) == ["written", "handed-over", "online"],
        "{end:#}"
    );
    ensure!(site.member(&mac)?.as_deref() == Some("alive"), "a member");
    let records = site.records(&mac)?;
    ensure!(records.len() == 1, "one machine, not {records:#?}");
    let tokens = site.json(&["join-tokens", "list"])?;
    ensure!(tokens[0]["used_by"].is_string(), "spent: {tokens:#}");
    Ok(())
}

/// The emulated chipset has a watchdog, which no strap of the emulator takes away: its driver stays out.
fn without_the_chipsets_own() -> String {
    DISCOVER.replace("cmdline = \"", "cmdline = \"module_blacklist=iTCO_wdt ")
}

fn on(space: &Space, firmware: Firmware, id: u8, extra: &[&str]) -> Result<Machine> {
    let plan = space.machine(id).firmware(firmware).extra(extra);
    plan.disk(Disk::blank(MIB)).power_on()
}

/// From the first look at it to its new system; `word` is on its screen in between.
fn written(site: &Site, machine: &mut Machine, word: &str) -> Result<Value> {
    prove(site, machine)?;
    let id = deploy(site, &machine.mac(), "swift", &["--after", "kexec"])?;
    let serial = machine.serial()?;
    serial.expect("ENFORCER JOB", LIMIT)?;
    serial.expect(word, LIMIT)?;
    let line = guest::line_on("swift", Firmware::Bios, machine.id());
    machine.expect(line)?;
    over(site, id)
}

/// What the serial line had after these words.
fn since(machine: &mut Machine, words: &str) -> Result<String> {
    let text = machine.serial()?.text();
    let (_, since) = text.split_once(words).context("its words")?;
    Ok(since.to_owned())
}

/// What became of it after the writing.
fn states(end: &Value) -> Vec<&str> {
    let history = end["history"].as_array().into_iter().flatten();
    let states = history.filter_map(|moment| moment["state"].as_str());
    states.skip_while(|state| *state != "written").collect()
}
