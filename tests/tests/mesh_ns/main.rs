//! The mesh with real processes: twenty agents in a network namespace each, a controller, and a wire that loses packets.
//!
//! The simulation in `mesh-proto/tests` tells the same stories at a hundred and a thousand members, repeatably; these show that sockets, links
//! and processes keep its promises (DESIGN §9, mesh).

mod room;

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, ensure};
use enforcer_tests::lab::{
    peers::{Cut, Loss},
    story,
};
use rustix::process::Signal;

use room::{HOSTS, Room, within};

/// The last agent: it comes late, and is the one that dies.
const LATE: usize = HOSTS as usize - 1;
/// Agents before this one stay with the controller when the wire is cut.
const HALF: usize = HOSTS as usize / 2;
/// The one that is paused.
const PAUSED: usize = 3;
/// DESIGN §9: long enough to be `unreachable`, too short to be `down`.
const PAUSE: Duration = Duration::from_secs(8);

/// One joins, one is paused, one dies, at this loss.
fn times_at(percent: u8) -> Result<()> {
    story(&format!("mesh-{percent}"), |space| {
        let mut room = Room::open(space)?;
        let _loss = Loss::start(space.home(), percent)?;
        let started = Instant::now();
        (0..LATE).try_for_each(|index| room.start(index))?;
        let met = room.all_met(started)?;
        eprintln!("at {percent} %: {LATE} met each other within {met:.1?}");
        room.forget()?;

        let started = Instant::now();
        room.start(LATE)?;
        within("a join is known", room.all_know_up(LATE, started)?, 5)?;
        room.wait_grace();
        paused(&mut room)?;

        let died = Instant::now();
        room.kill(LATE);
        let limit = if percent > 5 { 20 } else { 13 };
        within("a death is known", room.all_know_down(LATE, died)?, limit)?;
        room.says(LATE, "down", died)?;
        Ok(())
    })
}

/// A process that stands still for eight seconds is missed and comes back; nobody ever holds it for dead.
fn paused(room: &mut Room<'_>) -> Result<()> {
    room.all_alive(Instant::now())?;
    room.signal(PAUSED, Signal::STOP)?;
    let stopped = Instant::now();
    let missed = room.says(PAUSED, "unreachable", stopped)?;
    within("a silent member is unreachable", missed, 7)?;
    thread::sleep(PAUSE.saturating_sub(stopped.elapsed()));
    room.signal(PAUSED, Signal::CONT)?;
    let back = room.says(PAUSED, "alive", Instant::now())?;
    within("a member that wakes up is alive", back, 5)?;
    let wrong = room.who_says_down(PAUSED)?;
    ensure!(wrong.is_empty(), "held for dead by {wrong:?}");
    Ok(())
}

#[test]
fn joins_deaths_and_pauses_keep_their_times_without_loss() -> Result<()> {
    times_at(0)
}

#[test]
fn joins_deaths_and_pauses_keep_their_times_at_5_percent_loss() -> Result<()> {
    times_at(5)
}

#[test]
fn joins_deaths_and_pauses_keep_their_times_at_25_percent_loss() -> Result<()> {
    times_at(25)
}

#[test]
fn a_cut_wire_heals_and_everything_killed_at_once_comes_back() -> Result<()> {
    story("mesh-heal", |space| {
        let mut room = Room::open(space)?;
        let started = Instant::now();
        (0..HOSTS.into()).try_for_each(|index| room.start(index))?;
        room.all_met(started)?;
        room.all_alive(started)?;

        let (home, away) = room.sides(HALF);
        let cut = Cut::between(space.home(), &home, &away)?;
        let began = Instant::now();
        room.says(LATE, "down", began)?;
        ensure!(room.word(0)? == "alive", "this side is whole");
        room.forget()?;
        drop(cut);
        let healed = Instant::now();
        within("all are alive after a cut", room.all_alive(healed)?, 15)?;
        let seen = room.far_side_knows_up(LATE, HALF, healed)?;
        within("the far side is seen again", seen, 15)?;

        room.forget()?;
        room.controller.kill9();
        (0..HOSTS.into()).for_each(|index| room.kill(index));
        let restarted = (Instant::now(), SystemTime::now());
        room.controller.restart()?;
        (0..HOSTS.into()).try_for_each(|index| room.start(index))?;
        within("all are back", room.all_greeted(restarted.1)?, 10)?;
        room.all_met(restarted.0)?;
        Ok(())
    })
}

#[test]
fn without_the_controllers_verdict_a_death_is_known_too_late_for_the_promise() -> Result<()> {
    story("mesh-alone", |space| {
        let mut room = Room::open(space)?;
        let started = Instant::now();
        (0..HOSTS.into()).try_for_each(|index| room.start(index))?;
        room.all_met(started)?;
        room.forget()?;
        room.controller.kill9();
        let died = Instant::now();
        room.kill(LATE);
        let took = room.all_know_down(LATE, died)?;
        let check = within("a death is known", took, 13);
        ensure!(
            check.is_err(),
            "known after {took:?} although nobody judged"
        );
        within("a death is known by suspicion", took, 40)
    })
}
