//! Starts the written system's kernel at once, without the firmware: finds it on the disk, loads it, has the hardware's
//! watchdog watch over the start. Whatever of it cannot be done, the machine restarts instead, and says why.
//!
//! [`course`] is pure; the machine does it through [`Starter`]. What lies on the disk is a stranger's: file systems are
//! mounted without a byte being written to them, paths do not lead out of them, and every text has a limit.

mod bls;
mod course;
mod entry;
mod grub;
mod shelf;
mod starter;
mod syslinux;
mod words;

use std::fs::File;
use std::path::Path;

use mesh_proto::facts;

use self::course::{Act, Course};
use self::shelf::Shelf;
pub use self::starter::Starter;
use super::disk::Memory;
use super::host::{Host, Part};
use super::parts;

/// A kernel that was found, with its files open.
#[derive(Debug)]
pub struct Kernel {
    /// The kernel.
    pub image: File,
    /// What it unpacks its first root from, in this order.
    pub initrds: Vec<File>,
    /// Its command line.
    pub cmdline: String,
}

/// Prepares the start of the system on this disk; when it is there, only going down is left. `Err` says why the machine
/// has to restart instead.
pub(super) fn prepare(host: &dyn Host, disk: &facts::Disk, memory: &Memory) -> Result<(), String> {
    let Some(starter) = host.starter() else {
        return Err("this agent cannot start kernels".to_owned());
    };
    let (mut course, mut act) = Course::begin();
    loop {
        let done = match act {
            Act::Load => load(host, starter, disk, memory),
            Act::Arm => starter.arm(),
            Act::Unload => starter.unload(),
            Act::Go => return Ok(()),
            Act::Restart(why) => return Err(why),
        };
        act = course.then(done);
    }
}

/// Loads the first kernel that a boot loader of this disk would start.
fn load(
    host: &dyn Host,
    starter: &dyn Starter,
    disk: &facts::Disk,
    memory: &Memory,
) -> Result<(), String> {
    let mut last = "no partition has a boot loader's list that is understood".to_owned();
    for (part, file_system) in file_systems(host, disk, memory)? {
        let mut loaded = false;
        let mut look = |root: &Path| match kernel(root)? {
            Some(kernel) => starter.load(&kernel).map(|()| loaded = true),
            None => Ok(()),
        };
        if let Err(why) = starter.mounted(disk, &part, file_system, &mut look) {
            last = format!("partition {} ({file_system}): {why}", part.number);
        }
        if loaded {
            return Ok(());
        }
    }
    Err(last)
}

/// The partitions with file systems; the disk is closed again, so that they can be mounted.
fn file_systems(
    host: &dyn Host,
    disk: &facts::Disk,
    memory: &Memory,
) -> Result<Vec<(Part, &'static str)>, String> {
    let open = host.open(disk).map_err(|error| error.to_string())?;
    parts::file_systems(&*open, memory).map_err(|fault| fault.to_string())
}

/// What the boot loader of the file system at `root` would start.
fn kernel(root: &Path) -> Result<Option<Kernel>, String> {
    let shelf = Shelf::open(root)?;
    let entries = shelf.entries();
    let Some(entry) = entries.into_iter().find(|entry| shelf.has(entry)) else {
        return Ok(None);
    };
    let initrds = entry.initrds.iter().map(|path| shelf.file(path));
    Ok(Some(Kernel {
        image: shelf.file(&entry.kernel)?,
        initrds: initrds.collect::<Result<_, _>>()?,
        cmdline: entry.cmdline,
    }))
}

#[cfg(test)]
mod tests;
