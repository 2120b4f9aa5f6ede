//! DHCP beside its peers on one wire: `cargo bench -p enforcer-tests --bench dhcp`, or a part of it: `-- proxy`, `-- leases`.
//!
//! Proxy mode beside dnsmasq's proxy; server mode with durable leases beside dnsmasq and Kea. The servers run alternately in
//! the same place, first as they are, then with one core and 256 MiB. Ours keeps its default limits.

mod disk;
mod pace;
mod peers;

use anyhow::Result;
use disk::{fsyncs, ideal_log};
use enforcer_tests::{
    bench::{Answered, Bench, Dhcp, Fleet, Pace, Parts, Spread, Table, dhcp, ratio},
    lab::{Controller, ControllerPlan},
};
use pace::{LEASES, LEASES_PER_SECOND, Paced, at_pace, undisturbed};
use peers::Peer;
use std::{fs, os::unix::fs::symlink};

/// A room full of machines, and the time in which they come (DESIGN §9).
const MACHINES: usize = 1000;
const MACHINES_PER_SECOND: u32 = 100;
/// A burst: each station asks this often, below the 20 a second that one station may.
const BURST: usize = 10_000;
/// Handshakes in flight: a commit holds up to 256.
const IN_FLIGHT: [u32; 2] = [32, 128];
/// Clients of a run that is as quick as it can be: our quota remembers 8,192 stations a second and lets newer ones wait for
/// the next second, which would be measured instead of the leases.
const QUICK_LEASES: usize = 8000;
/// Runs of each server; they alternate, and the middle one of each counts.
const ROUNDS: usize = 3;
/// Bursts are short: more of them.
const BURST_ROUNDS: usize = 7;
/// An ACK within this many ms (DESIGN §9), when the state is in memory.
const ACK_MS: f64 = 5.0;
/// On a disk it may wait for this many fsyncs more: the one that runs when it is asked for, and its own.
const FSYNCS: f64 = 2.0;
/// A folder in memory.
const MEMORY: &str = "/dev/shm";
const KEA_LEASES: usize = 4000;
/// dnsmasq writes its whole file after each change: a few, so that a run ends.
const DNSMASQ_LEASES: usize = 400;

const SUBNET: &str =
    "[[dhcp.subnet]]\nnetwork = \"10.77.0.0/16\"\npool = \"10.77.16.0-10.77.255.250\"\n";

type Part = fn(&mut Table, bool) -> Result<()>;

/// All parts, in the order of the table.
const PARTS: [(&str, Part); 2] = [("proxy", proxy), ("leases", leases)];

fn main() -> Result<()> {
    let parts = Parts::named(&PARTS.map(|(part, _)| part))?;
    let mut table = Table::new("DHCP");
    for (_, part) in PARTS.iter().filter(|(name, _)| parts.wants(name)) {
        for caged in [false, true] {
            part(&mut table, caged)?;
        }
    }
    table.end()
}

fn rate(run: &Answered) -> f64 {
    let answered = run.ack.count.max(run.offer.count);
    answered as f64 / run.seconds.max(1e-9)
}

fn proxy(table: &mut Table, caged: bool) -> Result<()> {
    let bench = Bench::new("dhcp-proxy", caged)?;
    let (mut room, mut bursts) = (None, Vec::new());
    let mut theirs = Vec::new();
    for round in 0..BURST_ROUNDS {
        let mut controller = bench.within(|| ControllerPlan::new().start(&bench.space))?;
        if round == 0 {
            Fleet::register(&controller, MACHINES)?;
            room = Some(dhcp(
                &bench,
                Dhcp::Discover,
                MACHINES,
                MACHINES,
                Pace::PerSecond(MACHINES_PER_SECOND),
            )?);
        }
        bursts.push(dhcp(
            &bench,
            Dhcp::Discover,
            BURST,
            MACHINES,
            Pace::AtOnce(64),
        )?);
        controller.stop()?;
        let peer = Peer::dnsmasq_proxy(&bench)?;
        theirs.push(dhcp(
            &bench,
            Dhcp::Discover,
            BURST,
            MACHINES,
            Pace::AtOnce(64),
        )?);
        drop(peer);
    }
    let room = room.expect("measured in the first round");
    let limits = bench.limits();
    let met = room.offer.count == MACHINES && room.offer.p99 < 100.0;
    table.judge(
        "proxy: 1,000 machines in 10 s",
        limits,
        &format!(
            "{} answered, p50 {:.2} ms, p99 {:.2} ms, max {:.1} ms",
            room.offer.count, room.offer.p50, room.offer.p99, room.offer.max
        ),
        "",
        ("all, p99 < 100 ms", met),
    );
    let (a, b) = (middle(&bursts), middle(&theirs));
    table.judge(
        "proxy: DISCOVER burst, 64 in flight",
        limits,
        &said(&a),
        &format!(
            "dnsmasq proxy: {} (ratio {})",
            said(&b),
            ratio(rate(&a), rate(&b))
        ),
        ("≥ dnsmasq's", rate(&a) >= rate(&b)),
    );
    Ok(())
}

