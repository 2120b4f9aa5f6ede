//! From an empty disk to "your image is online"; then another image with the first one saved, and the saved one on another machine.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    fixture::Flavour,
    guest::{self, PHONED_HOME},
    lab::{
        Bus, Disk, Firmware, Machine, Space,
        peers::{ForeignDhcp, Receiver},
        re, story, wait_until,
    },
    site::{DISCOVER, Site},
};

use crate::{
    acts::{LIMIT, both, deploy, holds, online, press_reset, prove, push, wait},
    ext4,
};

/// Larger than the images, so that there is room for what a system is told.
const DISK_MIB: u64 = 64;

#[test]
fn an_image_is_written_speaks_and_is_told_of_once_and_a_saved_disk_boots_elsewhere() -> Result<()> {
    story("deployed", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let receiver = Receiver::start(space, 1)?;
        let people = People::at(space, Site::open(space, DISCOVER, Flavour::Generic)?)?;
        let site = &people.site;
        let plain = guest::calls_home("golden-1").image()?;
        let first = ext4::added(space, &plain, "golden-1.img")?;
        let second = guest::calls_home("golden-2").image()?;
        push(site, &first, "golden")?;
        push(site, &second, "other")?;
        site.enforcer(&["webhooks", "create", "told", "--url", &receiver.url()])?;
        let disk = Disk::blank(DISK_MIB);
        let mut bios = Computer::on(space, 1, Firmware::Bios, disk.clone())?;
        let mut uefi = Computer::on(space, 2, Firmware::Uefi, disk.bus(Bus::Nvme))?;

        let (one, two) = both(
            || people.give_first(&mut bios, &first),
            || people.give_first(&mut uefi, &first),
        )?;
        told_once(&receiver, &[one, two])?;

        let three = people.deploy(&bios, "other", &["--save-current", "before"])?;
        let (untouched, four) = both(
            || {
                people.press_reset(&mut bios, "golden-2", three)?;
                Ok(fs::read(bios.machine.disk(0))?)
            },
            || {
                wait(site, three, "to save the disk", |d| {
                    !d["captured"].is_null()
                })?;
                let four = people.deploy(&uefi, "before", &[])?;
                people.press_reset(&mut uefi, "golden-1", four)?;
                Ok(four)
            },
        )?;
        ext4::came_without_what_was_deleted(uefi.machine.disk(0), fs::metadata(&plain)?.len())?;
        holds(bios.machine.disk(0), &second)?;
        ensure!(
            fs::read(bios.machine.disk(0))? == untouched,
            "the disk that was saved has changed"
        );
        told_once(&receiver, &[one, two, three, four])
    })
}

/// A machine that is on.
struct Computer {
    id: u8,
    firmware: Firmware,
    machine: Machine,
}

impl Computer {
    fn on(space: &Space, id: u8, firmware: Firmware, disk: Disk) -> Result<Self> {
        let plan = space.machine(id).firmware(firmware).disk(disk);
        let machine = plan.power_on()?;
        Ok(Self {
            id,
            firmware,
            machine,
        })
    }

    /// Waits until the system `name` was written and runs here, as this machine.
    fn runs(&mut self, name: &str) -> Result<()> {
        let written = re(r"ENFORCER JOB \d+ WRITTEN");
        self.machine.serial()?.expect(written, LIMIT)?;
        self.machine
            .expect(guest::line_on(name, self.firmware, self.id))?;
        self.machine.expect(PHONED_HOME).map(drop)
    }
}

/// Who deploys here, and what they give to the systems.
struct People {
    site: Site,
    user_data: String,
}

impl People {
    fn at(space: &Space, site: Site) -> Result<Self> {
        let file = space.folder().file("user-data");
        fs::write(&file, "#cloud-config\n{}\n")?;
        let user_data = file.to_str().context("a path")?.to_owned();
        Ok(Self { site, user_data })
    }

    fn deploy(&self, computer: &Computer, image: &str, more: &[&str]) -> Result<u64> {
        let options = [&["--user-data", &self.user_data], more].concat();
        deploy(&self.site, &computer.machine.mac(), image, &options)
    }

    /// From the first look at an unknown machine to its system's word.
    fn give_first(&self, computer: &mut Computer, image: &Path) -> Result<u64> {
        prove(&self.site, &mut computer.machine)?;
        let id = self.deploy(computer, "golden", &[])?;
        computer.runs("golden-1")?;
        online(&self.site, id)?;
        holds(computer.machine.disk(0), image)?;
        Ok(id)
    }

    /// From a running system without an agent to the next one's word.
    fn press_reset(&self, computer: &mut Computer, next: &str, deployment: u64) -> Result<()> {
        press_reset(&self.site, &mut computer.machine, deployment)?;
        computer.runs(next)?;
        online(&self.site, deployment).map(drop)
    }
}

/// At least once, by one id for each: the receiver's first answer was lost, so that message came again.
fn told_once(receiver: &Receiver, deployments: &[u64]) -> Result<()> {
    let enough = deployments.len() + 1;
    wait_until("the receiver to be told again", LIMIT, || {
        Ok((receiver.received()?.len() >= enough).then_some(()))
    })?;
    let received = receiver.received()?;
    let ids: BTreeSet<_> = received.iter().map(|post| &post.id).collect();
    let told: BTreeSet<_> = received
        .iter()
        .map(|post| (post.body["type"].as_str(), deployment_of(post)))
        .collect();
    let wanted = deployments
        .iter()
        .map(|id| (Some("deployment.online"), id.to_string()));
    ensure!(
        told == wanted.collect() && ids.len() == deployments.len(),
        "one id for each of {deployments:?}: {received:#?}"
    );
    Ok(())
}

fn deployment_of(post: &enforcer_tests::lab::peers::Received) -> String {
    let of = &post.body["data"]["fields"]["deployment"];
    of.as_str().unwrap_or_default().to_owned()
}
