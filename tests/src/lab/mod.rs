//! A virtual bare-metal lab: nothing leaves one private network namespace, nothing stays when it is dropped.
//!
//! * [`Space`] is the room: namespace, bridge, run folder. [`Segment`] and [`Namespace`] are its parts and its neighbours.
//! * [`Machine`] is a QEMU computer with real firmware; [`Serial`] is what it says. [`Station`] only asks like one.
//! * [`marker`] and [`tenant`] make disks whose boot can be seen on the serial line.
//! * [`peers`] are other people's servers and a bad network; [`Controller`] is the program under test.
//!
//! A story in ten lines:
//!
//! ```no_run
//! use enforcer_tests::lab::{ControllerPlan, Disk, Firmware, marker, peers::ForeignDhcp, story};
//!
//! fn an_idle_machine_falls_to_its_disk() -> anyhow::Result<()> {
//!     story("idle", |space| {
//!         let _foreign = ForeignDhcp::start(space)?;
//!         let controller = ControllerPlan::new().start(space)?;
//!         let image = space.folder().file("marker.img");
//!         marker::write(&image, "mine")?;
//!         let mut machine = space.machine(1).firmware(Firmware::Uefi).disk(Disk::copy_of(&image)).build()?;
//!         controller.cli(&["machines", "register", &machine.mac()])?;
//!         machine.power_on()?;
//!         machine.expect(marker::line("mine", Firmware::Uefi))?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! The lab fails with a sentence that names the cure when it cannot run; it never skips.

mod agent;
mod board;
mod chorus;
mod controller;
mod debian;
mod folder;
mod machine;
pub mod marker;
pub mod need;
pub mod peers;
mod process;
mod qmp;
mod serial;
mod space;
mod station;
pub mod tenant;
mod usage;

pub use agent::{AgentPlan, agent_binary, join_token, member};
pub use board::Board;
pub use chorus::Chorus;
pub use controller::{Controller, ControllerPlan, binary as enforcer_binary};
pub use debian::Debian;
pub use folder::RunFolder;
pub use machine::{
    BootFrom, Bus, Disk, Firmware, FirstStage, Machine, MachinePlan, Nic, Smbios, same_bytes,
};
pub use process::{Service, built, command_line, output, wait_until};
pub use qmp::{Event, Qmp};
pub use serial::{Hit, Pattern, Serial, re};
pub use space::{Namespace, Segment, Space, machine_mac, machine_uuid};
pub use station::{Asks, Offer, Station};
pub use usage::Usage;

use anyhow::{Context, Result};
use std::env;
use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

/// Tells a story in a lab of its own. When it ends in an error, the lab's folder is kept and the error says where it is. How long it took
/// goes into the file that `STORY_TIMES` names, if any.
pub fn story(name: &str, tell: impl FnOnce(&Space) -> Result<()>) -> Result<()> {
    let started = Instant::now();
    let space = Space::new(name)?;
    let folder = space.folder().clone();
    let told = tell(&space).with_context(|| {
        folder.keep();
        format!(
            "the story {name:?} failed; logs: {}",
            folder.path().display()
        )
    });
    note_time(name, started.elapsed());
    told
}

/// For whoever reads what the stories cost; nothing depends on it.
fn note_time(name: &str, took: Duration) {
    let Some(file) = env::var_os("STORY_TIMES") else {
        return;
    };
    let line = format!("{:7.1} s  {name}\n", took.as_secs_f64());
    let file = File::options().create(true).append(true).open(file);
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
}