fn leases(table: &mut Table, caged: bool) -> Result<()> {
    let bench = Bench::new("dhcp-server", caged)?;
    // A wire for 60,000 stations.
    bench.space.run("ip", &["addr", "flush", "dev", "br0"])?;
    let wide = [
        "addr",
        "add",
        "10.77.0.1/16",
        "brd",
        "10.77.255.255",
        "dev",
        "br0",
    ];
    bench.space.run("ip", &wide)?;
    let Leases {
        closed,
        paced,
        in_memory,
        disk,
    } = our_leases(&bench)?;
    let limits = bench.limits();
    let (kea, dnsmasq) = (
        lease_peer(&bench, Peer::kea, KEA_LEASES)?,
        lease_peer(&bench, Peer::dnsmasq_server, DNSMASQ_LEASES)?,
    );
    let [few, many] = closed;
    let what = |window| format!("server: new durable leases, {window} in flight");
    let beside = |name: &str, peer: &Answered| {
        format!(
            "{name}: {} (ratio {})",
            said(peer),
            ratio(rate(&few), rate(peer))
        )
    };
    table.note(
        &what(IN_FLIGHT[0]),
        limits,
        &said(&few),
        &format!(
            "{}; {}",
            beside("Kea (memfile, no fsync)", &kea),
            beside("dnsmasq", &dnsmasq)
        ),
    );
    table.judge(
        &what(IN_FLIGHT[1]),
        limits,
        &said(&many),
        "",
        ("≥ 5,000/s", rate(&many) >= 5000.0),
    );
    judge_pace(table, limits, &paced, &in_memory, &disk);
    Ok(())
}

/// At the fixed pace, beside what the disk takes by itself.
fn judge_pace(table: &mut Table, limits: &str, paced: &Paced, in_memory: &Paced, disk: &Disk) {
    table.note(
        "one fsync of 4 KiB after the other, by the bench itself, before each run at the fixed pace",
        limits,
        "",
        &spread(&disk.syncs),
    );
    table.note(
        "an ideal log of the bench itself at the same pace: all that came meanwhile share one fsync of 4 KiB",
        limits,
        "",
        &spread(&disk.log),
    );
    let floor = FSYNCS * disk.syncs.p99;
    let on_disk = format!(
        "all, ACK p99 < 5 ms + 2 fsyncs' p99 = {:.1} ms",
        ACK_MS + floor
    );
    for (place, paced, figure, most) in [
        ("in memory", in_memory, "all, ACK p99 < 5 ms", ACK_MS),
        ("on the disk", paced, on_disk.as_str(), ACK_MS + floor),
    ] {
        let run = &paced.run;
        let all = run.ack.count == run.clients;
        table.judge(
            &format!("server: 5,000 new leases/s for 4 s, whatever happens, state {place}"),
            limits,
            &format!(
                "{} of {} acknowledged, {:.0}/s; {}; {:.0} µs of processor each; the host took {:.1} % meanwhile",
                run.ack.count,
                run.clients,
                rate(run),
                times(run),
                paced.each_us,
                paced.stolen * 1e2
            ),
            "",
            (figure, all && run.ack.p99 < most),
        );
    }
}

