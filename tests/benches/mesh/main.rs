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

use anyhow::Result;
use enforcer_tests::bench::{Bench, Parts, Table};

use crowd::{Crowd, Kind};
use figures::Figures;
use ours::Ours;
use serf::Serf;

/// All parts, in the order of the table.
const PARTS: [&str; 3] = ["crowd", "restart", "links"];

fn main() -> Result<()> {
    let parts = Parts::named(&PARTS)?;
    let mut table = Table::new("Mesh of 100");
    if parts.wants("crowd") {
        let ours = measured("ours", Ours::new)?;
        let theirs = measured("serf", Serf::new)?;
        figures::print(&mut table, &ours, &theirs);
    }
    if parts.wants("restart") {
        ours::restart(&mut table)?;
    }
    if parts.wants("links") {
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
