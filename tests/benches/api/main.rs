//! The API's lists while people watch: `cargo bench -p enforcer-tests --bench api`.
//!
//! 200 watchers hold live streams of events, and machines are changed all the time, so that each stream has something to carry.
//! Meanwhile one client lists all 1,000 machines, a connection per request as the command line has it.

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    bench::{Bench, Fleet, Spread, Table, fleet_mac},
    lab::{Controller, ControllerPlan, Usage},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const MACHINES: usize = 1000;
const WATCHERS: usize = 200;
/// Lists measured: the hundredth part of them is slower than the figure.
const LISTS: usize = 500;
/// Between two changes: each is an event for every watcher.
const CHANGE_EVERY: Duration = Duration::from_millis(50);
/// How long a stream may be silent at its end.
const QUIET: Duration = Duration::from_secs(5);
const FIGURE_MS: f64 = 100.0;

fn main() -> Result<()> {
    let mut table = Table::new("The API's lists");
    let bench = Bench::new("api", false)?;
    let controller = ControllerPlan::new()
        .flags(&["--dhcp", "off"])
        .start(&bench.space)?;
    let fleet = Fleet::register(&controller, MACHINES)?;
    ensure!(fleet.count == MACHINES, "{} machines", fleet.count);
    let alone = listed(&controller)?;
    table.note(
        "1,000 machines listed, nobody watches",
        bench.limits(),
        &said(alone),
        "",
    );
    let watchers = Watchers::start(&controller)?;
    let changing = Changing::start(&controller);
    let before = Usage::of(controller.pid()?)?;
    let began = Instant::now();
    let watched = listed(&controller)?;
    let share = (Usage::of(controller.pid()?)?.cpu - before.cpu).as_secs_f64()
        / began.elapsed().as_secs_f64();
    let changes = changing.end()?;
    let seen = watchers.end()?;
    ensure!(changes > 0, "nothing was changed meanwhile");
    ensure!(
        seen.iter().all(|count| *count == changes),
        "{changes} events, and watchers saw {:?} to {:?}",
        seen.iter().min(),
        seen.iter().max()
    );
    table.judge(
        "1,000 machines listed, 200 watch",
        bench.limits(),
        &format!(
            "{}; {changes} events to each of {WATCHERS}, {:.0} % of a core",
            said(watched),
            share * 100.0
        ),
        "",
        ("p99 < 100 ms", watched.p99 < FIGURE_MS),
    );
    table.end()
}

fn said(spread: Spread) -> String {
    let Spread { p50, p99, max, .. } = spread;
    format!("p50 {p50:.1} ms, p99 {p99:.1} ms, slowest {max:.1} ms")
}

fn listed(controller: &Controller) -> Result<Spread> {
    let mut times = Vec::with_capacity(LISTS);
    for _ in 0..LISTS {
        let began = Instant::now();
        let (status, body) = controller.api("GET", "/api/v1/machines", "")?;
        times.push(began.elapsed());
        ensure!(status == 200, "{status}: {body}");
    }
    // Once: that what was measured is what was asked for.
    ensure!(
        controller.list("machines")?.len() == MACHINES,
        "not all of them"
    );
    Ok(Spread::of(times))
}

/// People in front of live views.
struct Watchers(Vec<JoinHandle<Result<usize>>>, Arc<AtomicBool>);

impl Watchers {
    /// All are connected, and stand at the newest event, when this returns.
    fn start(controller: &Controller) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let watcher = |_| {
            let mut lines = stream(controller)?;
            let over = Arc::clone(&over);
            Ok(thread::spawn(move || count(&mut lines, &over)))
        };
        let watchers: Result<_> = (0..WATCHERS).map(watcher).collect();
        Ok(Self(watchers?, over))
    }

    /// How many events each saw.
    fn end(self) -> Result<Vec<usize>> {
        self.1.store(true, Ordering::Relaxed);
        let joined = self.0.into_iter().map(JoinHandle::join);
        joined
            .map(|seen| seen.ok().context("a watcher failed")?)
            .collect()
    }
}

/// A live view that has begun.
fn stream(controller: &Controller) -> Result<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(controller.api_socket())?;
    stream.set_read_timeout(Some(QUIET))?;
    stream.write_all(b"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with(": live") && !line.starts_with(":live") {
        line.clear();
        ensure!(lines.read_line(&mut line)? > 0, "the stream ended");
    }
    Ok(lines)
}

/// What each change is told by; whatever else happens meanwhile is not counted.
const CHANGED: &str = "\"machine.changed\"";

/// Counts changes until all is over and nothing more comes.
fn count(lines: &mut impl BufRead, over: &AtomicBool) -> Result<usize> {
    let (mut seen, mut line) = (0, Vec::new());
    loop {
        line.clear();
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(seen),
            Ok(_) => {
                let told = line.starts_with(b"data:");
                seen += usize::from(told && String::from_utf8_lossy(&line).contains(CHANGED));
            }
            Err(_) if over.load(Ordering::Relaxed) => return Ok(seen),
            Err(_) => {}
        }
    }
}

/// Somebody changes machines, one after the other.
struct Changing(JoinHandle<Result<()>>, Arc<AtomicBool>, Arc<AtomicUsize>);

impl Changing {
    fn start(controller: &Controller) -> Self {
        let (over, changes) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let socket = controller.api_socket();
        let (ends, counts) = (Arc::clone(&over), Arc::clone(&changes));
        let work = move || {
            while !ends.load(Ordering::Relaxed) {
                let number = counts.load(Ordering::Relaxed);
                change(&mut UnixStream::connect(&socket)?, number)?;
                counts.fetch_add(1, Ordering::Relaxed);
                thread::sleep(CHANGE_EVERY);
            }
            Ok(())
        };
        Self(thread::spawn(work), over, changes)
    }

    /// How many changes there were.
    fn end(self) -> Result<usize> {
        self.1.store(true, Ordering::Relaxed);
        self.0.join().ok().context("the changes failed")??;
        Ok(self.2.load(Ordering::Relaxed))
    }
}

fn change(stream: &mut UnixStream, number: usize) -> Result<()> {
    let machine = fleet_mac(number % MACHINES);
    let body = Value::from_iter([("labels", Value::from_iter([("round", number.to_string())]))]);
    let body = body.to_string();
    let length = body.len();
    let request = format!(
        "PATCH /api/v1/machines/{machine} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes())?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    ensure!(status.contains(" 200 "), "{status}");
    Ok(())
}
