//! What a peer that is slow, one that asks in a circle, and one that lies cost a machine: little, and `explain` says why.

use std::{fs, net::Ipv4Addr, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use enforcer_tests::lab::{
    Controller, Firmware, Machine, Service, Space, built, machine_mac, peers::Delay, story, tenant,
    wait_until,
};

use crate::sites::{self, HQ_AT, PATIENCE, is_told, starts_its_disk};

const DEPOT_AT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 51);
/// On the slow cable a question and its answer take between one and two of these: always more than the 1.5 s that the branch waits.
const INTERVAL: Duration = Duration::from_secs(2);

struct Sites {
    branch: Controller,
    hq: Controller,
    machine: Machine,
}

/// Headquarters has a config for its laptop, which stands in the branch.
fn open(space: &Space) -> Result<Sites> {
    let (branch, hq) = (sites::branch(space)?, sites::site(space, "hq", HQ_AT)?);
    sites::introduce(&hq, &branch)?;
    hq.cli(&["peers", "allow", "branch", "--selector", "pool=laptops"])?;
    branch.cli(&["peers", "allow", "hq", "--boots-unknown", "true"])?;
    let machine = sites::machine(space)?;
    sites::owns(&hq, &machine.mac(), "laptop")?;
    set(space, &hq, "live", "quiet")?;
    hq.cli(&["boot-configs", "activate", "live", "laptop"])?;
    is_told(&branch, 1)?;
    Ok(Sites {
        branch,
        hq,
        machine,
    })
}

/// A config whose kernel no machine gets.
fn set(space: &Space, at: &Controller, config: &str, cmdline: &str) -> Result<()> {
    let kernel = space.folder().file("kernel");
    fs::write(&kernel, "no kernel")?;
    let kernel = format!("linux={}", kernel.display());
    let words = ["boot-configs", "set", config, "--kernel", &kernel];
    let more = ["--evidence", "fetched", "--cmdline", cmdline];
    at.cli(&[&words[..], &more[..]].concat()).map(drop)
}

#[test]
fn with_headquarters_slow_in_a_circle_or_lying_the_machine_starts_its_disk_and_explain_says_why()
-> Result<()> {
    story("bad-peers", |space| {
        let mut sites = open(space)?;
        slow(space, &mut sites)?;
        circle(space, &mut sites)?;
        lies(space, &mut sites)
    })
}

impl Sites {
    /// Waits until `explain` says all this: an event may be a second old before it is written down.
    fn explains(&self, mac: &str, why: &[&str]) -> Result<()> {
        let mut told = String::new();
        let all = wait_until("`explain` to say why", PATIENCE, || {
            told = self.branch.cli(&["explain", mac])?;
            Ok(why.iter().all(|w| told.contains(w)).then_some(()))
        });
        all.with_context(|| format!("not all of {why:?} in {told}"))
    }

    /// Boots: to the disk, and `explain` says all this.
    fn boots(&mut self, what: &str, why: &[&str]) -> Result<()> {
        self.machine.power_cycle()?;
        let serial = self.machine.serial()?;
        serial.forbid(tenant::line("live", Firmware::Bios));
        serial.forbid("evil");
        starts_its_disk(what, &mut self.machine)?;
        self.machine.cut();
        self.explains(&self.machine.mac(), why)
            .context(what.to_owned())
    }
}

/// The cable to headquarters is long: what it offers comes too late, and is still its own.
fn slow(space: &Space, sites: &mut Sites) -> Result<()> {
    let host = Arc::clone(sites.hq.host());
    space.home().acquaint(&[(host, HQ_AT)])?;
    let long = Delay::host(space.home(), "hq", INTERVAL)?;
    let why = "hq: did not answer within 1500 ms";
    sites.boots("headquarters slow", &[why])?;
    let all = sites.hq.list("activations")?;
    let last = all.last().context("an activation")?;
    ensure!(
        last["stage"] == "armed" && last["granted_to"].is_null(),
        "{last}"
    );
    drop(long);
    // Nothing else was wrong with it.
    sites.explains(&sites.machine.mac(), &["hq: offers live"])
}

