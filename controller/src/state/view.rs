//! Everything known, as an immutable index in memory.
//!
//! The maps share structure (imbl), so that the writer can keep a copy per transaction and publish it at the price of
//! the entries that changed.

mod jobs;
mod mesh;
mod notify;

use std::{net::Ipv4Addr, sync::Arc};

use imbl::{HashMap, OrdMap, OrdSet};
use ipxe::MacAddr;

use super::{
    Key, Record, Timestamp, Write,
    activation::{Activation, ActivationId, Nonce},
    config::{BootConfig, ConfigName},
    event::Event,
    lease::{Declined, LeaseRecord, Reservation},
    machine::{Machine, MachineId, MachineName, Standing},
    policy::Policy,
    power::PowerSettings,
    user::{User, UserName},
};

/// Events kept; older ones are dropped, here and in the store.
pub const MAX_EVENTS: usize = 20_000;

/// What is known at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// The site's rules; not stored.
    pub policy: Arc<Policy>,
    machines: OrdMap<MachineId, Arc<Machine>>,
    /// Machines that nobody registered, the one that was silent longest first.
    seen: OrdSet<(Timestamp, MachineId)>,
    machine_by_mac: HashMap<MacAddr, MachineId>,
    machine_by_name: HashMap<MachineName, MachineId>,
    configs: OrdMap<ConfigName, Arc<BootConfig>>,
    activations: OrdMap<ActivationId, Arc<Activation>>,
    activation_by_nonce: HashMap<Nonce, ActivationId>,
    activations_of: HashMap<MachineId, imbl::Vector<ActivationId>>,
    leases: OrdMap<MacAddr, Arc<LeaseRecord>>,
    lease_by_ip: OrdMap<Ipv4Addr, MacAddr>,
    lease_by_expiry: OrdSet<(Timestamp, MacAddr)>,
    reservations: OrdMap<MacAddr, Arc<Reservation>>,
    reservation_by_ip: OrdMap<Ipv4Addr, MacAddr>,
    declined: OrdMap<Ipv4Addr, Declined>,
    events: OrdMap<u64, Arc<Event>>,
    mesh: mesh::MeshView,
    notify: notify::NotifyView,
    power: OrdMap<MachineId, Arc<PowerSettings>>,
    jobs: jobs::JobsView,
    users: OrdMap<UserName, Arc<User>>,
}

impl View {
    /// All machines, by id.
    pub fn machines(&self) -> impl Iterator<Item = &Arc<Machine>> {
        self.machines.values()
    }

    /// Machines that nobody registered, the one that was silent longest first.
    pub fn seen(&self) -> impl Iterator<Item = &Arc<Machine>> {
        let index = self.seen.iter();
        index.filter_map(|(_, id)| self.machines.get(id))
    }

    /// How many machines nobody registered.
    #[must_use]
    pub fn seen_count(&self) -> usize {
        self.seen.len()
    }

    /// A machine by id.
    #[must_use]
    pub fn machine(&self, id: &MachineId) -> Option<&Arc<Machine>> {
        self.machines.get(id)
    }

    /// A machine's name, for sentences; of one that was forgotten its id.
    #[must_use]
    pub fn machine_name(&self, id: &MachineId) -> String {
        let known = self.machine(id);
        known.map_or_else(|| id.to_string(), |m| m.name.to_string())
    }

    /// The machine that has this NIC.
    #[must_use]
    pub fn machine_by_mac(&self, mac: MacAddr) -> Option<&Arc<Machine>> {
        self.machines.get(self.machine_by_mac.get(&mac)?)
    }

    /// The machine of this name.
    #[must_use]
    pub fn machine_by_name(&self, name: &MachineName) -> Option<&Arc<Machine>> {
        self.machines.get(self.machine_by_name.get(name)?)
    }

    /// All boot configs, by name.
    pub fn configs(&self) -> impl Iterator<Item = &Arc<BootConfig>> {
        self.configs.values()
    }

    /// A boot config by name.
    #[must_use]
    pub fn config(&self, name: &ConfigName) -> Option<&Arc<BootConfig>> {
        self.configs.get(name)
    }

    /// All activations, oldest first.
    pub fn activations(&self) -> impl DoubleEndedIterator<Item = &Arc<Activation>> {
        self.activations.values()
    }

    /// An activation by number.
    #[must_use]
    pub fn activation(&self, id: ActivationId) -> Option<&Arc<Activation>> {
        self.activations.get(&id)
    }

