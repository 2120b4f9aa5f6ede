//! The same room while the controller is killed: standing configs and what is lent come from a helper, everything else is the machine's
//! own disk, for a day, and nothing is served twice.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    lab::{Asks, ControllerPlan, peers::Cut, story, wait_until},
    site::{PATIENCE, Site},
};

use crate::{
    kernel,
    room::{NAMES, Room, WINDOW, delegated},
    within,
};

/// What is delegated is good for less than a day, and not for more.
const HOURS: Duration = Duration::from_secs(3600);
/// For its script, before it tries once more.
const IPXE_WAITS: Duration = Duration::from_secs(3);
/// A helper's own steps before it offers without its controller (`agent/src/helper/offers.rs`), and a little less: clocks differ.
const LISTENS_MS: f64 = 380.0;

/// The machines, each with what is due for it.
struct Cast {
    idle: String,
    standing: String,
    lent: String,
    once: String,
    kernel: Vec<u8>,
}

impl Cast {
    fn all(&self) -> [&String; 4] {
        [&self.idle, &self.standing, &self.lent, &self.once]
    }
}

#[test]
fn without_its_controller_a_helper_serves_what_it_was_given_once_and_only_for_a_day() -> Result<()>
{
    story("helpers-away", |space| {
        let site = Site {
            controller: ControllerPlan::new().start(space)?,
        };
        let mut room = Room::open(space, site, 2)?;
        room.give_roles()?;
        let cast = delegate(&room)?;
        room.site.controller.kill9();
        let died = Instant::now();
        room.boots(0, &cast.idle, "dying")?.is_disk()?;
        within(
            "a helper that still waits for its controller",
            died.elapsed(),
            IPXE_WAITS,
        )?;
        for helper in &mut room.helpers {
            helper.wait_says("the link has ended")?;
        }
        let took = died.elapsed().as_secs_f32();
        eprintln!("the helpers know {took:.1} s after it was killed");

        one_of_two(&room, &cast)?;
        each_its_own(&room, &cast)?;
        goes_on_after_a_restart(&mut room, &cast)?;
        for_a_day(&mut room, &cast)?;
        back(&mut room, &cast)
    })
}

/// Gives the machines what is due for them, and the helpers what they need to know of it.
fn delegate(room: &Room<'_>) -> Result<Cast> {
    let [idle, standing, lent, once] = room.register()?;
    let cast = Cast {
        idle,
        standing,
        lent,
        once,
        kernel: kernel(2),
    };
    for mac in cast.all() {
        let offer = room.station.boot_offer(mac, Asks::Ipxe, WINDOW)?;
        ensure!(offer.is_some(), "{mac} is offered nothing");
    }
    let sha256 = room.config("live", &cast.kernel)?;
    let helper = room.helpers[0].plan.board.mac();
    let activate = |mac: &str, more: &[&str]| {
        let activate = ["boot-configs", "activate", "live", mac];
        room.site.enforcer(&[&activate, more].concat())
    };
    activate(&cast.standing, &["--kind", "standing"])?;
    activate(&cast.lent, &["--helper", &helper])?;
    activate(&cast.once, &[])?;
    room.wait_delegated(0, "what is due for all", |all| {
        let once = |mac: &str| delegated(all, mac)?.boot.as_ref().map(|b| b.once.is_some());
        cast.all().iter().all(|mac| delegated(all, mac).is_some())
            && once(&cast.standing) == Some(false)
            && once(&cast.lent) == Some(true)
    })?;
    let lent = activation(room, &cast.lent)?;
    ensure!(lent["lent_until"].is_string(), "it is the helper's: {lent}");
    // The other one comes after the holder of what is lent.
    room.wait_delegated(1, "what is due for all", |all| {
        let rank = delegated(all, &cast.lent).map(|machine| machine.rank);
        cast.all().iter().all(|mac| delegated(all, mac).is_some())
            && delegated(all, &cast.standing).is_some_and(|m| m.boot.is_some())
            && rank.is_some_and(|rank| rank > 0)
    })?;
    wait_until("the helpers to have the files", PATIENCE, || {
        let all = room.helpers.iter().all(|helper| helper.keeps(&sha256));
        Ok(all.then_some(()))
    })?;
    Ok(cast)
}

/// Also now one answers. Who hears nothing of the other answers, too: so it is the listening that makes it one.
fn one_of_two(room: &Room<'_>, cast: &Cast) -> Result<()> {
    for (mac, asks) in cast
        .all()
        .into_iter()
        .zip([Asks::Bios, Asks::Uefi, Asks::Ipxe, Asks::Bios])
    {
        let offer = room.one_offer(mac, asks)?;
        eprintln!(
            "without the controller helper {} offers after {:.0} ms",
            room.by(&offer)?,
            offer.after_ms
        );
        ensure!(offer.after_ms >= LISTENS_MS, "it listened: {offer:?}");
    }
    let _deaf = Cut::cables(&room.far, NAMES[0], NAMES[1])?;
    let offers = room.boot_offers(&cast.idle, Asks::Bios)?;
    ensure!(offers.len() == 2, "both, deaf for each other: {offers:?}");
    Ok(())
}