/// Three sites each have a config for the machine that lacks its facts, so each asks the others what they have.
fn circle(space: &Space, sites: &mut Sites) -> Result<()> {
    sites.hq.cli(&["boot-configs", "deactivate", "laptop"])?;
    let mac = sites.machine.mac();
    let mut depot = sites::site(space, "depot", DEPOT_AT)?;
    sites::introduce(&sites.hq, &depot)?;
    sites::introduce(&sites.branch, &depot)?;
    sites::owns(&sites.branch, &mac, "laptop")?;
    sites::owns(&depot, &mac, "laptop")?;
    let all = [
        ("branch", &sites.branch),
        ("hq", &sites.hq),
        ("depot", &depot),
    ];
    for (own, site) in all {
        for (other, _) in all.iter().filter(|(name, _)| *name != own) {
            let allow = ["peers", "allow", other, "--selector", "pool=laptops"];
            site.cli(&[&allow[..], &["--boots", "pool=laptops"]].concat())?;
        }
        set(space, site, "stuck", "x={{ machine.facts.memory.bytes }}")?;
        site.cli(&["boot-configs", "activate", "stuck", "laptop"])?;
    }
    for (_, site) in all {
        is_told(site, 2)?;
    }
    let before = [
        answers(&sites.branch)?,
        answers(&sites.hq)?,
        answers(&depot)?,
    ];
    let nothing = |site: &str| format!("{site}: nothing that crosses sites is due for it");
    let (hq, depots) = (nothing("hq"), nothing("depot"));
    let lacks = "stuck is due, but its template needs the machine's facts";
    // `explain` asks once more, as the machine did.
    sites.boots("sites in a circle", &[&hq, &depots, lacks])?;
    let after = [
        answers(&sites.branch)?,
        answers(&sites.hq)?,
        answers(&depot)?,
    ];
    let asked: Vec<u64> = (0..3).map(|n| after[n] - before[n]).collect();
    // The others once by the branch and once by each other, both times; the branch, where the question began, never.
    ensure!(asked == [0, 4, 4], "{asked:?} questions were answered");
    sites
        .branch
        .cli(&["boot-configs", "deactivate", "laptop"])?;
    depot.stop()
}

/// How many questions of other sites this one has answered.
fn answers(site: &Controller) -> Result<u64> {
    let (_, metrics) = site.api("GET", "/metrics", "")?;
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("enforcer_peer_answered_total"))
        .map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<u64>());
    Ok(counts.sum::<Result<u64, _>>()?)
}

/// Somebody has the keys of headquarters, and lies with them.
fn lies(space: &Space, sites: &mut Sites) -> Result<()> {
    let mac = sites.machine.mac();
    sites.hq.stop()?;
    let told = [
        ("script", &mac),
        ("disk", &machine_mac(2)),
        ("answer", &machine_mac(3)),
        ("loop", &machine_mac(4)),
    ];
    sites::owns(&sites.branch, &machine_mac(4), "spare")?;
    let mut liar = liar(space, sites, &told)?;
    for (n, why) in [
        (
            2,
            "its config writes to a disk, and nobody registered this machine here",
        ),
        (3, "hq: its answer makes no sense"),
        (4, "hq: it asked back"),
    ] {
        let mac = machine_mac(n);
        let path = format!("/boot/{}?session=s&platform=pcbios", mac.replace(':', "-"));
        let script = space.http_get(&format!("http://{}:4880{path}", Space::CONTROLLER))?;
        ensure!(!script.contains("kernel "), "{why}: {script}");
        sites.explains(&mac, &[why])?;
    }
    let back = "asked back 10 times, and heard: nothing that crosses sites is due for it; nothing";
    liar.wait_log(back, PATIENCE)?;
    let why = [
        "hq: offers live",
        "its grant is not taken: its command line",
    ];
    sites.boots("headquarters lies about commands", &why)?;
    drop(liar);

    let mut liar = self::liar(space, sites, &[("bytes", &mac)])?;
    let why = "hq sent other bytes for vmlinuz than it granted";
    sites.boots("headquarters lies about a kernel", &["granted by hq", why])?;
    liar.wait_log("asked for the kernel", PATIENCE)
}

/// Starts one that tells these lies, and waits until the branch believes that it has something.
fn liar(space: &Space, sites: &Sites, lies: &[(&str, &String)]) -> Result<Service> {
    let program = built("lab-liar").context("lab-liar is not built: `cargo build --workspace`")?;
    let mut command = sites.hq.host().command(program);
    command.arg(sites.hq.state()).arg("hq");
    command.args(["0.0.0.0:4848", "branch"]);
    command.arg(sites.branch.state().join("ca/ca.crt"));
    command.arg(format!("{}:4848", Space::CONTROLLER));
    command.args(lies.iter().map(|(lie, mac)| format!("{lie}={mac}")));
    let log = space.folder().file("liar.log");
    let mut liar = Service::start("the liar", command, &log)?;
    liar.wait_log(&format!("named {} machines", lies.len()), PATIENCE)?;
    Ok(liar)
}
