//! What the host says of itself: kernel, memory, clock, interfaces, routes, the disk below the state folder.

use std::{fs, net::Ipv4Addr, path::Path};

use ipxe_net::dhcp::served;
use serde::Serialize;

use crate::{ordered::sort_by, state::Timestamp};

/// Interfaces and routes that are told; a host of containers has hundreds.
const MOST: usize = 256;

/// The host.
#[derive(Debug, Serialize)]
pub struct Host {
    /// Kernel version.
    kernel: Option<String>,
    /// The operating system's name and version.
    system: Option<String>,
    processor: &'static str,
    processors: usize,
    memory: Memory,
    clock: Clock,
    interfaces: Vec<Interface>,
    routes: Vec<Route>,
    disk: Option<Disk>,
}

/// KiB, as `/proc/meminfo` has them.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Memory {
    total_kib: Option<u64>,
    available_kib: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Clock {
    now: Timestamp,
    /// Seconds since the kernel started.
    uptime_s: Option<u64>,
    /// What systemd-timesyncd says; absent: another program, or none, sets the clock.
    timesyncd_synchronized: Option<bool>,
}

#[derive(Debug, Serialize)]
struct Interface {
    name: String,
    /// As the kernel says: `up`, `down`, `unknown`.
    state: Option<String>,
    mac: Option<String>,
    mtu: Option<u32>,
    speed_mbit: Option<u32>,
    addresses: Vec<Ipv4Addr>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Route {
    interface: String,
    to: Ipv4Addr,
    mask: Ipv4Addr,
    by: Ipv4Addr,
    metric: u32,
}

#[derive(Debug, Serialize)]
struct Disk {
    total_bytes: u64,
    free_bytes: u64,
    free_inodes: u64,
    file_system: Option<String>,
    read_only: bool,
}

/// Looks at this host; `state` is where the state folder is.
#[must_use]
pub fn host(state: &Path, now: Timestamp) -> Host {
    let text = |path: &str| fs::read_to_string(path).ok();
    let release = text("/etc/os-release").unwrap_or_default();
    Host {
        kernel: text("/proc/sys/kernel/osrelease").map(|t| t.trim().to_owned()),
        system: value(&release, "PRETTY_NAME=").map(|v| v.trim_matches('"').to_owned()),
        processor: std::env::consts::ARCH,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        memory: memory(&text("/proc/meminfo").unwrap_or_default()),
        clock: Clock {
            now,
            uptime_s: text("/proc/uptime").and_then(|t| t.split('.').next()?.parse().ok()),
            timesyncd_synchronized: fs::exists("/run/systemd/timesync")
                .is_ok_and(|there| there)
                .then(|| Path::new("/run/systemd/timesync/synchronized").exists()),
        },
        interfaces: interfaces(),
        routes: routes(&text("/proc/net/route").unwrap_or_default()),
        disk: disk(state),
    }
}

/// What follows `name` at the start of a line.
fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn memory(text: &str) -> Memory {
    let kib = |name| value(text, name)?.trim_end_matches(" kB").parse().ok();
    Memory {
        total_kib: kib("MemTotal:"),
        available_kib: kib("MemAvailable:"),
    }
}

fn interfaces() -> Vec<Interface> {
    let folder = Path::new("/sys/class/net");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    sort_by(&mut names, Ord::cmp);
    names.truncate(MOST);
    let addressed = served(Some(names.as_slice()));
    let interface = |name: String| {
        let text = |file: &str| {
            let read = fs::read_to_string(folder.join(&name).join(file)).ok()?;
            Some(read.trim().to_owned())
        };
        let number = |file: &str| text(file)?.parse().ok();
        let own = addressed.iter().find(|served| served.name == name);
        Interface {
            state: text("operstate"),
            mac: text("address"),
            mtu: number("mtu"),
            speed_mbit: number("speed"),
            addresses: own
                .map(|served| served.addresses.clone())
                .unwrap_or_default(),
            name,
        }
    };
    names.into_iter().map(interface).collect()
}

/// The kernel's IPv4 routes: a head, then a line each, addresses in hex digits in the order of the host's bytes.
fn routes(text: &str) -> Vec<Route> {
    let route = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [interface, to, by, _, _, _, metric, mask, ..] = columns[..] else {
            return None;
        };
        let address = |hex| {
            Some(Ipv4Addr::from(
                u32::from_str_radix(hex, 16).ok()?.to_ne_bytes(),
            ))
        };
        Some(Route {
            interface: interface.to_owned(),
            to: address(to)?,
            mask: address(mask)?,
            by: address(by)?,
            metric: metric.parse().ok()?,
        })
    };
    text.lines().skip(1).filter_map(route).take(MOST).collect()
}

fn disk(state: &Path) -> Option<Disk> {
    // Before the first start it is the folder above that counts.
    let there = state.ancestors().find(|path| path.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let there = there.canonicalize().unwrap_or_else(|_| there.to_owned());
    Some(Disk {
        total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        free_inodes: stat.f_favail,
        file_system: file_system(&mounts, &there),
        read_only: stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

/// The type of the file system that a path is on: of the mounts above it the innermost, of those the last.
fn file_system(mounts: &str, path: &Path) -> Option<String> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut columns = line.split(' ').skip(1);
        let (place, kind) = (Path::new(columns.next()?), columns.next()?);
        path.starts_with(place)
            .then(|| (place.components().count(), kind))
    });
    mounted
        .max_by_key(|(depth, _)| *depth)
        .map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_as_the_kernel_writes_them() {
        let text = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\neth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\neth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\nshort\n";
        let [default, own] = &routes(text)[..] else {
            panic!("two routes");
        };
        assert_eq!(
            (default.by, default.metric),
            (Ipv4Addr::new(10, 0, 0, 1), 100)
        );
        assert_eq!(
            (own.to, own.mask),
            (Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(255, 255, 255, 0))
        );
    }

    #[test]
    fn a_folder_is_on_the_innermost_mount() {
        let mounts = "/dev/sda1 / ext4 rw 0 0\ntmpfs /var/lib tmpfs rw 0 0\n/dev/sdb1 /var/library xfs rw 0 0\n";
        let kind = |path| file_system(mounts, Path::new(path));
        assert_eq!(kind("/var/lib/enforcer").as_deref(), Some("tmpfs"));
        assert_eq!(kind("/srv").as_deref(), Some("ext4"));
    }

    #[test]
    fn this_host_tells_what_every_host_has() {
        let told = host(Path::new("/nonexistent/enforcer"), Timestamp::UNIX_EPOCH);
        assert!(told.kernel.is_some() && told.memory.total_kib.is_some() && told.disk.is_some());
        assert!(told.interfaces.iter().any(|i| i.name == "lo"), "{told:?}");
    }
}
