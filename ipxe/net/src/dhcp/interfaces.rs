//! Which interfaces we serve, and which address is ours on each.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use nix::{
    ifaddrs::getifaddrs,
    net::if_::{InterfaceFlags, if_nametoindex},
};

use super::{DhcpBindError, frame::Wire};

/// How long a reading is believed: addresses change when the host itself gets a lease, not faster.
const FRESH: Duration = Duration::from_secs(1);

/// A reading of the system's interfaces, renewed as it ages.
#[derive(Debug)]
pub(super) struct Interfaces {
    only: Option<Vec<String>>,
    by_index: BTreeMap<u32, Vec<Ipv4Addr>>,
    wires: BTreeMap<u32, Wire>,
    all: Vec<Ipv4Addr>,
    read: Option<Instant>,
}

impl Interfaces {
    /// Serves `only` these, or all.
    pub(super) fn new(only: Option<Vec<String>>) -> Self {
        Self {
            only,
            by_index: BTreeMap::new(),
            wires: BTreeMap::new(),
            all: Vec::new(),
            read: None,
        }
    }

    /// Refuses names that no interface has.
    pub(super) fn check(only: Option<&[String]>) -> Result<(), DhcpBindError> {
        for name in only.unwrap_or_default() {
            if if_nametoindex(name.as_str()).is_err() {
                return Err(DhcpBindError::NoInterface {
                    name: name.clone(),
                    known: names().join(", "),
                });
            }
        }
        Ok(())
    }

    /// Reads the system anew when the last reading is old.
    pub(super) fn refresh(&mut self, now: Instant) {
        if self.read.is_some_and(|at| now.duration_since(at) < FRESH) {
            return;
        }
        self.read = Some(now);
        self.by_index.clear();
        self.wires.clear();
        self.all.clear();
        for entry in getifaddrs().into_iter().flatten() {
            let link = entry.address.as_ref().and_then(|a| a.as_link_addr());
            let wire = link.and_then(|link| Wire::new(*link));
            self.wires.extend(wire.and_then(|w| Some((w.index()?, w))));
            let Some(ip) = entry.address.and_then(|a| a.as_sockaddr_in()?.ip().into()) else {
                continue;
            };
            self.all.push(ip);
            if self.serves(&entry.interface_name, entry.flags)
                && let Ok(index) = if_nametoindex(entry.interface_name.as_str())
            {
                self.by_index.entry(index).or_default().push(ip);
            }
        }
    }

    fn serves(&self, name: &str, flags: InterfaceFlags) -> bool {
        match &self.only {
            // Address labels ("eth0:1") belong to the interface before the colon.
            Some(only) => only
                .iter()
                .any(|n| n == name.split(':').next().unwrap_or(name)),
            None => {
                flags.contains(InterfaceFlags::IFF_UP)
                    && !flags.contains(InterfaceFlags::IFF_LOOPBACK)
            }
        }
    }

    /// Our address for what came in by an interface: the one the system would answer from, when it is that
    /// interface's, else its first. `None`: not served.
    pub(super) fn address(&self, index: u32, local: Ipv4Addr) -> Option<Ipv4Addr> {
        let own = self.by_index.get(&index)?;
        own.iter().find(|ip| **ip == local).or(own.first()).copied()
    }

    /// What frames leave by, when the interface is an Ethernet.
    pub(super) fn wire(&self, index: u32) -> Option<Wire> {
        self.wires.get(&index).copied()
    }

    /// The interfaces that are served.
    pub(super) fn indexes(&self) -> impl Iterator<Item = u32> {
        self.by_index.keys().copied()
    }

    /// Every address of this host.
    pub(super) fn all(&self) -> &[Ipv4Addr] {
        &self.all
    }
}

/// The names of all interfaces, for people.
pub(super) fn names() -> Vec<String> {
    let entries = getifaddrs().into_iter().flatten();
    let mut names: Vec<String> = entries.map(|e| e.interface_name).collect();
    names.sort();
    names.dedup();
    names
}

/// An interface that would be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its name.
    pub name: String,
    /// Whether it is switched on.
    pub up: bool,
    /// Its IPv4 addresses.
    pub addresses: Vec<Ipv4Addr>,
}

/// The interfaces that `only` names, also such as have no address, or else all that would be served. Names that no interface
/// has are left out.
#[must_use]
pub fn served(only: Option<&[String]>) -> Vec<Served> {
    let mut found: BTreeMap<String, Served> = BTreeMap::new();
    let rule = Interfaces::new(only.map(<[String]>::to_vec));
    for entry in getifaddrs().into_iter().flatten() {
        if !rule.serves(&entry.interface_name, entry.flags) {
            continue;
        }
        let label = entry.interface_name.as_str();
        let name = label.split(':').next().unwrap_or(label).to_owned();
        let served = found.entry(name.clone()).or_insert(Served {
            name,
            up: entry.flags.contains(InterfaceFlags::IFF_UP),
            addresses: Vec::new(),
        });
        let ip = entry.address.and_then(|a| Some(a.as_sockaddr_in()?.ip()));
        served.addresses.extend(ip);
    }
    let all = found.into_values();
    all.filter(|s| only.is_some() || !s.addresses.is_empty())
        .collect()
}

/// The IPv4 addresses of this host, loopback left out: those that machines may know it by.
#[must_use]
pub fn own_addresses() -> Vec<Ipv4Addr> {
    let entries = getifaddrs().into_iter().flatten();
    let addresses = entries.filter_map(|e| e.address.and_then(|a| Some(a.as_sockaddr_in()?.ip())));
    addresses.filter(|ip| !ip.is_loopback()).collect()
}
