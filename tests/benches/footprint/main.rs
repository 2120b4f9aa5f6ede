//! What the controller costs when nothing happens: `cargo bench -p enforcer-tests --bench footprint`.
//!
//! Measures the binary that `ENFORCER_BIN` names; tests/bench.sh builds the static one that is shipped.

use anyhow::{Context, Result};
use enforcer_tests::{
    bench::{Bench, Fleet, Table, fleet_mac},
    lab::{self, Controller, ControllerPlan, Usage},
};
use std::{fs, path::Path, time::Duration};

const MACHINES: usize = 1000;
/// As many as the record keeps.
const EVENTS: u64 = 20_000;
const STARTS: usize = 5;
const BINARY_MAX: u64 = 15_000_000;

fn main() -> Result<()> {
    let mut table = Table::new("Footprint of the controller");
    let bench = Bench::new("footprint", false)?;
    let controller = ControllerPlan::new()
        .flags(&["--dhcp", "server"])
        .config(SUBNET)
        .start(&bench.space)?;
    let first = controller.ready_in();
    memory(&mut table, "empty, idle", &controller, 20.0)?;
    starts(&mut table, "empty state", controller, first)?;
    let controller = ControllerPlan::new().name("full").start(&bench.space)?;
    fill(&bench, &controller)?;
    memory(
        &mut table,
        "1,000 machines, 20,000 events, just after they came",
        &controller,
        64.0,
    )?;
    starts(
        &mut table,
        "1,000 machines, 20,000 events",
        controller,
        Duration::ZERO,
    )?;
    binaries(&mut table)?;
    table.end()
}

const SUBNET: &str =
    "[[dhcp.subnet]]\nnetwork = \"10.77.0.0/24\"\npool = \"10.77.0.50-10.77.0.250\"\n";

fn memory(table: &mut Table, what: &str, controller: &Controller, limit: f64) -> Result<()> {
    let used = Usage::of(controller.pid()?)?;
    let mib = |kib: u64| kib as f64 / 1024.0;
    table.judge(
        &format!("RSS, {what}"),
        "free",
        &format!(
            "{:.1} MiB (most so far {:.1})",
            mib(used.rss_kib),
            mib(used.peak_rss_kib)
        ),
        "",
        (&format!("≤ {limit:.0} MiB"), mib(used.rss_kib) <= limit),
    );
    Ok(())
}

/// From exec to a 200 of `/healthz`; the loop that asks looks every 10 ms.
fn starts(
    table: &mut Table,
    what: &str,
    mut controller: Controller,
    first: Duration,
) -> Result<()> {
    let mut took = Vec::new();
    for _ in 0..STARTS {
        controller.restart()?;
        took.push(controller.ready_in());
    }
    took.sort();
    let median = took[STARTS / 2].as_secs_f64() * 1e3;
    let ever = if first.is_zero() {
        String::new()
    } else {
        format!(
            "; the very first {:.0} ms (copies and checks firmware)",
            first.as_secs_f64() * 1e3
        )
    };
    table.judge(
        &format!("ready after exec, {what}"),
        "free",
        &format!("median {median:.0} ms{ever}"),
        "",
        ("≤ 100 ms", median <= 100.0),
    );
    memory(
        table,
        &format!("{what}, after a restart"),
        &controller,
        if what.contains("machines") {
            64.0
        } else {
            20.0
        },
    )
}

/// Registers the machines and lets them ask for their scripts until the record of events is full.
fn fill(bench: &Bench, controller: &Controller) -> Result<()> {
    let fleet = Fleet::register(controller, MACHINES)?;
    let config = r#"{"program":{"type":"ipxe","script":"exit\n"},"evidence":"callback"}"#;
    controller.api("PUT", "/api/v1/boot-configs/bench", config)?;
    let script = bench.space.folder().file("ask");
    for round in 0.. {
        if newest_event(controller)? >= EVENTS {
            return Ok(());
        }
        fleet.activate(controller, "bench")?;
        let urls: String = (0..fleet.count)
            .map(|n| format!("url = \"http://10.77.0.1:4880/boot/{}?session=s{round}\"\noutput = /dev/null\n", fleet_mac(n)))
            .collect();
        fs::write(&script, urls)?;
        bench
            .space
            .run("curl", &["-sS", "--config", &script.display().to_string()])?;
        fleet.deactivate(controller)?;
    }
    Ok(())
}

fn newest_event(controller: &Controller) -> Result<u64> {
    let (_, page) = controller.api("GET", "/api/v1/events?limit=1", "")?;
    let page: serde_json::Value = serde_json::from_str(&page)?;
    let newest = page["items"].as_array().and_then(|items| items.last());
    Ok(newest.and_then(|event| event["seq"].as_u64()).unwrap_or(0))
}

fn binaries(table: &mut Table) -> Result<()> {
    let enforcer = lab::enforcer_binary()?;
    let agent = enforcer.with_file_name("enforcer-agent");
    for path in [enforcer.as_path(), &agent] {
        let name = path
            .file_name()
            .context("a program has a name")?
            .to_string_lossy()
            .into_owned();
        if !path.exists() {
            table.judge(
                &format!("size of {name}"),
                "free",
                "not built",
                "",
                ("≤ 15 MB", false),
            );
            continue;
        }
        let size = fs::metadata(path)?.len();
        let linked = if is_static(path)? {
            "static"
        } else {
            "dynamic"
        };
        table.judge(
            &format!("size of {name}"),
            "free",
            &format!("{:.1} MB, {linked}", size as f64 / 1e6),
            "",
            ("static, ≤ 15 MB", size <= BINARY_MAX && linked == "static"),
        );
    }
    Ok(())
}

/// Without an interpreter (PT_INTERP names the dynamic loader's path) nothing else is loaded.
fn is_static(path: &Path) -> Result<bool> {
    let program = fs::read(path)?;
    let head = &program[..program.len().min(4096)];
    Ok(!head
        .windows(7)
        .any(|bytes| bytes == b"/lib64/" || bytes == b"/lib/ld"))
}
