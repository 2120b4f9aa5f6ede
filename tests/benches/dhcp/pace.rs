//! Leases at a fixed pace, whatever happens: while the host of a virtual machine serves others, the tail tells of that host.

use std::{thread, time::Duration};

use anyhow::Result;
use enforcer_tests::{
    bench::{Answered, Bench, Dhcp, Pace, Stolen, dhcp},
    lab::{Controller, Usage},
};

/// Clients of a run, each a new station.
pub(crate) const LEASES: usize = 20_000;
pub(crate) const LEASES_PER_SECOND: u32 = 5000;
/// A run at the fixed pace from which the host took more than this share of the processors tells of the host: it is made
/// again, so often, and of those the calmest counts.
const STOLEN_MOST: f64 = 0.005;
const TRIES: usize = 8;
/// Before it is made again: hosts that share by what a guest has used lately give more after a rest.
const REST: Duration = Duration::from_secs(5);

/// A run at the fixed pace.
#[derive(Clone, Copy)]
pub(crate) struct Paced {
    pub(crate) run: Answered,
    /// What the server's processor worked for each lease (µs), with what the system did in its name.
    pub(crate) each_us: f64,
    /// The share of the processors that the host gave to others meanwhile.
    pub(crate) stolen: f64,
}

/// One run on a server that has lent nothing yet.
pub(crate) fn at_pace(bench: &Bench, server: &Controller) -> Result<Paced> {
    let pace = Pace::PerSecond(LEASES_PER_SECOND);
    let (before, host) = (Usage::of(server.pid()?)?, Stolen::now()?);
    let run = dhcp(bench, Dhcp::Lease, LEASES, LEASES, pace)?;
    let stolen = Stolen::now()?.since(host);
    let used = Usage::of(server.pid()?)?.cpu - before.cpu;
    let each_us = used.as_secs_f64() * 1e6 / LEASES as f64;
    Ok(Paced {
        run,
        each_us,
        stolen,
    })
}

/// A run that the host left alone, or the one of several that it disturbed least.
pub(crate) fn undisturbed(run: impl Fn(usize) -> Result<Paced>) -> Result<Paced> {
    let mut calmest = run(0)?;
    for again in 1..TRIES {
        if calmest.stolen <= STOLEN_MOST {
            break;
        }
        thread::sleep(REST);
        let next = run(again)?;
        if next.stolen < calmest.stolen {
            calmest = next;
        }
    }
    Ok(calmest)
}
