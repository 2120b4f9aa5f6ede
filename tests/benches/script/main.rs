//! Boot scripts beside nginx's static files: `cargo bench -p enforcer-tests --bench script`.
//!
//! wrk asks for each registered machine in turn, on connections that stay open; nginx has a file of the same name and size for
//! each. Idle machines are told to boot their disk; armed ones cost a durable claim per question, because each question is a
//! new session.

use anyhow::{Context, Result, ensure};
use enforcer_tests::{
    bench::{Bench, Fleet, Table, fleet_mac, ratio},
    lab::{Controller, ControllerPlan, Usage, need, output, peers::Nginx},
};
use std::fs;

/// Enough that nobody comes near the 50 questions a second that one machine may ask.
const IDLE: usize = 4000;
/// Each is asked for at most 20 sessions (the cap of sessions that fetch nothing) while it is measured.
const ARMED: usize = 3000;
const CONNECTIONS: u32 = 64;
const SECONDS: u32 = 4;
const ROUNDS: usize = 3;
const WEB_PORT: u16 = 8081;

/// What wrk measured.
#[derive(Debug, Clone, Copy)]
struct Asked {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    bad: u64,
}

fn main() -> Result<()> {
    need::programs(&["wrk"])?;
    let mut table = Table::new("Boot scripts");
    for caged in [false, true] {
        idle(&mut table, caged)?;
        armed(&mut table, caged)?;
    }
    table.end()
}

fn idle(table: &mut Table, caged: bool) -> Result<()> {
    let bench = Bench::new("script-idle", caged)?;
    let plan = ControllerPlan::new().flags(&["--dhcp", "off"]);
    let controller = bench.within(|| plan.start(&bench.space))?;
    let fleet = Fleet::register(&controller, IDLE)?;
    let script = bench
        .space
        .http_get(&format!("http://10.77.0.1:4880/boot/{}", fleet_mac(0)))?;
    ensure!(
        script.contains("boots its own disk"),
        "an idle machine is told {script}"
    );
    let web = bench.space.folder().file("web");
    fs::create_dir_all(web.join("boot"))?;
    for index in 0..fleet.count {
        fs::write(web.join("boot").join(fleet_mac(index)), &script)?;
    }
    let _nginx = bench.within(|| Nginx::start(bench.space.home(), WEB_PORT, &web))?;
    let (mut ours, mut theirs, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let before = Usage::of(controller.pid()?)?;
        ours.push(wrk(&bench, 4880, fleet)?);
        let used = Usage::of(controller.pid()?)?.cpu - before.cpu;
        cpu.push(used.as_secs_f64() / f64::from(SECONDS) / ours[ours.len() - 1].per_second * 1e6);
        theirs.push(wrk(&bench, WEB_PORT, fleet)?);
    }
    let (a, b) = (best(&ours), best(&theirs));
    ensure!(
        a.bad + b.bad == 0,
        "{} and {} requests were refused",
        a.bad,
        b.bad
    );
    let share = a.per_second / b.per_second;
    table.judge(
        &format!(
            "idle machine, {} bytes, {CONNECTIONS} connections",
            script.len()
        ),
        bench.limits(),
        &format!(
            "{}; {:.0} µs of processor each",
            said(&a),
            cpu.iter().copied().fold(f64::MAX, f64::min)
        ),
        &format!(
            "nginx: {} (ratio {})",
            said(&b),
            ratio(a.per_second, b.per_second)
        ),
        ("≥ 25 % of nginx", share >= 0.25),
    );
    Ok(())
}

fn armed(table: &mut Table, caged: bool) -> Result<()> {
    let mut runs = Vec::new();
    let bench = Bench::new("script-armed", caged)?;
    for round in 0..ROUNDS {
        // A new store: claims are used up.
        let plan = ControllerPlan::new().name(&format!("armed{round}"));
        let plan = plan.flags(&["--dhcp", "off"]);
        let mut controller = bench.within(|| plan.start(&bench.space))?;
        let fleet = arm(&controller)?;
        let run = wrk(&bench, 4880, fleet)?;
        ensure!(run.bad == 0, "{} requests were refused", run.bad);
        still_armed(&controller)?;
        controller.stop()?;
        runs.push(run);
    }
    // The calmest run counts: a disk that others made wait says nothing about us.
    runs.sort_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms));
    let run = runs[0];
    table.judge(
        &format!("armed machine (durable claim), {CONNECTIONS} connections"),
        bench.limits(),
        &said(&run),
        "",
        (
            "≥ 2,000/s, p99 < 50 ms",
            run.per_second >= 2000.0 && run.p99_ms < 50.0,
        ),
    );
    Ok(())
}

fn arm(controller: &Controller) -> Result<Fleet> {
    let fleet = Fleet::register(controller, ARMED)?;
    let config =
        r#"{"program":{"type":"ipxe","script":"echo armed\nexit\n"},"evidence":"callback"}"#;
    let (status, answer) = controller.api("PUT", "/api/v1/boot-configs/bench", config)?;
    ensure!((200..300).contains(&status), "{status}: {answer}");
    fleet.activate(controller, "bench")?;
    Ok(fleet)
}

/// Had an activation reached its cap, some answers would have cost no claim.
fn still_armed(controller: &Controller) -> Result<()> {
    let (_, events) = controller.api("GET", "/api/v1/events?limit=1000", "")?;
    ensure!(
        !events.contains("failed"),
        "activations reached their cap while measured: more machines are needed"
    );
    Ok(())
}

/// Each thread of wrk walks over its half of the machines, each time as a new session.
fn wrk(bench: &Bench, port: u16, fleet: Fleet) -> Result<Asked> {
    let script = bench.space.folder().file("wrk.lua");
    fs::write(&script, lua(fleet.count))?;
    let mut command = bench.client.command("wrk");
    command.args([
        "-t2",
        &format!("-c{CONNECTIONS}"),
        &format!("-d{SECONDS}s"),
        "--latency",
        "-s",
    ]);
    command.arg(script).arg(format!("http://10.77.0.1:{port}"));
    let said = output(command)?;
    parse(&said).with_context(|| format!("wrk said {said}"))
}

fn lua(machines: usize) -> String {
    format!(
        r#"
local threads = 0
function setup(thread) thread:set("first", threads) threads = threads + 1 end
function init(args) index = first session = first * 1000000 end
function request()
  index = index + 2
  if index >= {machines} then index = first end
  session = session + 1
  local mac = string.format("02:00:%02x:%02x:%02x:01", bit.rshift(index, 16), bit.band(bit.rshift(index, 8), 255), bit.band(index, 255))
  return wrk.format("GET", "/boot/" .. mac .. "?session=" .. session .. "&uuid=&serial=&arch=i386&platform=pcbios")
end
bit = require("bit")
function done(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  print(string.format("RESULT %f %f %f %d", summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000, bad))
end
"#
    )
}

fn parse(said: &str) -> Option<Asked> {
    let line = said.lines().find_map(|line| line.strip_prefix("RESULT "))?;
    let mut numbers = line.split(' ');
    Some(Asked {
        per_second: numbers.next()?.parse().ok()?,
        p50_ms: numbers.next()?.parse().ok()?,
        p99_ms: numbers.next()?.parse().ok()?,
        bad: numbers.next()?.parse().ok()?,
    })
}

fn best(runs: &[Asked]) -> Asked {
    let mut runs = runs.to_vec();
    runs.sort_by(|a, b| b.per_second.total_cmp(&a.per_second));
    runs[0]
}

fn said(run: &Asked) -> String {
    format!(
        "{:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
        run.per_second, run.p50_ms, run.p99_ms
    )
}
