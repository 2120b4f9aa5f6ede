//! Who is who: a person compares the code on the screen, and another machine with this one's address gets nothing while it lives.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    fixture::Flavour,
    lab::{AgentPlan, Firmware, Space, peers::ForeignDhcp, re, story},
};

use crate::site::{DISCOVER, READY_LIMIT, Site};

/// Only a failing story waits longer for a refusal, in seconds.
const PATIENCE_S: &str = "20";

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

/// Another machine with this one's card's address asks for a key; what it is told.
fn forger(space: &Space, mac: &str) -> Result<String> {
    let address = Ipv4Addr::new(10, 77, 0, 66);
    let host = space.home().host("forger", address)?;
    let plan = AgentPlan::new(host.clone(), address, space.folder().path(), 66)?;
    plan.board.forge(mac)?;
    let agent = plan.command("join")?;
    let mut join = host.command("timeout");
    // The same words, bounded: an agent that waits for a person would wait for ever.
    join.arg(PATIENCE_S)
        .arg(agent.get_program())
        .args(agent.get_args());
    join.args(["--controller", &Space::CONTROLLER.to_string()]);
    let said = join.output()?;
    ensure!(!said.status.success(), "a forger joined");
    let text = [said.stdout, said.stderr].concat();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_code_on_the_screen_is_the_controllers_and_a_forger_of_the_address_is_refused() -> Result<()>
{
    story("identity", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let site = Site::open(space, DISCOVER, Flavour::Virtio)?;
        let mut first = space.machine(1).firmware(Firmware::Bios).power_on()?;
        let mac = first.mac();
        first.serial()?.expect(re("ENFORCER READY"), READY_LIMIT)?;
        let shown = first.expect(re(r"ENFORCER CODE (\d{4}-\d{4})"))?;
        let code = shown.groups.first().cloned().context("a code")?;
        site.wait_alive(&mac)?;
        let known = site.machine(&mac)?;
        ensure!(known["code"] == *code, "the screen says {code}: {known:#}");
        ensure!(known["disputed"].is_null(), "disputed: {known:#}");
        accept_by_code(&site, &mac, &code)?;

        let told = forger(space, &mac)?;
        ensure!(told.contains("refused"), "the forger is told: {told}");
        site.wait_event(&mac, "machine.disputed")?;
        let known = site.machine(&mac)?;
        ensure!(known["disputed"].is_string(), "{known:#}");
        ensure!(
            site.records(&mac)?.len() == 1,
            "one record: {:#?}",
            site.records(&mac)?
        );
        ensure!(
            site.member(&mac)?.as_deref() == Some("alive"),
            "the first keeps its link"
        );
        // Its link still carries orders.
        site.enforcer(&["machines", "inventory", &mac])?;
        site.enforcer(&["machines", "resolve", &mac, "--keep", "enrolled"])?;
        ensure!(
            site.machine(&mac)?["disputed"].is_null(),
            "a person has decided"
        );
        Ok(())
    })
}
