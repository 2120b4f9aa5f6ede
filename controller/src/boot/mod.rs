//! The controller as the authority that the boot sockets ask.
//!
//! packet → decision → script: `ipxe-net` parses, this asks the view ([`Desk::peek`]) or applies a claim to the store,
//! `ipxe` renders. What DHCP needs is answered from memory.

mod addresses;
mod authority;
mod delegate;
mod files;
mod http;
mod named;
mod recent;
mod stage;
mod through;
mod timeline;
mod turns;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use addresses::Addresses;
use arc_swap::ArcSwap;
use ipxe::{Arch, BootPlan, MacAddr, Surroundings};
use ipxe_net::ReceivedFiles;
use named::Named;
use rand::RngCore as _;
use stage::Stages;
use timeline::Timeline;
use turns::Turns;

pub use through::Through;

use crate::{
    config::Rechain,
    federation::Federation,
    firmware::FirmwareSet,
    leases::LeaseDesk,
    metrics::Metrics,
    state::{
        Timestamp, View,
        boot::{BootRequest, Decision, decide},
        machine::MachineId,
    },
    store::Store,
};

/// Answers the boot sockets.
pub struct Desk {
    store: Store,
    firmware: ArcSwap<FirmwareSet>,
    metrics: Arc<Metrics>,
    assets: PathBuf,
    rechain: Rechain,
    leases: LeaseDesk,
    addresses: Mutex<Addresses>,
    stages: Mutex<Stages>,
    received: Mutex<ReceivedFiles>,
    turns: Mutex<Turns>,
    named: Mutex<Named>,
    timeline: Timeline,
    /// Other sites, once there is a mesh.
    federation: OnceLock<Federation>,
}

impl Desk {
    /// A desk over the store; `assets` is the state's asset folder.
    #[must_use]
    pub fn new(
        store: Store,
        firmware: FirmwareSet,
        metrics: Arc<Metrics>,
        assets: PathBuf,
        rechain: Rechain,
    ) -> Self {
        Self {
            timeline: Timeline::new(store.clone()),
            leases: LeaseDesk::new(store.clone()),
            store,
            firmware: ArcSwap::from_pointee(firmware),
            metrics,
            assets,
            rechain,
            addresses: Mutex::default(),
            stages: Mutex::default(),
            received: Mutex::default(),
            turns: Mutex::default(),
            named: Mutex::default(),
            federation: OnceLock::new(),
        }
    }

    /// Asks other sites from now on. Only the first counts.
    pub fn federate(&self, federation: Federation) {
        let _first_stays = self.federation.set(federation);
    }

    /// Serves another set of firmware from now on.
    pub fn set_firmware(&self, firmware: FirmwareSet) {
        self.firmware.store(Arc::new(firmware));
    }

    /// What a machine would boot now, and why; changes nothing.
    #[must_use]
    pub fn peek(&self, request: &BootRequest) -> Decision {
        decide(request, &self.store.view(), self.store.now())
    }
}

/// The script of a decision, as it is served and as it is previewed.
#[must_use]
pub fn script_of(decision: &Decision, view: &View, mac: MacAddr, base: &str) -> String {
    let machine = decision.machine.as_ref().and_then(|id| view.machine(id));
    let name = machine.map_or_else(|| mac.to_string(), |m| m.name.to_string());
    ipxe::render(
        &with_secret(decision),
        Surroundings {
            base,
            machine: &name,
            local: decision.local,
        },
    )
}

/// The plan with the boot's secret in it, where there is one. It is kept apart until here so that no log can show it, and
/// `quiet` keeps the kernel from printing its command line on every console; a person's own `loglevel=` comes later and wins.
fn with_secret(decision: &Decision) -> BootPlan {
    match (&decision.plan, &decision.secret) {
        (BootPlan::Management(kernel), Some(secret)) => {
            let mut kernel = kernel.clone();
            kernel.cmdline = format!(
                "quiet {} enforcer.secret={}",
                kernel.cmdline,
                secret.expose()
            );
            BootPlan::Management(kernel)
        }
        (plan, _) => plan.clone(),
    }
}

/// `http://host:port` of our boot HTTP as a machine reaches it.
#[must_use]
pub fn base_url(at: SocketAddr) -> String {
    format!("http://{at}")
}

/// iPXE's `${buildarch}` as a processor; a BIOS build says `i386` also on x86-64, which practically all are.
#[must_use]
pub fn arch_of(buildarch: Option<&str>) -> Option<Arch> {
    match buildarch? {
        "i386" | "x86_64" => Some(Arch::X64),
        "arm64" => Some(Arch::Arm64),
        "arm32" => Some(Arch::Arm32),
        _ => None,
    }
}

/// A random id for a machine that may turn out to be new.
#[must_use]
pub fn fresh_machine_id() -> MachineId {
    MachineId::from_random(rand::rng().next_u64())
}

/// A mutex's content; what a panicking thread left is still whole, since every change is one insertion or removal.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Seconds between two moments, for memories that fade.
fn older_than(at: Timestamp, now: Timestamp, seconds: i64) -> bool {
    now.duration_since(at) > jiff::SignedDuration::from_secs(seconds)
}
