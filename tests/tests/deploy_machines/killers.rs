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
use serde_json::Value;

use crate::acts::{deploy, holds, online, push, shown, wait};

/// The image in transit takes a quarter of a minute over such a line.
const SLOW_KBIT: u32 = 6_000;
/// So many bytes of it, of some 13 MiB, came over the wire when the blow falls.
const HALF_WAY: u64 = 5 << 20;
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
        let site = Site::open(space, DISCOVER, Flavour::Virtio)?;
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
        wait(&scene.site, deployment, "to be half written", is_half_way)?;
        Ok(scene)
    }

    /// The blow fell in time. From here on the line is quick.
    fn is_in_work(&mut self) -> Result<()> {
        let now = shown(&self.site, self.deployment)?;
        ensure!(now["state"] == "writing", "it was too late: {now:#}");
        self.slow = None;
        Ok(())
    }

    /// The new system speaks, and its disk is the image.
    fn ends_well(&mut self) -> Result<Value> {
        self.machine.expect("ENFORCER JOB 1 WRITTEN")?;
        let line = guest::line_on("server", Firmware::Bios, 1);
        self.machine.expect(line)?;
        let end = online(&self.site, self.deployment)?;
        holds(self.machine.disk(0), &self.image)?;
        Ok(end)
    }
}

fn is_half_way(shown: &Value) -> bool {
    let came = shown["progress"]["wire_bytes"].as_u64();
    shown["state"] == "writing" && came.is_some_and(|came| came >= HALF_WAY)
}

#[test]
fn a_controller_that_is_killed_costs_a_job_its_time_and_nothing_else() -> Result<()> {
    story("killed-controller", |space| {
        let foreign = ForeignDhcp::start(space)?;
        let mut scene = Scene::half_way(space, &foreign)?;
        scene.site.controller.kill9();
        scene.site.controller.restart()?;
        scene.is_in_work()?;
        scene.ends_well()?;
        let said = scene.machine.serial()?.text();
        let begun = said.matches("ENFORCER JOB 1 BEGINS").count();
        ensure!(begun == 1, "the agent goes on where it was: {said}");
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
        let end = scene.ends_well()?;
        let kept = end["written"]["kept_bytes"].as_u64();
        ensure!(kept.is_some_and(|kept| kept > 0), "begun anew: {end:#}");
        Ok(())
    })
}
