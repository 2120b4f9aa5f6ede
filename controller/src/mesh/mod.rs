//! The controller in the mesh: it enrols keys, keeps links, says who lives, and sends commands.
//!
//! member → facts → machine: a link's request becomes a transition of the store. command → QUIC → effect: a transition
//! writes the command down, the link carries it, its last word settles it. Decisions are in `state`; what only exists
//! while we run (open links, waiting streams) is here.

mod authority;
mod bytes;
mod commands;
mod enrol;
mod gossip;
mod helpers;
mod jobs;
pub mod life;
mod links;
pub mod logs;
mod people;
mod reports;
mod ring;
mod start;
mod steps;
mod waiting;
mod wake;
mod watch;

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ipxe::MacAddr;
use mesh_proto::{identity::NodeId, message::link::Status};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

pub(crate) use self::wake::broadcast;
use self::{gossip::Gossip, life::Life, links::Links, logs::Logs, waiting::Waiting};
pub use self::{
    start::{Bound, MeshConfig, MeshStartError},
    steps::{Progress, Steps},
};
use crate::{
    boot::Desk, ca::Ca, federation::Federation, images::Images, metrics::Metrics,
    state::machine::MachineId, store::Store,
};

/// Which station DHCP knows at an address.
pub type KnownAs = Arc<dyn Fn(IpAddr) -> Option<MacAddr> + Send + Sync>;

/// The mesh; clones are the same.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

/// What its tasks share.
struct Inner {
    store: Store,
    metrics: Arc<Metrics>,
    ca: Ca,
    logs: Logs,
    /// Who answers booting machines; `None` in sites that serve no boot.
    desk: Option<Arc<Desk>>,
    /// The bytes of images; `None` in sites that keep none.
    images: Option<Images>,
    /// How machines reach boot HTTP, `http://host:port`.
    boot_base: Arc<str>,
    known_as: KnownAs,
    /// Where agents reach us, as they are told.
    controllers: Vec<SocketAddr>,
    links: Mutex<Links>,
    waiting: Mutex<Waiting>,
    life: Mutex<Life>,
    /// How far running jobs are.
    steps: Steps,
    /// Members that are being asked for their facts: each once at a time, whatever gossip says.
    pulling: Mutex<HashSet<NodeId>>,
    gossip: Gossip,
    federation: Federation,
    /// Wakes the task that rotates the group key.
    ring: Notify,
    /// Work that follows from requests; waited for when we stop.
    work: TaskTracker,
}

impl Mesh {
    /// What machines said while they ran.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.0.logs
    }

    /// The site's authority.
    #[must_use]
    pub fn ca(&self) -> &Ca {
        &self.0.ca
    }

    /// Other sites.
    #[must_use]
    pub fn federation(&self) -> &Federation {
        &self.0.federation
    }

    /// Where agents reach this controller.
    #[must_use]
    pub fn controllers(&self) -> &[SocketAddr] {
        &self.0.controllers
    }

    /// What a machine's agent says it does now.
    #[must_use]
    pub fn status(&self, machine: &MachineId) -> Option<Status> {
        let links = lock(&self.0.links);
        links.get(machine.node())?.status.clone()
    }

    /// How many links stand.
    #[must_use]
    pub fn links(&self) -> usize {
        lock(&self.0.links).all().count()
    }
}

impl Inner {
    fn machine_of(node: NodeId) -> MachineId {
        MachineId::from(node)
    }
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mesh({:?})", self.0.ca)
    }
}

/// A mutex's content; what a panicking thread left is still whole, since every change is one insertion or removal.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
