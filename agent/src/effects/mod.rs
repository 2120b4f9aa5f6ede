//! What the agent does to the world, behind a trait: the real machine, a pretence for trying things out, and in tests
//! one that writes down what it was asked.

mod lamp;
mod power;
mod wake;

use std::io;
use std::path::{Path, PathBuf};

use mesh_proto::facts::HardwareFacts;
use mesh_proto::message::link::Habitat;

use crate::facts;

/// Deeds. All of them are short, but they wait for disks and firmware: call them where blocking is allowed.
pub trait Effects: Send + Sync + 'static {
    /// Reads the hardware.
    fn facts(&self) -> HardwareFacts;

    /// Restarts the machine; comes back only when that was refused, or on its way.
    ///
    /// # Errors
    /// Why not.
    fn restart(&self) -> io::Result<()>;

    /// Starts the kernel that was loaded beside the running one; comes back only when that was refused.
    ///
    /// # Errors
    /// Why not, also when none was loaded.
    fn start_kernel(&self) -> io::Result<()> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    /// Powers the machine off.
    ///
    /// # Errors
    /// Why not.
    fn power_off(&self) -> io::Result<()>;

    /// Switches what blinks on or off, and beeps when it goes on. `off` leaves everything as it was found.
    ///
    /// # Errors
    /// When there is nothing that could blink or beep.
    fn lamp(&self, on: bool) -> io::Result<()>;

    /// Sends a magic packet to a sleeper on every segment this machine is on.
    ///
    /// # Errors
    /// When it could be sent on none.
    fn wake(&self, mac: [u8; 6]) -> io::Result<()>;
}

/// The machine the agent runs on.
#[derive(Debug)]
pub struct Machine {
    habitat: Habitat,
    lamps: lamp::Lamps,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn new(habitat: Habitat) -> Self {
        Self {
            habitat,
            lamps: lamp::Lamps::new(Path::new("/")),
        }
    }
}

impl Effects for Machine {
    fn facts(&self) -> HardwareFacts {
        facts::gather(Path::new("/"))
    }

    fn restart(&self) -> io::Result<()> {
        power::restart(self.habitat)
    }

    fn start_kernel(&self) -> io::Result<()> {
        power::start_kernel()
    }

    fn power_off(&self) -> io::Result<()> {
        power::off(self.habitat)
    }

    fn lamp(&self, on: bool) -> io::Result<()> {
        self.lamps.set(on)
    }

    fn wake(&self, mac: [u8; 6]) -> io::Result<()> {
        wake::send(mac, &self.facts().nics)
    }
}

/// A machine's facts, but nothing is done to it: for trying out a site with many agents on one host.
#[derive(Debug)]
pub struct Pretence {
    root: PathBuf,
}

impl Pretence {
    /// The machine whose `/sys` and `/proc` are below `root`.
    #[must_use]
    pub fn of(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }
}

impl Effects for Pretence {
    fn facts(&self) -> HardwareFacts {
        facts::gather(&self.root)
    }

    fn restart(&self) -> io::Result<()> {
        println!("pretending to restart");
        Ok(())
    }

    fn power_off(&self) -> io::Result<()> {
        println!("pretending to power off");
        Ok(())
    }

    fn lamp(&self, on: bool) -> io::Result<()> {
        println!(
            "pretending that the lamp is {}",
            if on { "on" } else { "off" }
        );
        Ok(())
    }

    fn wake(&self, mac: [u8; 6]) -> io::Result<()> {
        println!("pretending to wake {mac:02x?}");
        Ok(())
    }
}

/// Whether this process may restart the machine.
#[must_use]
pub fn has_power() -> bool {
    rustix::process::geteuid().is_root()
}
