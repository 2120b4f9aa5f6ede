//! Images taken in, written to disks and saved, beside the tools people use for that: `cargo bench -p enforcer-tests --bench deploy`,
//! or a part of it: `-- ingest`, `-- disk`, `-- delta`, `-- room`, `-- small`, `-- capture`, `-- wire`.
//!
//! The controller is the shipped program on one host of the wire. The machines are `lab-disk` on another: the agent's life and its
//! work on disks, where a disk is a file that is read and written past the page cache.

mod disks;
mod figures;
mod incoming;
mod peers;
mod room;
mod wire;

use anyhow::Result;
use enforcer_tests::bench::{Parts, Table};

use disks::Disks;

type Part = fn(&mut Table, &Disks) -> Result<()>;

/// All parts, in the order of the table.
const PARTS: [(&str, Part); 7] = [
    ("ingest", incoming::ingest),
    ("disk", figures::disk),
    ("delta", figures::delta),
    ("room", figures::room),
    ("small", figures::small),
    ("capture", incoming::capture),
    ("wire", wire::measure),
];

fn main() -> Result<()> {
    let parts = Parts::named(&PARTS.map(|(part, _)| part))?;
    let disks = Disks::make()?;
    let mut table = Table::new("Images and deployments");
    for (name, part) in PARTS {
        if parts.wants(name) {
            part(&mut table, &disks)?;
        }
    }
    table.end()
}
