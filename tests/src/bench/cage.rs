//! A control group with one core and 256 MiB: the small board of DESIGN §9.

use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

/// One core: all of each period.
const PERIOD_US: u64 = 100_000;
/// The memory of the smallest board we promise to run on, bytes.
const MEMORY: u64 = 256 << 20;
const ROOT: &str = "/sys/fs/cgroup";

/// Processes in it share one core and 256 MiB. Version 2 of control groups, or the older one where that rules.
#[derive(Debug)]
pub struct Cage {
    groups: Vec<PathBuf>,
}

impl Cage {
    /// Makes one; needs root.
    ///
    /// # Errors
    /// When the kernel or this user's rights do not allow it.
    pub fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("enforcer-bench-{}-{number}", process::id());
        let cage = Self {
            groups: if Path::new(ROOT).join("cgroup.controllers").exists() {
                vec![Path::new(ROOT).join(&name)]
            } else {
                ["cpu", "memory"]
                    .map(|kind| Path::new(ROOT).join(kind).join(&name))
                    .to_vec()
            },
        };
        cage.limit().context(
            "a bench under limits needs control groups that this user may make: run it as root",
        )?;
        Ok(cage)
    }

    fn limit(&self) -> Result<()> {
        for group in &self.groups {
            fs::create_dir(group).with_context(|| group.display().to_string())?;
        }
        let (quota, period, memory) = (
            PERIOD_US.to_string(),
            PERIOD_US.to_string(),
            MEMORY.to_string(),
        );
        match self.groups.as_slice() {
            [unified] => {
                write(unified, "cpu.max", &format!("{quota} {period}"))?;
                write(unified, "memory.max", &memory)
            }
            [cpu, mem] => {
                write(cpu, "cpu.cfs_period_us", &period)?;
                write(cpu, "cpu.cfs_quota_us", &quota)?;
                write(mem, "memory.limit_in_bytes", &memory)
            }
            _ => Ok(()),
        }
    }

    /// What `start` starts is in it from its first instruction, as under a service manager's or a container's limits: programs count
    /// the cores that they may use when they start. This process goes in for that long, and comes out again whatever happens.
    ///
    /// # Errors
    /// What `start` says, or that the kernel refuses.
    pub fn within<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        let groups = self.groups.iter();
        let homes: Vec<PathBuf> = groups.map(|group| home(group)).collect::<Result<_>>()?;
        let back = || {
            let mut homes = homes.iter();
            homes.try_for_each(|home| write(home, "cgroup.procs", &process::id().to_string()))
        };
        let started = self.hold(process::id()).and_then(|()| start());
        back()?;
        started
    }

    /// Moves a running process into it, with all its threads. What it allocated before is not counted.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn hold(&self, pid: u32) -> Result<()> {
        ensure!(!self.groups.is_empty(), "a cage without groups");
        self.groups
            .iter()
            .try_for_each(|group| write(group, "cgroup.procs", &pid.to_string()))
    }
}

impl Drop for Cage {
    fn drop(&mut self) {
        // Its processes have just been killed; the kernel empties the group a moment later.
        for group in &self.groups {
            let gone = (0..100).any(|_| {
                let removed = fs::remove_dir(group).is_ok() || !group.exists();
                if !removed {
                    thread::sleep(Duration::from_millis(20));
                }
                removed
            });
            if !gone {
                eprintln!("the control group {} is still in use", group.display());
            }
        }
    }
}

/// The group that this process is in, beside `group`: of the same hierarchy.
fn home(group: &Path) -> Result<PathBuf> {
    let mount = group.parent().context("a group lies in a hierarchy")?;
    let kind = mount.file_name().and_then(|name| name.to_str());
    let list = fs::read_to_string("/proc/self/cgroup")?;
    // "4:memory:/a/path", and "0::/a/path" for version 2 (proc_pid_cgroup(5)).
    let path = list.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (kinds, path) = (parts.next()?, parts.next()?);
        let ours = match kind {
            Some(kind @ ("cpu" | "memory")) => kinds.split(',').any(|one| one == kind),
            _ => kinds.is_empty(),
        };
        ours.then(|| path.trim_start_matches('/'))
    });
    Ok(mount.join(path.unwrap_or_default()))
}

fn write(group: &Path, file: &str, value: &str) -> Result<()> {
    let path = group.join(file);
    fs::write(&path, value).with_context(|| format!("writing {value} to {}", path.display()))
}
