//! A virtual bare-metal lab: nothing leaves one private network namespace, nothing stays when it is dropped.
//!
//! * [`Space`] is the room: namespace, bridge, run folder. [`Segment`] and [`Namespace`] are its parts and its neighbours.
//! * [`Machine`] is a QEMU computer with real firmware; [`Serial`] is what it says.
//! * [`marker`] and [`tenant`] make disks whose boot can be seen on the serial line.
//! * [`peers`] are other people's servers and a bad network; [`Controller`] is the program under test.
//!
//! A story in ten lines:
//!
//! ```no_run
//! use enforcer_tests::lab::{ControllerPlan, Disk, Firmware, Space, marker, peers::ForeignDhcp};
//!
//! fn an_idle_machine_falls_to_its_disk() -> anyhow::Result<()> {
//!     let space = Space::new("idle")?;
//!     let _foreign = ForeignDhcp::start(&space)?;
//!     let controller = ControllerPlan::new().start(&space)?;
//!     let image = space.folder().file("marker.img");
//!     marker::write(&image, "mine")?;
//!     let mut machine = space.machine(1).firmware(Firmware::Uefi).disk(Disk::copy_of(&image)).power_on()?;
//!     controller.cli(&["machines", "register", &machine.mac()])?;
//!     machine.expect(marker::line("mine", Firmware::Uefi))?;
//!     Ok(())
//! }
//! ```
//!
//! The lab fails with a sentence that names the cure when it cannot run; it never skips.

mod controller;
mod folder;
mod machine;
pub mod marker;
pub mod need;
pub mod peers;
mod process;
mod qmp;
mod serial;
mod space;
pub mod tenant;

pub use controller::{Controller, ControllerPlan, binary as enforcer_binary};
pub use folder::RunFolder;
pub use machine::{
    BootFrom, Bus, Disk, Firmware, FirstStage, Machine, MachinePlan, Nic, Smbios, same_bytes,
};
pub use process::{Service, command_line, wait_until};
pub use qmp::{Event, Qmp};
pub use serial::{Hit, Pattern, Serial, re};
pub use space::{Namespace, Segment, Space, machine_ip, machine_mac, machine_uuid};
