//! What is measured, and what it has to be.

use std::{fs, time::Instant};

use anyhow::{Context, Result};
use enforcer_tests::{
    bench::{Table, ratio},
    lab::Usage,
};
use serde_json::{Value, json};

use crate::{
    disks::{Disks, forget, warm},
    peers::{self, Before},
    room::{Machine, Room, empty, same, watched},
};

pub(crate) const MIB: f64 = (1 << 20) as f64;
/// Each is measured so often, in turn with the one beside it; the middle counts.
const ROUNDS: usize = 3;
/// DESIGN §9: as many machines at once.
const MACHINES: u8 = 8;
/// What an upload or a room of machines may add to the controller (issue 4), MiB.
const GROWTH_MAX_MIB: f64 = 64.0;

/// From the order to the end of a deployment, what was written read back from the disk; and the same by hand.
pub(crate) fn disk(table: &mut Table, disks: &Disks) -> Result<()> {
    let room = Room::new("disk", false)?;
    room.upload(&disks.os(), "os")?;
    let size = fs::metadata(disks.os())?.len();
    let mut machine = room.machine(1, size)?;
    let by_hand = room.bench.space.folder().file("by-hand");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        empty(&machine.disk, size)?;
        ours.push(room.deploy(&mut machine, "os")?.0);
        warm(&disks.os())?;
        theirs.push(peers::bmaptool(disks, &by_hand)?);
    }
    same(&disks.os(), &machine.disk)?;
    let told = |times: &mut Vec<(f64, f64)>| {
        times.sort_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1)));
        times[ROUNDS / 2]
    };
    let (copy, cmp) = told(&mut theirs);
    let ours = median(&mut ours);
    table.judge(
        &format!(
            "an empty disk of {:.0} MiB, start to verified",
            size as f64 / MIB
        ),
        "free",
        &format!("{ours:.1} s"),
        &format!(
            "bmaptool copy {copy:.1} s + cmp {cmp:.1} s (ratio {})",
            ratio(ours, copy + cmp)
        ),
        ("≤ bmaptool + cmp", ours <= copy + cmp),
    );
    let what = "a disk of the same size over the wire, by others";
    beside(table, (&room, disks), what, Before::Nothing)
}

/// A disk that holds an older version.
pub(crate) fn delta(table: &mut Table, disks: &Disks) -> Result<()> {
    let room = Room::new("delta", false)?;
    room.upload(&disks.os(), "os")?;
    let size = fs::metadata(disks.os())?.len();
    let mut machine = room.machine(1, size)?;
    let (first, _) = room.deploy(&mut machine, "os")?;
    let changed = room.upload(&disks.changed(), "os")?.version;
    let new = number(&changed, "new_bytes")?;
    let before = room.wire_bytes()?;
    let (seconds, said) = room.deploy(&mut machine, "os")?;
    let wire = (room.wire_bytes()? - before) as f64;
    same(&disks.changed(), &machine.disk)?;
    let counted = number(&said["written"], "wire_bytes")?;
    table.judge(
        "5 % changed: bytes on the wire, both directions, with all headers",
        "free",
        &format!(
            "{:.1} MiB ({:.1} of chunks and manifest) in {seconds:.1} s; the first time {first:.1} s",
            wire / MIB,
            counted / MIB
        ),
        &format!("the changed chunks are {:.1} MiB (ratio {:.3})", new / MIB, wire / new),
        ("≤ 1.1 × the changed chunks", wire <= 1.1 * new),
    );
    beside(
        table,
        (&room, disks),
        "the same change brought by others",
        Before::Older,
    )
}

/// The changed disk brought by other people's tools, over the same wire.
fn beside(
    table: &mut Table,
    (room, disks): (&Room, &Disks),
    what: &str,
    before: Before,
) -> Result<()> {
    let others: [(&str, peers::Bring); 2] = [("rsync", peers::rsync), ("casync", peers::casync)];
    for (name, bring) in others {
        let target = room.bench.space.folder().file(name);
        let wire = room.wire_bytes()?;
        let seconds = bring(room, disks, &target, before)?;
        let bytes = (room.wire_bytes()? - wire) as f64;
        forget(&target)?;
        same(&disks.changed(), &target)?;
        fs::remove_file(&target)?;
        let told = format!(
            "{name}: {:.1} MiB in {seconds:.1} s, not read back",
            bytes / MIB
        );
        table.note(what, "free", "", &told);
    }
    Ok(())
}

