//! Disks that come in, by hand or from machines; beside them what this host's own disk can do.

use std::{fs, time::Instant};

use anyhow::Result;
use enforcer_tests::{
    bench::{Table, ratio},
    lab::Usage,
};
use serde_json::{Value, json};

use crate::{
    disks::{Disks, warm},
    figures::{MIB, growth, number},
    peers::{self, From},
    room::{Room, watched},
};

/// Taking in and saving, MB/s of the disk with its holes.
const APPARENT_MIN: f64 = 300.0;

pub(crate) fn ingest(table: &mut Table, disks: &Disks) -> Result<()> {
    let room = Room::new("ingest", false)?;
    let packed = fs::metadata(disks.file("os.zst"))?.len() as f64;
    let idle = room.usage()?.rss_kib;
    let pid = room.controller.pid()?;
    warm(&disks.os())?;
    let before = room.usage()?.cpu;
    let (taken, most) = watched(pid, || room.upload(&disks.os(), "os"))?;
    let spent = (room.usage()?.cpu - before).as_secs_f64();
    let (speed, told) = speeds(&taken.version, taken.seconds)?;
    let told = format!("{told}; {spent:.1} s of processor");
    let what = format!("a system disk comes raw, {}", sizes(&taken.version)?);
    table.judge(
        &what,
        "free",
        &told,
        "",
        ("≥ 300 MB/s apparent", speed >= APPARENT_MIN),
    );
    let stored = number(&taken.version, "new_bytes")?;
    let times = stored / packed;
    table.judge(
        "what it takes in the store",
        "free",
        &format!("{:.0} MiB", stored / MIB),
        &format!(
            "`zstd -3` of the whole: {:.0} MiB (ratio {times:.3})",
            packed / MIB
        ),
        ("≤ 1.1 × zstd", times <= 1.1),
    );
    growth(table, "memory while it comes", idle, most);
    drop(room);
    let room = Room::new("packed", false)?;
    let taken = room.upload(&disks.file("os.zst"), "os")?;
    let (_, told) = speeds(&taken.version, taken.seconds)?;
    table.note("the same disk comes packed by zstd", "free", &told, "");
    random(table, disks)
}

/// Nothing to pack and nothing to leave out: all of it has to be on the disk in the end.
fn random(table: &mut Table, disks: &Disks) -> Result<()> {
    let room = Room::new("random", false)?;
    warm(&disks.full())?;
    let by_hand = room.bench.space.folder().file("by-hand");
    let disk = peers::written(&disks.full(), From::Memory, &by_hand)?;
    let work = Work::of(&[room.controller.pid()?])?;
    let taken = room.upload(&disks.full(), "full")?;
    let spent = work.spent()?;
    let (speed, told) = speeds(&taken.version, taken.seconds)?;
    table.judge(
        "1 GiB of random bytes comes raw",
        "free",
        &format!("{told}; {spent}"),
        &by_dd(disk, speed),
        ("≥ 300 MB/s", speed >= APPARENT_MIN),
    );
    Ok(())
}

/// What this host's disk can do beside what we did.
fn by_dd(disk: f64, ours: f64) -> String {
    format!(
        "`dd conv=fdatasync` of the same: {disk:.0} MB/s (ours {})",
        ratio(ours, disk)
    )
}

/// Processor time of some processes, from now on.
struct Work(Vec<(u32, f64)>);

impl Work {
    fn of(pids: &[u32]) -> Result<Self> {
        peers::quiet()?;
        let used = pids.iter().map(|pid| Ok((*pid, used(*pid)?)));
        Ok(Self(used.collect::<Result<_>>()?))
    }

    /// Of each, in words.
    fn spent(&self) -> Result<String> {
        let each = self.0.iter().map(|(pid, before)| {
            let spent = used(*pid)? - before;
            Ok(format!("{spent:.1}"))
        });
        let each = each.collect::<Result<Vec<_>>>()?;
        Ok(format!("{} s of processor", each.join(" + ")))
    }
}

fn used(pid: u32) -> Result<f64> {
    Ok(Usage::of(pid)?.cpu.as_secs_f64())
}

/// Saving disks.
pub(crate) fn capture(table: &mut Table, disks: &Disks) -> Result<()> {
    for (what, file) in [
        ("a system disk is saved", disks.os()),
        ("a disk of random bytes is saved", disks.full()),
    ] {
        let room = Room::new("capture", false)?;
        let mut machine = room.machine(1, fs::metadata(&file)?.len())?;
        peers::copy(&file, &machine.disk)?;
        let by_hand = room.bench.space.folder().file("by-hand");
        let disk = peers::written(&machine.disk, From::Disk, &by_hand)?;
        let work = Work::of(&[room.controller.pid()?, machine.agent.pid()])?;
        let started = Instant::now();
        let order = json!({ "save_current": { "name": "saved", "all_blocks": true } });
        let id = room.order(&machine, order)?;
        room.written(&mut machine, id)?;
        let seconds = started.elapsed().as_secs_f64();
        let spent = work.spent()?;
        let (_, answer) = room
            .controller
            .api("GET", "/api/v1/images/saved/versions/1", "")?;
        let version: Value = serde_json::from_str(&answer)?;
        let (speed, told) = speeds(&version, seconds)?;
        let what = format!("{what}, {}", sizes(&version)?);
        table.judge(
            &what,
            "free",
            &format!("{told}; {spent} (controller + agent)"),
            &by_dd(disk, speed),
            ("≥ 300 MB/s apparent", speed >= APPARENT_MIN),
        );
    }
    Ok(())
}

/// MB of the disk per second, and that in words.
fn speeds(version: &Value, seconds: f64) -> Result<(f64, String)> {
    let (size, data) = (number(version, "size")?, number(version, "data_bytes")?);
    let speed = size / 1e6 / seconds;
    let told = format!(
        "{speed:.0} MB/s apparent ({:.0} MB/s of data), {seconds:.1} s",
        data / 1e6 / seconds
    );
    Ok((speed, told))
}

fn sizes(version: &Value) -> Result<String> {
    let (size, data) = (number(version, "size")?, number(version, "data_bytes")?);
    Ok(format!(
        "{:.0} MiB with {:.0} of data",
        size / MIB,
        data / MIB
    ))
}
