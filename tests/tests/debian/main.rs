//! A fresh Debian under its own systemd, our packages, and what the documents say one types there.

mod acts;
mod packages;
mod reader;

use anyhow::Result;
use enforcer_tests::lab::{peers::ForeignDhcp, story};

use reader::Reader;

#[test]
fn who_types_the_tutorial_and_the_readme_gets_from_nothing_to_a_deployed_machine() -> Result<()> {
    story("tutorial", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let mut reader = Reader::at_a_fresh_host(space)?;
        reader.follow("docs/TUTORIAL.md")?;
        reader.follow("README.md")
    })
}
