//! Whoever dies while a disk is written: the job is done all the same, and the disk is as it would have been.

use std::{fs, path::PathBuf};

use anyhow::{Result, ensure};
use enforcer_tests::{
    fixture::Flavour,
    guest,
    lab::{
        Disk, Firmware, Machine, Space,
        peers::{ForeignDhcp, Throttle},
        re, story,
    },
    site::{DISCOVER, READY_LIMIT, Site},
};
use serde_json::{Value, json};

use crate::acts::{LIMIT, deploy, holds, online, push, shown, wait};

/// The image in transit takes a quarter of a minute over such a line.
const SLOW_KBIT: u32 = 6_000;
/// So many bytes of it, of some 13 MiB, came over the wire when the blow falls.
const HALF_WAY: u64 = 5 << 20;
/// And so many more show that it went on.
const ONE_MORE: u64 = 1 << 20;
/// The kernel of the management OS obeys the keys that Debian leaves out, such as the one of [`Scene::kill_agent`].
const ALL_KEYS: &str = "cmdline = \"sysrq_always_enabled ";
/// Bytes that are on the disk then at least, when all lanes have a chunk in hand.
const WRITTEN: usize = 2 << 20;

/// A machine that is being written to, over a slow line.
struct Scene<'a> {
    site: Site,
    machine: Machine,
    image: PathBuf,
    deployment: u64,
    slow: Option<Throttle>,
    _foreign: &'a ForeignDhcp,
}

impl<'a> Scene<'a> {
    /// Registered and given a job before it is switched on for the first time, it needs nobody.
    fn half_way(space: &Space, foreign: &'a ForeignDhcp) -> Result<Self> {
        let config = DISCOVER.replace("cmdline = \"", ALL_KEYS);
        let site = Site::open(space, &config, Flavour::Virtio)?;
        let image = guest::listens("server").image()?;
        push(&site, &image, "server")?;
        let plan = space.machine(1).firmware(Firmware::Bios);
        let mut machine = plan.disk(Disk::blank(64)).build()?;
        site.enforcer(&["machines", "register", &machine.mac()])?;
        let options = ["--probe", "tcp:80"];
        let deployment = deploy(&site, &machine.mac(), "server", &options)?;
        machine.power_on()?;
        machine
            .serial()?
            .expect(re("ENFORCER READY"), READY_LIMIT)?;
        let slow = Throttle::machine(space.home(), 1, SLOW_KBIT)?;
        let scene = Self {
            site,
            machine,
            image,
            deployment,
            slow: Some(slow),
            _foreign: foreign,
        };
        scene.waits_for(HALF_WAY)?;
        Ok(scene)
    }

    /// So many bytes came over the wire to this agent.
    fn waits_for(&self, wire_bytes: u64) -> Result<()> {
        let came = |shown: &Value| {
            let came = shown["progress"]["wire_bytes"].as_u64();
            shown["state"] == "writing" && came.is_some_and(|came| came >= wire_bytes)
        };
        wait(&self.site, self.deployment, "to be half written", came).map(drop)
    }

    /// The blow fell in time.
    fn is_in_work(&self) -> Result<()> {
        let now = shown(&self.site, self.deployment)?;
        ensure!(now["state"] == "writing", "it was too late: {now:#}");
        Ok(())
    }

    /// SIGKILL, from the kernel: the key that has it kill the largest program, as it does when memory runs out.
    fn kill_agent(&mut self) -> Result<()> {
        let serial_line = json!({ "id": "ser" });
        self.machine.qmp("chardev-send-break", &serial_line)?;
        self.machine.type_text("f")?;
        let killed = re(r"Killed process \d+ \(enforcer-agent\)");
        self.machine.serial()?.expect(killed, LIMIT).map(drop)
    }

    /// How often an agent began with the job since the machine was switched on.
    fn beginnings(&mut self) -> Result<usize> {
        let said = self.machine.serial()?.text();
        Ok(said.matches("ENFORCER JOB 1 BEGINS").count())
    }

    /// From here on the line is quick. The new system speaks, and its disk is the image.
    fn ends_well(&mut self) -> Result<Value> {
        self.slow = None;
        self.machine.expect("ENFORCER JOB 1 WRITTEN")?;
        let line = guest::line_on("server", Firmware::Bios, 1);
        self.machine.expect(line)?;
        let end = online(&self.site, self.deployment)?;
        holds(self.machine.disk(0), &self.image)?;
        Ok(end)
    }
}

/// What an agent did not write itself it found on the disk.
fn went_on(end: &Value) -> Result<()> {
    let kept = end["written"]["kept_bytes"].as_u64();
    ensure!(kept.is_some_and(|kept| kept > 0), "begun anew: {end:#}");
    Ok(())
}

#[test]
fn a_controller_and_an_agent_that_are_killed_cost_a_job_its_time_and_nothing_else() -> Result<()> {
    story("killed", |space| {
        let foreign = ForeignDhcp::start(space)?;
        let mut scene = Scene::half_way(space, &foreign)?;
        scene.site.controller.kill9();
        scene.site.controller.restart()?;
        scene.is_in_work()?;
        scene.waits_for(HALF_WAY + ONE_MORE)?;
        let begun = scene.beginnings()?;
        ensure!(
            begun == 1,
            "the agent goes on where it was, not {begun} times"
        );

        scene.kill_agent()?;
        scene.is_in_work()?;
        scene.machine.expect("ENFORCER JOB 1 BEGINS")?;
        went_on(&scene.ends_well()?)?;
        let known = scene.site.machine(&scene.machine.mac())?;
        ensure!(known["pending"] == json!([]), "a second key: {known:#}");
        Ok(())
    })
}

#[test]
fn a_machine_that_loses_power_boots_no_half_image_and_goes_on() -> Result<()> {
    story("power-cut", |space| {
        let foreign = ForeignDhcp::start(space)?;
        let mut scene = Scene::half_way(space, &foreign)?;
        scene.machine.cut();
        scene.is_in_work()?;
        let half = fs::read(scene.machine.disk(0))?;
        let written = half.iter().filter(|byte| **byte != 0).count();
        ensure!(written > WRITTEN, "{written} bytes are written");
        ensure!(half[510..512] != [0x55, 0xAA], "firmware would take it");
        scene.machine.power_on()?;
        scene.machine.expect("ENFORCER JOB 1 BEGINS")?;
        went_on(&scene.ends_well()?)
    })
}