/// Eight machines at once.
pub(crate) fn room(table: &mut Table, disks: &Disks) -> Result<()> {
    let room = Room::new("room", false)?;
    room.upload(&disks.os(), "os")?;
    let size = fs::metadata(disks.os())?.len();
    let mut machines = Vec::new();
    for number in 1..=MACHINES {
        machines.push(room.machine(number, size)?);
    }
    let idle = room.usage()?.rss_kib;
    let pid = room.controller.pid()?;
    let (mut took, most) = watched(pid, || at_once(&room, &mut machines))?;
    for machine in &machines {
        same(&disks.os(), &machine.disk)?;
    }
    let (middle, slowest) = (median(&mut took), took[took.len() - 1]);
    table.judge(
        "8 machines at once: the slowest against the middle one",
        "free",
        &format!(
            "{slowest:.1} s, {middle:.1} s (ratio {})",
            ratio(slowest, middle)
        ),
        "",
        ("≤ 1.3", slowest <= 1.3 * middle),
    );
    growth(table, "memory of the controller with them", idle, most);
    Ok(())
}

fn at_once(room: &Room, machines: &mut [Machine]) -> Result<Vec<f64>> {
    let started = Instant::now();
    let orders: Result<Vec<u64>> = machines
        .iter()
        .map(|machine| room.order(machine, json!({ "image": "os" })))
        .collect();
    let orders = orders?;
    std::thread::scope(|scope| {
        let waits: Vec<_> = machines
            .iter_mut()
            .zip(orders)
            .map(|(machine, id)| {
                scope.spawn(move || {
                    room.written(machine, id)?;
                    Ok(started.elapsed().as_secs_f64())
                })
            })
            .collect();
        let waits = waits.into_iter();
        waits
            .map(|wait| wait.join().expect("a wait does not panic"))
            .collect()
    })
}

/// A machine with one core and 256 MiB, and an image of several times that.
pub(crate) fn small(table: &mut Table, disks: &Disks) -> Result<()> {
    let room = Room::new("small", true)?;
    room.upload(&disks.os(), "os")?;
    let size = fs::metadata(disks.os())?.len();
    let mut machine = room.machine(1, size)?;
    room.bench.hold(machine.agent.pid())?;
    let (seconds, _) = room.deploy(&mut machine, "os")?;
    same(&disks.os(), &machine.disk)?;
    let used = Usage::of(machine.agent.pid())?;
    let most = used.peak_rss_kib as f64 / 1024.0;
    table.judge(
        &format!(
            "the agent's memory, an image of {:.0} MiB",
            size as f64 / MIB
        ),
        room.bench.limits(),
        &format!("at most {most:.1} MiB resident; {seconds:.1} s"),
        "",
        // Beside it a management OS of 512 MiB holds its kernel and its programs.
        ("≤ 128 MiB", most <= 128.0),
    );
    Ok(())
}

pub(crate) fn growth(table: &mut Table, what: &str, idle_kib: u64, most_kib: u64) {
    let mib = |kib: u64| kib as f64 / 1024.0;
    table.judge(
        what,
        "free",
        &format!(
            "RSS {:.1} → at most {:.1} MiB",
            mib(idle_kib),
            mib(most_kib)
        ),
        "",
        (
            "≤ 64 MiB above idle",
            mib(most_kib) - mib(idle_kib) <= GROWTH_MAX_MIB,
        ),
    );
}

pub(crate) fn number(value: &Value, name: &str) -> Result<f64> {
    value[name]
        .as_f64()
        .with_context(|| format!("{name} in {value}"))
}

/// The middle one; they are in order then.
pub(crate) fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
