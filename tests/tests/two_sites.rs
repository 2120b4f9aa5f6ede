//! Two sites and a machine: what lives only at headquarters boots it in the branch, once; and when headquarters is dead the machine starts
//! its own disk, as quickly as ever.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{
    Controller, ControllerPlan, Disk, Firmware, Machine, Space, marker, story,
    tenant::{self, Tenant},
    wait_until,
};
use serde_json::Value;

/// The branch lends addresses: old iPXE then does not wait for a router.
const BRANCH: &str = "site = \"branch\"\n[dhcp]\nmode = \"server\"\n[[dhcp.subnet]]\nnetwork = \"10.77.0.0/24\"\npool = \"10.77.0.150-10.77.0.199\"\n";
const HEADQUARTERS: &str = "site = \"hq\"\ntftp = false\n[dhcp]\nmode = \"off\"\n";
const HQ_AT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
/// Kernel arguments: the tenant's line must be seen, and soon.
const CONSOLE: &str = "console=ttyS0,115200 loglevel=4 random.trust_cpu=on mitigations=off nokaslr";
/// Only a failing story waits so long.
const PATIENCE: Duration = Duration::from_secs(60);
/// From the question to the disk's own loader, with all peers dead.
const TO_THE_DISK: Duration = Duration::from_secs(5);

struct Sites {
    branch: Controller,
    hq: Controller,
    machine: Machine,
}

/// Two sites that know each other; headquarters' laptop stands in the branch, where nobody knows it.
fn open(space: &Space) -> Result<Sites> {
    let branch = ControllerPlan::new().config(BRANCH).start(space)?;
    let host = space.home().host("hq", HQ_AT)?;
    let plan = ControllerPlan::new()
        .name("hq")
        .config(HEADQUARTERS)
        .on(host);
    let hq = plan.start(space)?;
    let invited: Value = serde_json::from_str(&hq.cli(&["peers", "invite", "-o", "json"])?)?;
    let invitation = invited["invitation"].as_str().context("an invitation")?;
    branch.cli(&["peers", "join", invitation])?;
    hq.cli(&["peers", "allow", "branch", "--selector", "pool=laptops"])?;
    hq.cli(&["peers", "allow", "branch", "--shows", "pool=laptops"])?;
    branch.cli(&["peers", "allow", "hq", "--boots-unknown", "true"])?;
    let disk = space.folder().file("own.img");
    marker::write(&disk, "own")?;
    let plan = space.machine(1).firmware(Firmware::Bios).ram_mib(512);
    let machine = plan.disk(Disk::copy_of(&disk)).build()?;
    hq.cli(&["machines", "register", &machine.mac(), "--name", "laptop"])?;
    hq.cli(&["machines", "set", "laptop", "--label", "pool=laptops"])?;
    Ok(Sites {
        branch,
        hq,
        machine,
    })
}

impl Sites {
    /// Makes the tenant due at headquarters, and waits until the branch knows that there is something.
    fn arm(&self) -> Result<()> {
        self.hq
            .cli(&["boot-configs", "activate", "live", "laptop"])?;
        wait_until("the branch to be told of the machine", PATIENCE, || {
            let peers = self.branch.list("peers")?;
            Ok(peers.iter().any(|p| p["names"] == 1).then_some(()))
        })
    }

    fn set(&self) -> Result<()> {
        let (kernel, initrd) = Tenant::new("live").kernel_and_initrd()?;
        let kernel = format!("linux={}", kernel.display());
        let initrd = format!("initrd.img={}", initrd.display());
        let mut set = vec!["boot-configs", "set", "live", "--kernel", &kernel];
        set.extend([
            "--initrd",
            &initrd,
            "--evidence",
            "fetched",
            "--cmdline",
            CONSOLE,
        ]);
        self.hq.cli(&set).map(drop)
    }

    /// Where the newest activation at headquarters stands, and why.
    fn ended(&self) -> Result<Option<String>> {
        let all = self.hq.list("activations")?;
        let last = all.last().context("an activation")?;
        let reason = || last["reason"].as_str().unwrap_or_default().to_owned();
        Ok((last["stage"] == "confirmed").then(reason))
    }
}

#[test]
fn a_config_of_headquarters_boots_a_machine_of_the_branch_once_and_its_death_costs_the_machine_little()
-> Result<()> {
    story("two-sites", |space| {
        let mut sites = open(space)?;
        sites.set()?;
        sites.arm()?;
        let listed = sites.branch.cli(&["machines", "list", "--site", "hq"])?;
        ensure!(
            listed.contains("laptop") && listed.contains("live"),
            "{listed}"
        );
        sites.machine.power_on()?;
        let booted = sites.machine.expect(tenant::line("live", Firmware::Bios))?;
        eprintln!(
            "the other site's system: {:.1} s after power-on",
            booted.at.as_secs_f32()
        );
        let why = wait_until("headquarters to hear that it is spent", PATIENCE, || {
            sites.ended()
        })?;
        ensure!(why == "branch: all its files were fetched", "{why}");
        sites.machine.cut();
        dead(&mut sites)
    })
}

/// Headquarters has something again, and dies before it can grant it.
fn dead(sites: &mut Sites) -> Result<()> {
    sites.arm()?;
    sites.machine.power_on()?;
    sites.hq.kill9();
    sites
        .machine
        .serial()?
        .forbid(tenant::line("live", Firmware::Bios));
    let asks = sites.machine.expect("Enforcer: asking")?;
    let disk = sites.machine.expect(marker::line("own", Firmware::Bios))?;
    let took = disk.at.saturating_sub(asks.at);
    eprintln!(
        "headquarters dead: own disk {:.1} s after the machine asked",
        took.as_secs_f32()
    );
    ensure!(took <= TO_THE_DISK, "{took:?} to the disk");
    let told = sites.branch.cli(&["explain", &sites.machine.mac()])?;
    let names_it =
        told.contains("hq: there is no link with it now") || told.contains("hq: did not answer");
    ensure!(names_it, "{told}");
    Ok(())
}