    /// An activation by nonce.
    #[must_use]
    pub fn activation_by_nonce(&self, nonce: &Nonce) -> Option<&Arc<Activation>> {
        self.activations.get(self.activation_by_nonce.get(nonce)?)
    }

    /// The activations of a machine, oldest first.
    pub fn activations_of(&self, machine: &MachineId) -> impl Iterator<Item = &Arc<Activation>> {
        self.activations_of
            .get(machine)
            .into_iter()
            .flatten()
            .filter_map(|id| self.activations.get(id))
    }

    /// The number of the next activation.
    #[must_use]
    pub fn next_activation(&self) -> ActivationId {
        ActivationId(self.activations.get_max().map_or(1, |(id, _)| id.0 + 1))
    }

    /// All leases, also expired ones, by hardware address.
    pub fn leases(&self) -> impl Iterator<Item = &Arc<LeaseRecord>> {
        self.leases.values()
    }

    /// The lease of a station.
    #[must_use]
    pub fn lease(&self, mac: MacAddr) -> Option<&Arc<LeaseRecord>> {
        self.leases.get(&mac)
    }

    /// The lease on an address.
    #[must_use]
    pub fn lease_on(&self, ip: Ipv4Addr) -> Option<&Arc<LeaseRecord>> {
        self.leases.get(self.lease_by_ip.get(&ip)?)
    }

    /// Leases that ended at `now` or before, the one that ended first first.
    pub fn leases_ended(&self, now: Timestamp) -> impl Iterator<Item = &Arc<LeaseRecord>> {
        self.lease_by_expiry
            .iter()
            .take_while(move |(expires, _)| *expires <= now)
            .filter_map(|(_, mac)| self.leases.get(mac))
    }

    /// All reservations, by hardware address.
    pub fn reservations(&self) -> impl Iterator<Item = &Arc<Reservation>> {
        self.reservations.values()
    }

    /// The reservation of a station.
    #[must_use]
    pub fn reservation(&self, mac: MacAddr) -> Option<&Arc<Reservation>> {
        self.reservations.get(&mac)
    }

    /// The reservation on an address.
    #[must_use]
    pub fn reservation_on(&self, ip: Ipv4Addr) -> Option<&Arc<Reservation>> {
        self.reservations.get(self.reservation_by_ip.get(&ip)?)
    }

    /// Whether and until when an address is known to be somebody else's.
    #[must_use]
    pub fn declined(&self, ip: Ipv4Addr) -> Option<&Declined> {
        self.declined.get(&ip)
    }

    /// All addresses that were found to be somebody else's, also those that may be tried again.
    pub fn declined_addresses(&self) -> impl Iterator<Item = &Declined> {
        self.declined.values()
    }

    /// How a machine is switched, if somebody said so.
    #[must_use]
    pub fn power(&self, machine: &MachineId) -> Option<&Arc<PowerSettings>> {
        self.power.get(machine)
    }

