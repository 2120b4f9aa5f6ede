//! The load on the wire, made by `lab-load` in the client's namespace; the words on its command line and the JSON of its answer.

use super::Bench;
use crate::lab::output;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{env, path::PathBuf, time::Duration};

/// How clients come.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// So many a second, whatever the server does.
    PerSecond(u32),
    /// So many at a time; the next comes when one is done.
    AtOnce(u32),
}

/// What a DHCP client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dhcp {
    /// A PXE ROM's DISCOVER and its OFFER.
    Discover,
    /// DISCOVER, OFFER, REQUEST, ACK of an ordinary client.
    Lease,
}

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Half were quicker.
    pub p50: f64,
    /// One of a hundred was slower.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

impl Spread {
    /// Of these times.
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let ms = |part: f64| {
            let index = (times.len() as f64 * part) as usize;
            times
                .get(index.min(times.len().saturating_sub(1)))
                .map_or(0.0, |t| t.as_secs_f64() * 1e3)
        };
        Self {
            count: times.len(),
            p50: ms(0.5),
            p99: ms(0.99),
            max: ms(1.0),
        }
    }
}

/// What came of a DHCP run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Answered {
    /// Clients that came.
    pub clients: usize,
    /// From the first DISCOVER to the last answer, seconds.
    pub seconds: f64,
    /// DISCOVER to OFFER.
    pub offer: Spread,
    /// REQUEST to ACK.
    pub ack: Spread,
}

/// What came of downloads.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Fetched {
    /// Bytes of all bodies.
    pub bytes: u64,
    /// From the first request to the last byte, seconds.
    pub seconds: f64,
}

/// `clients` stations ask by DHCP, each once.
///
/// # Errors
/// When the load cannot run.
pub fn dhcp(
    bench: &Bench,
    story: Dhcp,
    clients: usize,
    stations: usize,
    pace: Pace,
) -> Result<Answered> {
    let story = match story {
        Dhcp::Discover => "discover",
        Dhcp::Lease => "lease",
    };
    let (how, number) = match pace {
        Pace::PerSecond(rate) => ("per-second", rate),
        Pace::AtOnce(window) => ("at-once", window),
    };
    run(
        bench,
        &[
            story,
            &clients.to_string(),
            &stations.to_string(),
            how,
            &number.to_string(),
        ],
    )
}

/// `count` downloads of a URL (`http://10.77.0.1:PORT/PATH`), `at_once` in parallel.
///
/// # Errors
/// When one fails.
pub fn fetch(bench: &Bench, url: &str, count: usize, at_once: usize) -> Result<Fetched> {
    run(
        bench,
        &["fetch", url, &count.to_string(), &at_once.to_string()],
    )
}

fn run<T: for<'a> Deserialize<'a>>(bench: &Bench, args: &[&str]) -> Result<T> {
    let mut command = bench.client.command(load_program("lab-load")?);
    command.args(args);
    let said = output(command)?;
    serde_json::from_str(&said).with_context(|| format!("lab-load said {said:?}"))
}

/// A load program, beside the running bench: `target/release/NAME`.
///
/// # Errors
/// When it is not built.
pub fn load_program(name: &str) -> Result<PathBuf> {
    let bench = env::current_exe()?;
    let mut folders = bench.ancestors().skip(1).map(|folder| folder.join(name));
    folders
        .find(|path| path.is_file())
        .with_context(|| format!("{name} is not built: `cargo build -p enforcer-tests`"))
}
