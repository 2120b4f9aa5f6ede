//! `lab-load discover|lease CLIENTS STATIONS per-second|at-once NUMBER` and `lab-load fetch URL COUNT AT-ONCE`: many clients in one
//! process, for benches. Says what came of it as JSON on standard output.

mod dhcp;
mod fetch;

use anyhow::{Context, Result, bail};
use enforcer_tests::bench::{Dhcp, Pace};
use std::env;

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = match args.as_slice() {
        [
            story @ ("discover" | "lease"),
            clients,
            stations,
            how,
            number,
        ] => {
            let pace = match *how {
                "per-second" => Pace::PerSecond(number.parse()?),
                _ => Pace::AtOnce(number.parse()?),
            };
            let story = if *story == "lease" {
                Dhcp::Lease
            } else {
                Dhcp::Discover
            };
            serde_json::to_string(&dhcp::run(
                story,
                clients.parse()?,
                stations.parse()?,
                pace,
            )?)
        }
        ["fetch", url, count, at_once] => {
            serde_json::to_string(&fetch::run(url, count.parse()?, at_once.parse()?)?)
        }
        _ => bail!("usage: see the first lines of lab-load.rs"),
    };
    println!("{}", said.context("an answer as JSON")?);
    Ok(())
}
