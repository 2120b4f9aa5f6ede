//! A hundred agents beside a hundred of Debian's `serf`, one after the other in the same place, and a thousand links on one controller:
//! `cargo bench -p enforcer-tests --bench mesh`, or a part of it: `-- crowd`, `-- restart`, `-- links`.
//!
//! An agent "knows" when its own log says so; both kinds are read in the same way. All agents of a kind run on one host with an address
//! each, the controller on another. Both seal what they send (serf: `-encrypt`).

mod crowd;
mod figures;
mod links;
mod ours;
mod serf;
mod traffic;

use anyhow::{Result, ensure};
use enforcer_tests::bench::{Bench, Table};

use crowd::{Crowd, Kind};
use figures::Figures;
use ours::Ours;
use serf::Serf;

/// All parts, in the order of the table.
const PARTS: [&str; 3] = ["crowd", "restart", "links"];

fn main() -> Result<()> {
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let known = |name: &String| PARTS.contains(&name.as_str());
    ensure!(named.iter().all(known), "the parts are {PARTS:?}");
    let wanted = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let mut table = Table::new("Mesh of 100");
    if wanted("crowd") {
        let ours = measured("ours", Ours::new)?;
        let theirs = measured("serf", Serf::new)?;
        figures::print(&mut table, &ours, &theirs);
    }
    if wanted("restart") {
        ours::restart(&mut table)?;
    }
    if wanted("links") {
        links::measure(&mut table)?;
    }
    table.end()
}

/// All figures of one kind, in a lab of its own.
fn measured<K: Kind>(name: &str, kind: impl FnOnce(&Bench) -> Result<K>) -> Result<Figures> {
    let bench = Bench::new(name, false)?;
    crowd::prepare(&bench)?;
    let kind = kind(&bench)?;
    let figures = Figures::of(&mut Crowd::new(&bench, kind))?;
    // The other kind takes minutes.
    eprintln!("{name}: {figures:?}");
    Ok(figures)
}
