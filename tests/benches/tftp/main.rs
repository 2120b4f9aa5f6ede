//! TFTP beside its peers, on loopback, in one run: `cargo bench -p enforcer-tests --bench tftp`.
//!
//! Prints a table for `docs/BENCHMARKS.md`. Servers are separate processes; rounds alternate between them, so that a busy
//! host harms all alike, and medians are compared. Fails when one of DESIGN's figures is missed.

mod client;
mod servers;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};

use client::{Ask, fetch};
use enforcer_tests::bench::Cage;
use servers::{Kind, Server};

/// One long file: below 65,536 blocks of 1468 bytes, so that no server has to wrap its numbers.
const BIG: usize = 16 << 20;
/// What a machine loads: an iPXE is a quarter of this.
const SMALL: usize = 1 << 20;
/// Many short rounds rather than few long ones: they alternate, so that what else the host does meets all alike.
const ROUNDS: usize = 25;
const CLIENTS: usize = 200;
const SILENT_REQUESTS: usize = 3000;
/// RSS growth allowed under the flood, in KiB.
const GROWTH_MAX_KIB: u64 = 32 << 10;

fn main() -> anyhow::Result<()> {
    if servers::is_peer_process() {
        return servers::serve_async_tftp();
    }
    let folder = tempfile::tempdir().context("a folder to serve")?;
    let byte = |i: usize| (i.wrapping_mul(2_654_435_761) >> 13) as u8;
    fs::write(
        folder.path().join("big"),
        (0..BIG).map(byte).collect::<Vec<_>>(),
    )?;
    fs::write(
        folder.path().join("small"),
        (0..SMALL).map(byte).collect::<Vec<_>>(),
    )?;

    println!(
        "| measured | limits | server | median | range | ratio of ours |\n|---|---|---|---:|---|---:|"
    );
    let lockstep = [Kind::Ours, Kind::TftpdHpa, Kind::AsyncTftp];
    let windows = [Kind::Ours, Kind::Atftpd, Kind::AsyncTftp];
    let mut met = true;
    for cage in [None, Some(Cage::new()?)] {
        for (load, windowsize, kinds) in [
            (&LONG, 1, &lockstep),
            (&PROGRAM, 1, &lockstep),
            (&LONG, 16, &windows),
        ] {
            met &= compare(folder.path(), load, windowsize, kinds, cage.as_ref())?;
        }
    }
    met &= crowd(folder.path())?;
    ensure!(met, "a figure is missed, see the table");
    Ok(())
}

/// What one client fetches in a round.
struct Load {
    what: &'static str,
    name: &'static str,
    len: usize,
    times: usize,
}

const LONG: Load = Load {
    what: "one file of 16 MiB from the disk",
    name: "big",
    len: BIG,
    times: 1,
};
/// As the controller serves its boot programs.
const PROGRAM: Load = Load {
    what: "a boot program of 1 MiB, 16 times",
    name: "small",
    len: SMALL,
    times: 16,
};

/// One client; true when ours is as fast as the second kind, or faster.
fn compare(
    folder: &std::path::Path,
    load: &Load,
    windowsize: u16,
    kinds: &[Kind],
    cage: Option<&Cage>,
) -> anyhow::Result<bool> {
    let servers: Vec<Server> = kinds
        .iter()
        .map(|kind| Server::start(*kind, folder))
        .collect::<Result<_, _>>()?;
    for server in &servers {
        cage.map(|cage| cage.hold(server.pid())).transpose()?;
    }
    let limits = if cage.is_some() {
        "1 core, 256 MiB"
    } else {
        "free"
    };
    let mut rates = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUNDS {
        for (server, rates) in servers.iter().zip(&mut rates) {
            rates.push(round(server, load, windowsize)?);
        }
    }
    for rates in &mut rates {
        rates.sort_by(f64::total_cmp);
    }
    let ours = rates[0][ROUNDS / 2];
    for (kind, rates) in kinds.iter().zip(&rates) {
        let (low, median, high) = (rates[0], rates[ROUNDS / 2], rates[ROUNDS - 1]);
        println!(
            "| {}, windowsize {windowsize} | {limits} | {} | {median:.0} MB/s | {low:.0}–{high:.0} | {:.2} |",
            load.what,
            kind.name(),
            ours / median
        );
    }
    Ok(ours >= rates[1][ROUNDS / 2])
}

/// MB/s of one round.
fn round(server: &Server, load: &Load, windowsize: u16) -> anyhow::Result<f64> {
    let ask = Ask {
        name: load.name,
        windowsize,
    };
    let began = Instant::now();
    for _ in 0..load.times {
        let len = fetch(server.addr, Ipv4Addr::LOCALHOST, &ask, load.len)?;
        ensure!(len == load.len, "{:?} sent {len} bytes", server.kind);
    }
    let sent = (load.len * load.times) as f64;
    Ok(sent / 1e6 / began.elapsed().as_secs_f64())
}

/// 200 clients at once, each from its own address, beside requests that nobody will ever answer.
fn crowd(folder: &std::path::Path) -> anyhow::Result<bool> {
    let server = Server::start(Kind::Ours, folder)?;
    let ask = Ask {
        name: "small",
        windowsize: 4,
    };
    fetch(server.addr, Ipv4Addr::LOCALHOST, &ask, SMALL)?;
    let before = server.rss_kib()?;
    let (finished, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let most = thread::scope(|scope| {
        let watch = scope.spawn(|| watch_rss(&server, &over));
        let flood = scope.spawn(|| silent_requests(server.addr));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let from = Ipv4Addr::new(127, 2, (n / 250) as u8, (n % 250 + 1) as u8);
                let (ask, finished, addr) = (&ask, &finished, server.addr);
                scope.spawn(move || match fetch(addr, from, ask, SMALL) {
                    Ok(SMALL) => drop(finished.fetch_add(1, Ordering::Relaxed)),
                    Ok(len) => eprintln!("{from}: {len} bytes"),
                    Err(error) => eprintln!("{from}: {error}"),
                })
            })
            .collect();
        for thread in clients {
            thread.join().expect("a client does not panic");
        }
        let flooded = flood.join().expect("the flood does not panic");
        over.store(true, Ordering::Relaxed);
        flooded?;
        watch.join().expect("the watch does not panic")
    })?;
    let (finished, took) = (finished.into_inner(), began.elapsed().as_secs_f64());
    let growth = most.saturating_sub(before);
    println!(
        "| {CLIENTS} clients × 1 MiB (windowsize 4) beside {SILENT_REQUESTS} silent requests | free | ours | {finished} finished in {took:.1} s | RSS {before} → {most} KiB | |"
    );
    Ok(finished == CLIENTS && growth < GROWTH_MAX_KIB)
}

/// The largest RSS seen until it is over, in KiB.
fn watch_rss(server: &Server, over: &AtomicBool) -> anyhow::Result<u64> {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(server.rss_kib()?);
        thread::sleep(Duration::from_millis(20));
    }
    Ok(most)
}

/// From 200 addresses, each request from a port of its own.
fn silent_requests(server: SocketAddr) -> anyhow::Result<()> {
    for n in 0..SILENT_REQUESTS {
        let from = Ipv4Addr::new(127, 3, 0, (n % 200) as u8 + 1);
        let socket = UdpSocket::bind((from, 0))?;
        socket.send_to(b"\0\x01small\0octet\0tsize\x000\0blksize\x001468\0", server)?;
        if n % 100 == 0 {
            thread::sleep(Duration::from_millis(5)); // spread over the time the honest ones need
        }
    }
    Ok(())
}
