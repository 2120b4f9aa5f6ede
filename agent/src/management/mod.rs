//! The one program of the management OS, started by its `/init`: shows what happens on every console, waits for the
//! address and the disks, prints one `ENFORCER READY {facts}` line, then idles and gives the machine back by a reboot.
//! `/init` loads drivers and runs the DHCP client; the two meet in the files below [`RUN`].

mod console;
mod lease;
mod status;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use mesh_proto::facts::HardwareFacts;

use crate::cmdline::{self, BootWords, Idle};
use crate::facts;
use console::Consoles;
use lease::Lease;

/// Where `/init` leaves the leases and the sign that every driver is loaded.
const RUN: &str = "/run/enforcer";

/// Made by the builder: without it this is an installed system, which we must never reboot.
const MARKER: &str = "/etc/enforcer-management-os";

/// Short enough not to be felt, long enough to leave an emulated CPU alone.
const POLL: Duration = Duration::from_millis(20);

/// Drivers of slow buses may take long; after this we report what is there.
const COLDPLUG_LIMIT: Duration = Duration::from_secs(30);

/// An NVMe controller shows its namespaces within a second; one without any must not hold us up.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// Runs until the machine is given back; returns only when it cannot do its work here.
///
/// # Errors
/// When this is not the management OS, or the reboot is refused.
pub fn run() -> io::Result<()> {
    if !Path::new(MARKER).exists() {
        let text = format!(
            "`management` reboots the machine it runs on, and this is not the management OS ({MARKER} is missing)"
        );
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    let started = Instant::now();
    let words = cmdline::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let mut consoles = Consoles::open();
    consoles.lines(&status::opening(&words));
    let Some(lease) = wait_for_lease(&words, started, &mut consoles) else {
        consoles.line("no address in all this time: giving the machine back to its disk");
        return reboot();
    };
    wait_for_disks();
    let facts = facts::gather(Path::new("/"));
    announce(&facts, &lease, &words, &mut consoles);
    idle(words.idle, started);
    consoles.line("nothing to do in all this time: giving the machine back to its disk");
    reboot()
}

fn announce(facts: &HardwareFacts, lease: &Lease, words: &BootWords, consoles: &mut Consoles) {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime = uptime.split(' ').next().unwrap_or_default();
    consoles.lines(&status::ready(facts, lease, words, uptime));
    match serde_json::to_string(&facts.identity_part()) {
        Ok(json) => consoles.bare(&format!("ENFORCER READY {json}")),
        Err(error) => consoles.line(&format!("the facts cannot be written as JSON: {error}")),
    }
}

/// The first lease of any card, or `None` when the idle time is over before one came.
fn wait_for_lease(words: &BootWords, started: Instant, consoles: &mut Consoles) -> Option<Lease> {
    let mut told = 0;
    loop {
        if let Some(lease) = lease::first(&PathBuf::from(RUN)) {
            return Some(lease);
        }
        let waited = started.elapsed();
        if matches!(words.idle, Idle::After(limit) if waited >= limit) {
            return None;
        }
        if status::complaints_due(waited) > told {
            told += 1;
            consoles.lines(&status::no_lease(
                waited,
                &facts::gather(Path::new("/")).nics,
                words,
            ));
        }
        thread::sleep(POLL);
    }
}

fn wait_for_disks() {
    let done = Path::new(RUN).join("coldplug-done");
    wait_until(COLDPLUG_LIMIT, || done.exists());
    wait_until(SETTLE_LIMIT, || facts::disks_are_settled(Path::new("/")));
}

fn wait_until(limit: Duration, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() && started.elapsed() < limit {
        thread::sleep(POLL);
    }
}

fn idle(idle: Idle, started: Instant) {
    match idle {
        Idle::After(limit) => thread::sleep(limit.saturating_sub(started.elapsed())),
        Idle::Forever => loop {
            thread::sleep(Duration::from_secs(3600));
        },
    }
}

fn reboot() -> io::Result<()> {
    rustix::fs::sync();
    rustix::system::reboot(rustix::system::RebootCommand::Restart)?;
    Ok(())
}
