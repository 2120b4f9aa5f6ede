//! Whatever happens to a test, nothing of its lab stays: no process, no namespace, no folder.

use anyhow::{Context, Result, bail, ensure};
use enforcer_tests::lab::peers::{ForeignDhcp, ReferencePlan};
use enforcer_tests::lab::{Machine, Space, story, wait_until};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// A lab with everything that could be left behind.
fn full_lab() -> Result<(Space, Machine, ForeignDhcp, impl Sized)> {
    let space = Space::new("cleanup")?;
    let foreign = ForeignDhcp::start(&space)?;
    let reference = ReferencePlan::new("#!ipxe\n").start(&space)?;
    let machine = space.machine(1).ram_mib(128).power_on()?;
    Ok((space, machine, foreign, reference))
}

/// The inode of a process's network namespace.
fn network_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/net")).ok()
}

/// How many processes are in one of these network namespaces.
fn residents(networks: &[PathBuf]) -> usize {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let networks_of =
        pids.filter_map(|entry| network_of(entry.file_name().to_str()?.parse().ok()?));
    networks_of
        .filter(|network| networks.contains(network))
        .count()
}

fn networks_of(space: &Space, foreign: &ForeignDhcp) -> Result<Vec<PathBuf>> {
    let pids = [space.home().namespace().pid(), foreign.host().pid()];
    pids.into_iter()
        .map(|pid| network_of(pid).context("a namespace just made"))
        .collect()
}

#[test]
fn a_dropped_lab_leaves_nothing() -> Result<()> {
    let (space, machine, foreign, reference) = full_lab()?;
    let networks = networks_of(&space, &foreign)?;
    let folder = space.folder().path().to_owned();
    // holders, QEMU, three dnsmasq and nginx: the count sees them
    ensure!(
        residents(&networks) >= 7,
        "only {} processes",
        residents(&networks)
    );
    drop((space, machine, foreign, reference));
    assert_eq!(residents(&networks), 0);
    assert!(!folder.exists());
    Ok(())
}

#[test]
fn a_panic_leaves_only_the_logs() -> Result<()> {
    let (space, machine, foreign, reference) = full_lab()?;
    let networks = networks_of(&space, &foreign)?;
    let folder = space.folder().path().to_owned();
    let story = move || {
        let _lab = (space, machine, foreign, reference);
        panic!("a story that fails");
    };
    assert!(catch_unwind(AssertUnwindSafe(story)).is_err());
    assert_eq!(residents(&networks), 0);
    assert!(
        folder.join("m1.1.serial").exists(),
        "the logs of a failure stay"
    );
    Ok(fs::remove_dir_all(folder)?)
}

#[test]
fn a_story_that_errs_keeps_its_logs_and_says_where() -> Result<()> {
    let mut folder = None;
    let told = story("errs", |space| {
        folder = Some(space.folder().path().to_owned());
        bail!("no luck")
    });
    let (text, folder) = (
        format!("{:#}", told.expect_err("it erred")),
        folder.context("set above")?,
    );
    assert!(
        text.contains("no luck") && text.contains(&folder.display().to_string()),
        "{text}"
    );
    Ok(fs::remove_dir_all(folder)?)
}

/// The test runs itself as a victim that prints its namespaces and waits; then nobody can tidy up but the kernel.
#[test]
fn a_killed_test_process_leaves_no_process() -> Result<()> {
    const VICTIM: &str = "ENFORCER_LAB_TEST_VICTIM";
    if env::var_os(VICTIM).is_some() {
        let (space, _machine, foreign, _reference) = full_lab()?;
        for network in networks_of(&space, &foreign)? {
            println!("network={}", network.display());
        }
        println!("folder={}", space.folder().path().display());
        thread::sleep(LIMIT);
        return Ok(());
    }
    let mut command = Command::new(env::current_exe()?);
    command
        .args([
            "--exact",
            "a_killed_test_process_leaves_no_process",
            "--nocapture",
        ])
        .env(VICTIM, "1");
    let mut victim = command.stdout(Stdio::piped()).spawn()?;
    let mut networks = Vec::new();
    let mut folder = None;
    for line in BufReader::new(victim.stdout.take().context("piped above")?).lines() {
        let line = line?;
        match line.split_once('=') {
            Some(("network", network)) => networks.push(PathBuf::from(network)),
            Some(("folder", path)) => folder = Some(PathBuf::from(path)),
            _ => continue,
        }
        if folder.is_some() {
            break;
        }
    }
    ensure!(
        networks.len() == 2 && residents(&networks) >= 7,
        "the victim's lab runs"
    );
    victim.kill()?;
    victim.wait()?;
    wait_until("the victim's processes to end", LIMIT, || {
        Ok((residents(&networks) == 0).then_some(()))
    })?;
    Ok(fs::remove_dir_all(
        folder.context("printed by the victim")?,
    )?)
}
