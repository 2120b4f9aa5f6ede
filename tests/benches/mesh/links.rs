//! A thousand links on one controller.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result};
use enforcer_tests::{
    bench::{Bench, Table, load_program},
    lab::{ControllerPlan, Service, Space, Usage, join_token},
};

use crate::crowd;

/// As many machines as DESIGN §9 speaks of.
const LINKS: u16 = 1000;
/// The first of their addresses.
const FIRST: &str = "10.88.4.1";
/// Each proves a key and opens a link, on a host that does both ends' work.
const LINKED: Duration = Duration::from_secs(300);
/// Until what comes after a welcome has been said.
const CALM: Duration = Duration::from_secs(20);
/// Thirty keep-alives of each.
const IDLE: Duration = Duration::from_secs(60);

/// Memory and processor of a controller that holds them.
pub(crate) fn measure(table: &mut Table) -> Result<()> {
    let bench = Bench::new("links", false)?;
    crowd::prepare(&bench)?;
    bench.client.sh(
        "for net in 4 5 6 7; do for i in $(seq 1 254); do echo addr add 10.88.$net.$i/32 dev lo; done
         echo addr add 10.88.$net.255/32 dev lo; echo addr add 10.88.$((net+1)).0/32 dev lo; done | ip -batch -",
    )?;
    let controller = ControllerPlan::new().start(&bench.space)?;
    let empty = Usage::of(controller.pid()?)?;
    let tokens: Result<Vec<String>> = (0..LINKS).map(|_| join_token(&controller)).collect();
    let file = bench.space.folder().file("tokens");
    fs::write(&file, tokens?.join("\n"))?;

    let mut command = bench.client.command(load_program("lab-mesh")?);
    let count = LINKS.to_string();
    command.args([
        "links",
        &format!("{}:4848", Space::CONTROLLER),
        FIRST,
        &count,
    ]);
    command.arg(&file);
    let log = bench.space.folder().file("links.log");
    let mut links = Service::start("lab-mesh", command, &log)?;
    links.wait_log("linked ", LINKED)?;
    let said = links.log().trim().replace('\n', "; ");
    thread::sleep(CALM);
    let before = Usage::of(controller.pid()?)?;
    thread::sleep(IDLE);
    let after = Usage::of(controller.pid()?)?;
    links.ensure_running().context("a link ended")?;
    rows(table, &said, (empty, before, after));
    Ok(())
}

fn rows(table: &mut Table, said: &str, (empty, before, after): (Usage, Usage, Usage)) {
    let mib = |usage: Usage| usage.rss_kib as f64 / 1024.0;
    let rss = format!(
        "{:.1} MiB (empty {:.1}, most so far {:.1})",
        mib(after),
        mib(empty),
        after.peak_rss_kib as f64 / 1024.0
    );
    table.note(
        "1,000 agents prove a key, then all dial at once",
        "free",
        said,
        "",
    );
    table.judge(
        "RSS of the controller with 1,000 idle links",
        "free",
        &rss,
        "",
        ("≤ 128 MiB", mib(after) <= 128.0),
    );
    let percent = (after.cpu - before.cpu).as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    table.judge(
        "processor of the controller with 1,000 idle links",
        "free",
        &format!("{percent:.2} % of a core"),
        "",
        ("< 5 %", percent < 5.0),
    );
}
