//! The one program of the management OS, started by its `/init`: shows what happens on every console, waits for the
//! address and the disks, prints one `ENFORCER READY {facts}` line, joins the mesh, and gives the machine back by a
//! reboot when nobody wants anything of it. `/init` loads drivers and runs the DHCP client; the two meet in the files
//! below [`RUN`].

mod console;
mod jobs;
mod lease;
mod member;
mod screen;
mod status;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh_proto::facts::HardwareFacts;
use mesh_proto::message::link::Habitat;
use tokio::time::{Instant, sleep};

use crate::cmdline::{self, BootWords, Idle};
use crate::effects::{Effects, Machine};
use crate::facts;
use crate::journal::{self, Journal};
use crate::mesh::Power;
use console::Consoles;
use lease::Lease;

/// Where `/init` leaves the leases and the sign that every driver is loaded, and we what outlives this process: in memory.
const RUN: &str = "/run/enforcer";

/// Made by the builder: without it this is an installed system, which we must never reboot.
const MARKER: &str = "/etc/enforcer-management-os";

/// Short enough not to be felt, long enough to leave an emulated CPU alone.
const POLL: Duration = Duration::from_millis(20);

/// Drivers of slow buses may take long; after this we report what is there.
const COLDPLUG_LIMIT: Duration = Duration::from_secs(30);

/// An NVMe controller shows its namespaces within a second; one without any must not hold us up.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// A console gets so much time for what was said last.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let machine = Arc::new(Machine::new(Habitat::ManagementOs));
    match runtime.block_on(story(&machine)) {
        Power::Restart => machine.restart(),
        // The disk is written: a kernel that is not there any more is no reason to stay.
        Power::Kernel => machine.start_kernel().or_else(|_| machine.restart()),
        Power::Off => machine.power_off(),
    }
}

/// From the first line on the screen to the word on how to go down.
async fn story(machine: &Arc<Machine>) -> Power {
    let started = Instant::now();
    let words = cmdline::parse(&std::fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let consoles = Consoles::open();
    let journal = open_journal(&consoles);
    let kernel = tokio::spawn(journal::kernel::follow(journal.clone()));
    for line in status::opening(&words) {
        journal.say(&line);
    }
    let power = match wait_for_lease(&words, started, &journal).await {
        Some(lease) => {
            wait_for_disks().await;
            let facts = facts::gather(Path::new("/"));
            announce(&facts, &lease, &words, &consoles);
            member::stay(machine, &words, &lease, facts, &consoles, &journal).await
        }
        None => {
            journal.say("no address in all this time: giving the machine back to its disk");
            Power::Restart
        }
    };
    kernel.abort();
    consoles.flush(LAST_WORDS);
    power
}

/// The first agent of a boot numbers its lines from zero; one that was started again goes on where no line was yet.
fn open_journal(consoles: &Consoles) -> Journal {
    let sign = Path::new(RUN).join("agent-started");
    let first = if sign.exists() {
        journal::uptime_ms()
    } else {
        0
    };
    let _ = std::fs::write(sign, "");
    let consoles = consoles.clone();
    Journal::new(first, move |line| consoles.line(line))
}

fn announce(facts: &HardwareFacts, lease: &Lease, words: &BootWords, consoles: &Consoles) {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime = uptime.split(' ').next().unwrap_or_default();
    consoles.lines(&status::ready(facts, lease, words, uptime));
    match serde_json::to_string(&facts.identity_part()) {
        Ok(json) => consoles.bare(&format!("ENFORCER READY {json}")),
        Err(error) => consoles.line(&format!("the facts cannot be written as JSON: {error}")),
    }
}

/// The first lease of any card, or `None` when the idle time is over before one came.
async fn wait_for_lease(words: &BootWords, started: Instant, journal: &Journal) -> Option<Lease> {
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
            let nics = facts::gather(Path::new("/")).nics;
            for line in status::no_lease(waited, &nics, words) {
                journal.say(&line);
            }
        }
        sleep(POLL).await;
    }
}

async fn wait_for_disks() {
    let done = Path::new(RUN).join("coldplug-done");
    wait_until(COLDPLUG_LIMIT, || done.exists()).await;
    wait_until(SETTLE_LIMIT, || facts::disks_are_settled(Path::new("/"))).await;
}

async fn wait_until(limit: Duration, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() && started.elapsed() < limit {
        sleep(POLL).await;
    }
}