    /// All people that are written down, by name.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// A person by name.
    #[must_use]
    pub fn user(&self, name: &UserName) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// Events with a number above `after`, oldest first.
    pub fn events_after(&self, after: u64) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        self.events.range(after.saturating_add(1)..).map(|(_, e)| e)
    }

    /// The number of the oldest event that is still kept.
    #[must_use]
    pub fn oldest_event(&self) -> Option<u64> {
        self.events.get_min().map(|(seq, _)| *seq)
    }

    /// How many events are kept.
    #[must_use]
    pub fn event_count(&self) -> usize {
        self.events.len()
    }

    /// The number of the next event.
    #[must_use]
    pub fn next_event(&self) -> u64 {
        self.events.get_max().map_or(1, |(seq, _)| seq + 1)
    }

    /// Takes one write in, indices included. Same writes in the same order give the same view.
    pub fn absorb(&mut self, write: &Write) {
        match write {
            Write::Put(record) => {
                self.forget(&record.key());
                self.insert(record.clone());
            }
            Write::Delete(key) => {
                self.forget(key);
                if let Key::Machine(id) = key {
                    self.index_identity(id);
                }
            }
        }
    }

    fn insert(&mut self, record: Record) {
        match record {
            Record::Machine(m) => {
                for mac in &m.macs {
                    self.machine_by_mac.insert(*mac, m.id.clone());
                }
                self.machine_by_name.insert(m.name.clone(), m.id.clone());
                let id = m.id.clone();
                if m.standing == Standing::Seen {
                    self.seen.insert((m.last_seen, id.clone()));
                }
                self.machines.insert(id.clone(), m);
                self.index_identity(&id);
            }
            Record::Config(c) => {
                self.configs.insert(c.name.clone(), c);
            }
            Record::Activation(a) => {
                self.activation_by_nonce.insert(a.nonce.clone(), a.id);
                self.activations_of
                    .entry(a.machine.clone())
                    .or_default()
                    .push_back(a.id);
                self.activations_of
                    .entry(a.machine.clone())
                    .or_default()
                    .sort();
                self.activations.insert(a.id, a);
            }
            Record::Lease(l) => {
                self.lease_by_ip.insert(l.ip, l.mac);
                self.lease_by_expiry.insert((l.expires, l.mac));
                self.leases.insert(l.mac, l);
            }
            Record::Reservation(r) => {
                self.reservation_by_ip.insert(r.ip, r.mac);
                self.reservations.insert(r.mac, r);
            }
            Record::Declined(d) => {
                self.declined.insert(d.ip, d);
            }
            Record::Event(e) => {
                self.events.insert(e.seq, e);
            }
            Record::EnrolledKey(_)
            | Record::Pending(_)
            | Record::Token(_)
            | Record::Facts(_)
            | Record::Member(_)
            | Record::Command(_)
            | Record::Ring(_)
            | Record::Stamp(_) => self.insert_mesh(record),
            Record::Webhook(w) => self.insert_webhook(w),
            Record::Delivery(d) => self.insert_delivery(d),
            Record::Power(p) => {
                self.power.insert(p.machine.clone(), p);
            }
            Record::Image(i) => self.jobs.insert_image(i),
            Record::Deployment(d) => self.jobs.insert(d),
            Record::Rollout(r) => self.jobs.insert_rollout(r),
            Record::Setup(s) => self.jobs.insert_setup(s),
            Record::User(u) => {
                self.users.insert(u.name.clone(), u);
            }
        }
    }

    fn forget(&mut self, key: &Key) {
        match key {
            Key::Machine(id) => self.forget_machine(id),
            Key::Config(name) => {
                self.configs.remove(name);
            }
            Key::Activation(id) => self.forget_activation(*id),
            Key::Lease(mac) => {
                if let Some(old) = self.leases.remove(mac) {
                    remove_if(&mut self.lease_by_ip, old.ip, mac);
                    self.lease_by_expiry.remove(&(old.expires, *mac));
                }
            }
            Key::Reservation(mac) => {
                if let Some(old) = self.reservations.remove(mac) {
                    remove_if(&mut self.reservation_by_ip, old.ip, mac);
                }
            }
            Key::Declined(ip) => {
                self.declined.remove(ip);
            }
            Key::Event(seq) => {
                self.events.remove(seq);
            }
            Key::EnrolledKey(_)
            | Key::Pending(_)
            | Key::Token(_)
            | Key::Facts(_)
            | Key::Member(_)
            | Key::Command(_)
            | Key::Ring
            | Key::Stamp => self.forget_mesh(key),
            Key::Webhook(name) => self.forget_webhook(name),
            Key::Delivery(id) => self.forget_delivery(*id),
            Key::Power(id) => {
                self.power.remove(id);
            }
            Key::Image(name) => self.jobs.forget_image(name),
            Key::Deployment(id) => self.jobs.forget(*id),
            Key::Rollout(id) => self.jobs.forget_rollout(*id),
            Key::Setup(name) => self.jobs.forget_setup(name),
            Key::User(name) => {
                self.users.remove(name);
            }
        }
    }

    fn forget_machine(&mut self, id: &MachineId) {
        let Some(old) = self.machines.remove(id) else {
            return;
        };
        self.seen.remove(&(old.last_seen, id.clone()));
        for mac in &old.macs {
            if self.machine_by_mac.get(mac) == Some(id) {
                self.machine_by_mac.remove(mac);
            }
        }
        if self.machine_by_name.get(&old.name) == Some(id) {
            self.machine_by_name.remove(&old.name);
        }
    }

    fn forget_activation(&mut self, id: ActivationId) {
        let Some(old) = self.activations.remove(&id) else {
            return;
        };
        self.activation_by_nonce.remove(&old.nonce);
        if let Some(ids) = self.activations_of.get_mut(&old.machine) {
            ids.retain(|i| *i != id);
            if ids.is_empty() {
                self.activations_of.remove(&old.machine);
            }
        }
    }
}

/// Drops an address from an index, unless it has meanwhile gone to another station.
fn remove_if(index: &mut OrdMap<Ipv4Addr, MacAddr>, ip: Ipv4Addr, mac: &MacAddr) {
    if index.get(&ip) == Some(mac) {
        index.remove(&ip);
    }
}
