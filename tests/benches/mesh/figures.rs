//! What is measured of a crowd, and the table of two.

use std::{thread, time::Duration};

use anyhow::Result;
use enforcer_tests::{
    bench::{Spread, Table},
    lab::{Service, Usage},
};

use crate::{
    crowd::{Crowd, Kind, MEMBERS},
    traffic::Traffic,
};

/// Deaths that are measured; each after the other.
const DEATHS: u16 = 3;
/// After a join, until what is left to say is said.
const CALM: Duration = Duration::from_secs(20);
/// Two of serf's full state swaps, four of ours.
const IDLE: Duration = Duration::from_secs(60);

/// Of one kind.
#[derive(Debug)]
pub(crate) struct Figures {
    mass: Duration,
    join: Duration,
    event: Duration,
    deaths: Spread,
    idle: Idle,
}

/// One agent in a minute in which nothing happens: the mean of all.
#[derive(Debug, Clone, Copy)]
struct Idle {
    sent: f64,
    got: f64,
    /// Of one core.
    cpu_percent: f64,
    rss_kib: u64,
}

impl Figures {
    /// Measures.
    pub(crate) fn of<K: Kind>(crowd: &mut Crowd<'_, K>) -> Result<Self> {
        // Somebody whom the others can call.
        crowd.grow(1)?;
        let mass = crowd.grow(MEMBERS - 1)?;
        let join = crowd.join()?;
        thread::sleep(CALM);
        let idle = idle(crowd)?;
        let event = crowd.event(7)?;
        let deaths: Result<Vec<Duration>> =
            (0..DEATHS).map(|n| crowd.death(MEMBERS / 2 + n)).collect();
        Ok(Self {
            mass,
            join,
            event,
            deaths: Spread::of(deaths?),
            idle,
        })
    }
}

fn idle<K: Kind>(crowd: &Crowd<'_, K>) -> Result<Idle> {
    let look = |agents: &[Service]| -> Result<Vec<Usage>> {
        agents.iter().map(|agent| Usage::of(agent.pid())).collect()
    };
    let cpu = |usages: &[Usage]| usages.iter().map(|usage| usage.cpu).sum::<Duration>();
    let traffic = Traffic::count(&crowd.bench.client)?;
    let before = look(&crowd.agents)?;
    thread::sleep(IDLE);
    let (after, bytes) = (look(&crowd.agents)?, traffic.bytes()?);
    let share = f64::from(MEMBERS) * IDLE.as_secs_f64();
    let mut rss: Vec<u64> = after.iter().map(|usage| usage.rss_kib).collect();
    rss.sort_unstable();
    Ok(Idle {
        sent: bytes.sent as f64 / share,
        got: (bytes.sent + bytes.from_controller) as f64 / share,
        cpu_percent: (cpu(&after) - cpu(&before)).as_secs_f64() / share * 100.0,
        rss_kib: rss[rss.len() / 2],
    })
}

/// The rows, ours beside serf's.
pub(crate) fn print(table: &mut Table, ours: &Figures, serf: &Figures) {
    let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
    let beside = |time: Duration| format!("serf: {}", seconds(time));
    table.note(
        "98 start at once: each has met all",
        "free",
        &seconds(ours.mass),
        &beside(serf.mass),
    );
    table.judge(
        "the hundredth joins: known everywhere, and knows all",
        "free",
        &seconds(ours.join),
        &beside(serf.join),
        ("≤ 5 s", ours.join <= Duration::from_secs(5)),
    );
    table.judge(
        "kill -9 of one, until 99 % hold it for dead (three, median, worst)",
        "free",
        &deaths(&ours.deaths),
        &format!("serf: {}", deaths(&serf.deaths)),
        ("≤ 13 s", ours.deaths.max <= 13_000.0),
    );
    table.note(
        "news of one (ours: another disk; serf: user event), until all have it",
        "free",
        &seconds(ours.event),
        &beside(serf.event),
    );
    idle_rows(table, ours.idle, serf.idle);
}

fn deaths(spread: &Spread) -> String {
    format!("{:.1} s, {:.1} s", spread.p50 / 1e3, spread.max / 1e3)
}

fn idle_rows(table: &mut Table, ours: Idle, serf: Idle) {
    let bytes = |idle: Idle| format!("{:.0} B/s sent, {:.0} B/s received", idle.sent, idle.got);
    table.judge(
        "idle: IP bytes of an agent, everything counted",
        "free",
        &bytes(ours),
        &format!("serf: {}", bytes(serf)),
        ("≤ 400 B/s sent", ours.sent <= 400.0),
    );
    let cpu = |idle: Idle| format!("{:.3} % of a core", idle.cpu_percent);
    table.judge(
        "idle: processor of an agent",
        "free",
        &cpu(ours),
        &format!("serf: {}", cpu(serf)),
        ("≤ 0.2 %", ours.cpu_percent <= 0.2),
    );
    let mib = |idle: Idle| format!("{:.1} MiB", idle.rss_kib as f64 / 1024.0);
    table.judge(
        "idle: RSS of an agent, median",
        "free",
        &mib(ours),
        &format!("serf: {}", mib(serf)),
        ("≤ 10 MiB", ours.rss_kib <= 10 * 1024),
    );
}
