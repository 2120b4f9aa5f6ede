//! Two sites and a machine: what lives only at headquarters boots it in the branch, once; and when headquarters is dead, slow, lies or asks
//! in circles, the machine starts its own disk, as quickly as ever.

mod bad_peers;
mod sites;

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{
    Controller, Firmware, Machine, Space, story,
    tenant::{self, Tenant},
    wait_until,
};
use sites::{HQ_AT, PATIENCE};

/// Kernel arguments: the tenant's line must be seen, and soon.
const CONSOLE: &str = "console=ttyS0,115200 loglevel=4 random.trust_cpu=on mitigations=off nokaslr";

struct Sites {
    branch: Controller,
    hq: Controller,
    machine: Machine,
}

/// Two sites that know each other; headquarters' laptop stands in the branch, where nobody knows it.
fn open(space: &Space) -> Result<Sites> {
    let (branch, hq) = (sites::branch(space)?, sites::site(space, "hq", HQ_AT)?);
    sites::introduce(&hq, &branch)?;
    hq.cli(&["peers", "allow", "branch", "--selector", "pool=laptops"])?;
    hq.cli(&["peers", "allow", "branch", "--shows", "pool=laptops"])?;
    branch.cli(&["peers", "allow", "hq", "--boots-unknown", "true"])?;
    let machine = sites::machine(space)?;
    sites::owns(&hq, &machine.mac(), "laptop")?;
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
        sites::is_told(&self.branch, 1)
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
    sites::starts_its_disk("headquarters dead", &mut sites.machine)?;
    let told = sites.branch.cli(&["explain", &sites.machine.mac()])?;
    let names_it =
        told.contains("hq: there is no link with it now") || told.contains("hq: did not answer");
    ensure!(names_it, "{told}");
    Ok(())
}