fn each_its_own(room: &Room<'_>, cast: &Cast) -> Result<()> {
    for helper in [0, 1] {
        for mac in [&cast.idle, &cast.once] {
            room.boots(helper, mac, "away")?.is_disk()?;
        }
        for session in ["away", "again"] {
            room.boots(helper, &cast.standing, session)?
                .is_config(&cast.kernel)
                .context("the standing config")?;
        }
    }
    let other = room.boots(1, &cast.lent, "away")?;
    other.is_disk().context("it is lent to the other helper")?;
    let lent = room.boots(0, &cast.lent, "away")?;
    lent.is_config(&cast.kernel).context("what is lent")?;
    spent(room, cast)
}

/// What was lent is served no more, by no name.
fn spent(room: &Room<'_>, cast: &Cast) -> Result<()> {
    room.boots(0, &cast.lent, "spent")?.is_disk()?;
    room.boots(1, &cast.lent, "spent")?.is_disk()?;
    let all = room.helpers[0].delegation()?.context("a delegation")?;
    let lent = delegated(&all, &cast.lent).and_then(|machine| machine.boot.as_ref());
    if let Some(lent) = lent {
        let url = format!("/boot/n/{}/linux?session=spent", lent.nonce);
        let (status, _) = room.station.fetch(&room.helpers[0].url(&url))?;
        ensure!(status == 410, "a file of what is spent: {status}");
    }
    Ok(())
}

/// An agent that is killed and started again while the controller is away is the helper that it was.
fn goes_on_after_a_restart(room: &mut Room<'_>, cast: &Cast) -> Result<()> {
    for helper in &mut room.helpers {
        helper.kill()?;
        helper.start()?;
    }
    room.one_offer(&cast.idle, Asks::Bios)?;
    room.boots(0, &cast.standing, "restarted")?
        .is_config(&cast.kernel)?;
    room.boots(0, &cast.once, "restarted")?.is_disk()?;
    spent(room, cast)
}

/// The other helper is off. This one serves 23 hours on, and two hours later nothing.
fn for_a_day(room: &mut Room<'_>, cast: &Cast) -> Result<()> {
    let [helper, other] = &mut room.helpers[..] else {
        anyhow::bail!("two helpers");
    };
    other.kill()?;
    helper.kill()?;
    helper.start_later(23 * HOURS)?;
    helper.wait_says("boot helper: serves DHCP-proxy")?;
    room.one_offer(&cast.idle, Asks::Bios)?;
    room.boots(0, &cast.standing, "tomorrow")?
        .is_config(&cast.kernel)?;

    let helper = &mut room.helpers[0];
    helper.kill()?;
    helper.start_later(25 * HOURS)?;
    helper.wait_says("nobody has confirmed its role for 24 h")?;
    let offers = room.boot_offers(&cast.idle, Asks::Bios)?;
    ensure!(offers.is_empty(), "a day is over: {offers:?}");
    let url = room.helpers[0].url("/boot.ipxe");
    ensure!(room.station.fetch(&url).is_err(), "it still serves files");
    Ok(())
}

/// The controller learns what was done with what was lent, once; and all is as it was.
fn back(room: &mut Room<'_>, cast: &Cast) -> Result<()> {
    room.site.controller.restart()?;
    let told = Instant::now();
    room.helpers[1].start()?;
    room.wait_serving()?;
    let closed = wait_until("it to be told", PATIENCE, || {
        let known = activation(room, &cast.lent)?;
        Ok(known["closed"].is_string().then_some(known))
    })?;
    let took = told.elapsed().as_secs_f32();
    eprintln!("back, it knows after {took:.1} s what was served: {closed}");
    ensure!(closed["stage"] == "confirmed", "{closed}");
    ensure!(
        closed["boots"] == 1 && closed["lent_to"].is_string(),
        "{closed}"
    );
    for helper in [0, 1] {
        room.boots(helper, &cast.lent, "back")?.is_disk()?;
    }
    let events = room.site.events(&cast.lent)?;
    let times = events.iter().filter(|e| e.kind == "activation.confirmed");
    ensure!(times.count() == 1, "told once: {events:?}");

    room.one_offer(&cast.once, Asks::Ipxe)?;
    room.boots(1, &cast.once, "back")?
        .is_config(&cast.kernel)
        .context("what waited for the controller")?;
    room.site.wait_event(&cast.once, "activation.confirmed")?;
    Ok(())
}

/// The newest activation of a machine.
fn activation(room: &Room<'_>, mac: &str) -> Result<serde_json::Value> {
    let mut found = room
        .site
        .get(&format!("/api/v1/activations?machine={mac}"))?;
    let all = found["items"].as_array_mut().context("a list")?;
    all.pop().context("an activation")
}
