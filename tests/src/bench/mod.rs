//! What the benches share: a table that judges, a cage of one core and 256 MiB, a fleet of registered machines, and the
//! load that `lab-load` makes on the wire.

mod cage;
mod fleet;
mod import;
mod load;
mod parts;
mod stolen;
mod table;

pub use cage::Cage;
pub use fleet::{Fleet, fleet_mac};
pub use import::import_management_os;
pub use load::{Answered, Dhcp, Fetched, Pace, Spread, dhcp, fetch, load_program};
pub use parts::Parts;
pub use stolen::Stolen;
pub use table::{Table, host_line, ratio};

use crate::lab::{Namespace, Space};
use anyhow::Result;
use std::{net::Ipv4Addr, sync::Arc};

/// Where the load comes from: a host of its own on the wire.
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);

/// A lab with a client host on the wire.
#[derive(Debug)]
pub struct Bench {
    /// The lab; servers run at [`Space::CONTROLLER`].
    pub space: Space,
    /// The client's host.
    pub client: Arc<Namespace>,
    /// Where measured servers are held, if they are.
    pub cage: Option<Cage>,
}

impl Bench {
    /// A lab; `caged` servers get one core and 256 MiB.
    ///
    /// # Errors
    /// When there can be no lab or no cage.
    pub fn new(name: &str, caged: bool) -> Result<Self> {
        let space = Space::new(name)?;
        let client = space.home().host("client", CLIENT)?;
        let cage = caged.then(Cage::new).transpose()?;
        Ok(Self {
            space,
            client,
            cage,
        })
    }

    /// Starts a server in the cage, if there is one.
    ///
    /// # Errors
    /// As `start` says, or when the kernel refuses.
    pub fn within<T>(&self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        match &self.cage {
            Some(cage) => cage.within(start),
            None => start(),
        }
    }

    /// Puts a running server into the cage, if there is one.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn hold(&self, pid: u32) -> Result<()> {
        self.cage.as_ref().map_or(Ok(()), |cage| cage.hold(pid))
    }

    /// For tables: which limits hold.
    pub fn limits(&self) -> &'static str {
        match self.cage {
            Some(_) => "1 core, 256 MiB",
            None => "free",
        }
    }
}