/// The middle runs.
struct Leases {
    /// With each number in flight.
    closed: [Answered; 2],
    /// At the fixed pace, the state on the disk.
    paced: Paced,
    /// The same with the state in memory.
    in_memory: Paced,
    disk: Disk,
}

/// What the disk alone takes.
struct Disk {
    /// For one fsync.
    syncs: Spread,
    /// At the same pace, the middle run.
    log: Spread,
}

fn our_leases(bench: &Bench) -> Result<Leases> {
    let (mut closed, mut syncs) = ([const { Vec::new() }; 2], Vec::new());
    let mut logs = Vec::new();
    let (mut paced, mut in_memory) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        for (n, window) in IN_FLIGHT.into_iter().enumerate() {
            let _server = server(bench, &format!("leases{round}-{n}"))?;
            let pace = Pace::AtOnce(window);
            closed[n].push(dhcp(bench, Dhcp::Lease, QUICK_LEASES, QUICK_LEASES, pace)?);
        }
        syncs.extend(fsyncs()?);
        logs.push(ideal_log(LEASES_PER_SECOND, LEASES)?);
        paced.push(undisturbed(|again| {
            at_pace(bench, &server(bench, &format!("paced{round}-{again}"))?)
        })?);
        in_memory.push(undisturbed(|again| {
            let name = format!("memory{round}-{again}");
            let _folder = state_in_memory(bench, &name)?;
            at_pace(bench, &server(bench, &name)?)
        })?);
    }
    Ok(Leases {
        closed: closed.map(|runs| middle(&runs)),
        paced: calm(paced, |paced| paced.run.ack.p99),
        in_memory: calm(in_memory, |paced| paced.run.ack.p99),
        disk: Disk {
            syncs: Spread::of(syncs),
            log: calm(logs, |log| log.p99),
        },
    })
}

/// The middle one by the time its answers took: at a fixed pace all runs are equally quick.
fn calm<T: Copy>(mut runs: Vec<T>, p99: impl Fn(&T) -> f64) -> T {
    runs.sort_by(|a, b| p99(a).total_cmp(&p99(b)));
    runs[runs.len() / 2]
}

/// Makes the state folder of the server `name` one in memory; it goes with what is returned.
fn state_in_memory(bench: &Bench, name: &str) -> Result<tempfile::TempDir> {
    let folder = bench.space.folder().file(name);
    fs::create_dir_all(&folder)?;
    let state = tempfile::tempdir_in(MEMORY)?;
    symlink(state.path(), folder.join("state"))?;
    Ok(state)
}

fn server(bench: &Bench, name: &str) -> Result<Controller> {
    let plan = ControllerPlan::new().name(name).config(SUBNET);
    bench.within(|| plan.flags(&["--dhcp", "server"]).start(&bench.space))
}

fn lease_peer(bench: &Bench, start: fn(&Bench) -> Result<Peer>, leases: usize) -> Result<Answered> {
    let mut runs = Vec::new();
    for _ in 0..ROUNDS {
        let _peer = start(bench)?;
        runs.push(dhcp(
            bench,
            Dhcp::Lease,
            leases,
            leases,
            Pace::AtOnce(IN_FLIGHT[0]),
        )?);
    }
    Ok(middle(&runs))
}

fn middle(runs: &[Answered]) -> Answered {
    let mut runs = runs.to_vec();
    runs.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
    runs[runs.len() / 2]
}

fn said(run: &Answered) -> String {
    let lost = run.clients - run.ack.count.max(run.offer.count);
    format!(
        "{:.0}/s, {}{}",
        rate(run),
        times(run),
        if lost > 0 {
            format!(", {lost} lost")
        } else {
            String::new()
        }
    )
}

fn spread(times: &Spread) -> String {
    format!("p50 {:.2} ms, p99 {:.2} ms", times.p50, times.p99)
}

fn times(run: &Answered) -> String {
    let offer = format!("OFFER p50 {:.2} p99 {:.2} ms", run.offer.p50, run.offer.p99);
    if run.ack.count == 0 {
        return offer;
    }
    format!(
        "{offer}, ACK p50 {:.2} p99 {:.2} ms",
        run.ack.p50, run.ack.p99
    )
}
