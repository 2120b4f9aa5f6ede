//! What a process has used: memory and processor time, read from /proc.

use anyhow::{Context, Result};
use std::fs;
use std::time::Duration;

/// One look at a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident now.
    pub rss_kib: u64,
    /// The most it ever had resident.
    pub peak_rss_kib: u64,
    /// User and system time so far, in steps of a clock tick (10 ms).
    pub cpu: Duration,
}

impl Usage {
    /// Looks at a process by its id, e.g. of a [`super::Service`] or a [`super::Controller`].
    pub fn of(pid: u32) -> Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).with_context(|| format!("reading {path}"))
        };
        let status = read("status")?;
        Ok(Self {
            rss_kib: kib(&status, "VmRSS:")?,
            peak_rss_kib: kib(&status, "VmHWM:")?,
            cpu: cpu_time(&read("stat")?, rustix::param::clock_ticks_per_second())?,
        })
    }
}

fn kib(status: &str, key: &str) -> Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let value = line.and_then(|rest| rest.split_whitespace().next());
    Ok(value
        .with_context(|| format!("no {key} in /proc/PID/status"))?
        .parse()?)
}

/// Fields 14 and 15 of proc_pid_stat(5); the second field is a name in brackets that may hold blanks.
fn cpu_time(stat: &str, ticks_per_second: u64) -> Result<Duration> {
    let (_, fields) = stat.rsplit_once(')').context("a stat line")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |number: usize| -> Result<u64> {
        Ok(fields
            .get(number - 3)
            .context("a short stat line")?
            .parse()?)
    };
    let millis = (ticks(14)? + ticks(15)?) * 1000 / ticks_per_second.max(1);
    Ok(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_user_and_system_even_when_the_name_has_blanks() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 1 0 9 9 9";
        assert_eq!(cpu_time(stat, 100).unwrap(), Duration::from_secs(2));
    }

    #[test]
    fn this_process_has_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(
            usage.rss_kib > 500 && usage.peak_rss_kib >= usage.rss_kib,
            "{usage:?}"
        );
    }
}
