//! `lab-room`: a room for a test that is no Rust program, such as the web app's. On one wire: somebody else's DHCP server, a controller on
//! an empty store that looks at whatever asks, and a BIOS computer that is off, with a small disk of its own.
//!
//! Its first line on standard output says what is there: `{"socket", "state", "mac", "disk_serial", "image"}`; the image is one whose system
//! calls home. Then it obeys a line of standard input at a time, each answered by a line once it is done:
//!
//! * `on`: switches the computer on; `{}`
//! * `code`: waits for the pairing code on its screen; `{"code": "1234-5678"}`
//! * `hear TEXT`: waits until it prints that; `{"heard": "the line"}`
//!
//! What fails ends it, with the reason on standard error. The room ends with its standard input.

use std::{
    fs::File,
    io::{BufRead as _, Write as _, stdin, stdout},
};

use anyhow::{Context as _, Result, bail};
use enforcer_tests::{
    fixture::Flavour,
    guest,
    lab::{Disk, Firmware, Machine, marker, peers::ForeignDhcp, re, story},
    site::{DISCOVER, Site},
};
use serde_json::{Value, json};

/// Room for the image with what its system is told, bytes.
const DISK_BYTES: u64 = 64 << 20;
/// What people see of the disk before it is overwritten.
const DISK_SERIAL: &str = "ROOM-DISK-1";

fn main() -> Result<()> {
    // Built before the room is there: that may take minutes, once.
    let image = guest::calls_home("golden").image()?;
    story("room", |space| {
        let _foreign = ForeignDhcp::start(space)?;
        let site = Site::open(space, DISCOVER, Flavour::Virtio)?;
        let own = space.folder().file("own.img");
        marker::write(&own, "own")?;
        File::options()
            .write(true)
            .open(&own)?
            .set_len(DISK_BYTES)?;
        let disk = Disk::copy_of(&own).serial(DISK_SERIAL);
        let plan = space.machine(1).firmware(Firmware::Bios).disk(disk);
        let mut computer = plan.build()?;
        say(&json!({
            "socket": site.controller.api_socket(),
            "state": site.controller.state(),
            "mac": computer.mac(),
            "disk_serial": DISK_SERIAL,
            "image": image,
        }))?;
        for line in stdin().lock().lines() {
            say(&obey(&mut computer, &line?)?)?;
        }
        Ok(())
    })
}

fn obey(computer: &mut Machine, line: &str) -> Result<Value> {
    match line.split_once(' ').unwrap_or((line, "")) {
        ("on", "") => {
            computer.power_on()?;
            Ok(json!({}))
        }
        ("code", "") => {
            let hit = computer.expect(re(r"ENFORCER CODE (\d{4}-\d{4})"))?;
            Ok(json!({ "code": hit.groups.first().context("a code")? }))
        }
        ("hear", text) if !text.is_empty() => Ok(json!({ "heard": computer.expect(text)?.line })),
        _ => bail!("not a word of lab-room: {line:?}"),
    }
}

fn say(words: &Value) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{words}")?;
    Ok(out.flush()?)
}
