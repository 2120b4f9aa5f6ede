//! What people use for the same work today.

use std::{ffi::OsString, fs, path::Path, process::Command, time::Instant};

use anyhow::{Result, ensure};
use enforcer_tests::lab::{Service, Space, peers::Nginx, wait_until};

use crate::{
    disks::{Disks, forget},
    room::{Room, same},
};

const WEB_PORT: u16 = 8081;
const RSYNC_PORT: u16 = 8730;

/// Writes the system disk to a new file and compares; seconds of both.
pub(crate) fn bmaptool(disks: &Disks, target: &Path) -> Result<(f64, f64)> {
    let _none_yet = fs::remove_file(target);
    let started = Instant::now();
    let mut command = Command::new("bmaptool");
    command
        .args(["-q", "copy", "--bmap"])
        .arg(disks.file("os.bmap"));
    run(command.arg(disks.os()).arg(target))?;
    let copied = started.elapsed().as_secs_f64();
    // What was just written is in memory, which proves nothing of the disk.
    forget(target)?;
    let started = Instant::now();
    same(&disks.os(), target)?;
    Ok((copied, started.elapsed().as_secs_f64()))
}

/// What is on a disk before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Before {
    Nothing,
    /// The older disk.
    Older,
}

/// Somebody brings the changed disk from a server to a file; seconds.
pub(crate) type Bring = fn(&Room, &Disks, &Path, Before) -> Result<f64>;

/// By rsync; an older disk is brought up to date in place.
pub(crate) fn rsync(room: &Room, disks: &Disks, target: &Path, before: Before) -> Result<f64> {
    if before == Before::Older {
        copy(&disks.os(), target)?;
    }
    let folder = room.bench.space.folder();
    let config = folder.file("rsyncd.conf");
    let text = format!(
        "use chroot = no\nuid = 0\ngid = 0\nport = {RSYNC_PORT}\naddress = {}\n[disks]\npath = {}\nread only = yes\n",
        Space::CONTROLLER,
        disks.dir().display()
    );
    fs::write(&config, text)?;
    let home = room.bench.space.home().namespace();
    let mut command = home.command("rsync");
    command
        .args(["--daemon", "--no-detach", "--config"])
        .arg(&config);
    let _server = Service::start("rsync", command, &folder.file("rsyncd.log"))?;
    let url = format!(
        "rsync://{}:{RSYNC_PORT}/disks/changed.img",
        Space::CONTROLLER
    );
    wait_until(
        "rsync to listen",
        std::time::Duration::from_secs(10),
        || {
            let asked = room.bench.client.run("rsync", &[&url]);
            Ok(asked.ok().map(drop))
        },
    )?;
    let started = Instant::now();
    let mut command = room.bench.client.command("rsync");
    match before {
        Before::Nothing => command.arg("--sparse"),
        Before::Older => command.args(["--inplace", "--no-whole-file", "--compress", "-I"]),
    };
    run(command.arg(&url).arg(target))?;
    Ok(started.elapsed().as_secs_f64())
}

/// From casync's chunks on a web server; what is unchanged comes from the older disk.
pub(crate) fn casync(room: &Room, disks: &Disks, target: &Path, before: Before) -> Result<f64> {
    disks.index()?;
    let _server = Nginx::start(room.bench.space.home(), WEB_PORT, disks.dir())?;
    let base = format!("http://{}:{WEB_PORT}", Space::CONTROLLER);
    let started = Instant::now();
    let mut command = room.bench.client.command("casync");
    command.arg("extract");
    if before == Before::Older {
        command.arg("--seed").arg(disks.os());
    }
    command
        .arg(format!("--store={base}/changed.castr"))
        .arg(format!("{base}/changed.caibx"));
    run(command.arg(target))?;
    Ok(started.elapsed().as_secs_f64())
}

/// Where the bytes of [`written`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Memory,
    /// Past the page cache, as an agent reads.
    Disk,
}

/// What this host's disk can do at all: a file is copied on it, until the copy is durable; MB/s.
pub(crate) fn written(file: &Path, from: From, to: &Path) -> Result<f64> {
    let (mut input, mut output) = (OsString::from("if="), OsString::from("of="));
    input.push(file);
    output.push(to);
    quiet()?;
    let started = Instant::now();
    let mut command = Command::new("dd");
    command.args([input, output]).args(["bs=1M", "status=none"]);
    command.arg("conv=fdatasync");
    if from == From::Disk {
        command.arg("iflag=direct");
    }
    run(&mut command)?;
    let seconds = started.elapsed().as_secs_f64();
    fs::remove_file(to)?;
    Ok(fs::metadata(file)?.len() as f64 / 1e6 / seconds)
}

/// Waits until the disk has written, and discarded, what was left behind: it is not what is measured next.
pub(crate) fn quiet() -> Result<()> {
    run(&mut Command::new("sync"))
}

/// A disk as its machine finds it: all at once, since an agent looks at the size of its disk, and on the disk, not in memory.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let coming = to.with_extension("coming");
    run(Command::new("cp")
        .arg("--sparse=always")
        .arg(from)
        .arg(&coming))?;
    forget(&coming)?;
    fs::rename(coming, to)?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let done = command.output()?;
    ensure!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}
