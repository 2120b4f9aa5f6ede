//! Everything known, as an immutable index in memory.
//!
//! The maps share structure (imbl), so that the writer can keep a copy per transaction and publish it at the price of
//! the entries that changed.

mod addresses;
mod jobs;
mod mesh;
mod notify;
mod peers;
mod people;
mod providers;
mod rows;

use std::sync::Arc;

use imbl::{HashMap, OrdMap};
use ipxe::MacAddr;

use self::rows::{Index, Rows, Under};
use super::{
    Key, Record, Write,
    activation::{Activation, ActivationId, Nonce},
    answered::Answered,
    config::{BootConfig, ConfigName},
    event::Recorded,
    machine::{Machine, MachineId, MachineName, Standing},
    policy::Policy,
    power::PowerSettings,
    trust::Digest,
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
    seen: Index,
    machine_by_mac: HashMap<MacAddr, MachineId>,
    machine_by_name: HashMap<MachineName, MachineId>,
    configs: OrdMap<ConfigName, Arc<BootConfig>>,
    activations: OrdMap<ActivationId, Arc<Activation>>,
    activation_by_nonce: HashMap<Nonce, ActivationId>,
    activations_of: HashMap<MachineId, Arc<Vec<ActivationId>>>,
    events: OrdMap<u64, Recorded>,
    mesh: mesh::MeshView,
    addresses: addresses::AddressesView,
    notify: notify::NotifyView,
    power: Rows,
    jobs: jobs::JobsView,
    people: people::PeopleView,
    providers: providers::ProvidersView,
    peers: peers::PeersView,
    answers: Rows,
}

impl View {
    /// All machines, by id.
    pub fn machines(&self) -> impl Iterator<Item = &Arc<Machine>> {
        self.machines.values()
    }

    /// Machines that nobody registered, the one that was silent longest first.
    pub fn seen(&self) -> impl Iterator<Item = &Arc<Machine>> {
        let index = self.seen.list(Under::All);
        index.filter_map(|key| match key {
            Key::Machine(id) => self.machines.get(id),
            _ => None,
        })
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
            .flat_map(|ids| ids.iter())
            .filter_map(|id| self.activations.get(id))
    }

    /// The number of the next activation.
    #[must_use]
    pub fn next_activation(&self) -> ActivationId {
        ActivationId(self.activations.get_max().map_or(1, |(id, _)| id.0 + 1))
    }

    /// How a machine is switched, if somebody said so.
    #[must_use]
    pub fn power(&self, machine: &MachineId) -> Option<&Arc<PowerSettings>> {
        self.power.get(&Key::Power(machine.clone()))
    }

    /// The requests that are remembered under their askers' names.
    pub fn answers(&self) -> impl Iterator<Item = &Arc<Answered>> {
        self.answers.all()
    }

    /// The request of this name.
    #[must_use]
    pub fn answered(&self, name: &Digest) -> Option<&Arc<Answered>> {
        self.answers.get(&Key::Answered(*name))
    }

    /// Events with a number above `after`, oldest first.
    pub fn events_after(&self, after: u64) -> impl DoubleEndedIterator<Item = &Recorded> {
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
                    let rank = m.last_seen.as_nanosecond();
                    self.seen.insert(Under::All, rank, Key::Machine(id.clone()));
                }
                self.machines.insert(id.clone(), m);
                self.index_identity(&id);
            }
            Record::Config(c) => {
                self.configs.insert(c.name.clone(), c);
            }
            Record::Activation(a) => {
                self.activation_by_nonce.insert(a.nonce.clone(), a.id);
                let of = self.activations_of.entry(a.machine.clone());
                let ids = Arc::make_mut(of.or_default());
                ids.insert(ids.partition_point(|id| *id < a.id), a.id);
                self.activations.insert(a.id, a);
            }
            Record::Lease(l) => self.addresses.insert_lease(l),
            Record::Reservation(r) => self.addresses.insert_reservation(r),
            Record::Declined(d) => self.addresses.insert_declined(d),
            Record::Event(e) => {
                self.events.insert(e.seq(), e);
            }
            Record::EnrolledKey(_)
            | Record::Pending(_)
            | Record::Token(_)
            | Record::Facts(_)
            | Record::Member(_)
            | Record::Command(_)
            | Record::Ring(_)
            | Record::Stamp(_) => self.insert_mesh(record),
            Record::Webhook(_) => self.put_webhook(record),
            Record::Delivery(d) => self.insert_delivery(d),
            Record::Power(_) => self.power.put(record),
            Record::Image(_) => self.jobs.put_image(record),
            Record::Deployment(d) => self.jobs.insert(d),
            Record::Rollout(_) => self.jobs.put_rollout(record),
            Record::Setup(_) => self.jobs.put_setup(record),
            Record::User(_) => self.people.put_user(record),
            Record::ApiToken(_) => self.people.put_token(record),
            Record::Password(_) => self.people.put_password(record),
            Record::Session(_) => self.people.put_session(record),
            Record::ProviderMember(m) => self.providers.insert(&m),
            Record::Peer(_) => self.peers.put(record),
            Record::Invitation(_) => self.peers.put_invitation(record),
            Record::NamedMacs(n) => self.peers.insert_named(n),
            Record::Outgoing(_) => self.peers.put_outgoing(record),
            Record::Answered(_) => self.answers.put(record),
        }
    }

    fn forget(&mut self, key: &Key) {
        match key {
            Key::Machine(id) => self.forget_machine(id),
            Key::Config(name) => {
                self.configs.remove(name);
            }
            Key::Activation(id) => self.forget_activation(*id),
            Key::Lease(mac) => self.addresses.forget_lease(*mac),
            Key::Reservation(mac) => self.addresses.forget_reservation(*mac),
            Key::Declined(ip) => self.addresses.forget_declined(*ip),
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
            Key::Webhook(_) => self.forget_webhook(key),
            Key::Delivery(_) => self.forget_delivery(key),
            Key::Power(_) => {
                self.power.remove(key);
            }
            Key::Image(_) => self.jobs.forget_image(key),
            Key::Deployment(id) => self.jobs.forget(*id),
            Key::Rollout(_) => self.jobs.forget_rollout(key),
            Key::Setup(_) => self.jobs.forget_setup(key),
            Key::User(_) => self.people.forget_user(key),
            Key::ApiToken(_) => self.people.forget_token(key),
            Key::Password(_) => self.people.forget_password(key),
            Key::Session(_) => self.people.forget_session(key),
            Key::ProviderMember(provider, _) => self.providers.forget(provider, key),
            Key::Peer(_) => self.peers.forget(key),
            Key::Invitation(_) => self.peers.forget_invitation(key),
            Key::NamedMacs(_) => self.peers.forget_named(key),
            Key::Outgoing(_) => self.peers.forget_outgoing(key),
            Key::Answered(_) => {
                self.answers.remove(key);
            }
        }
    }

    fn forget_machine(&mut self, id: &MachineId) {
        let Some(old) = self.machines.remove(id) else {
            return;
        };
        let rank = old.last_seen.as_nanosecond();
        self.seen.remove(Under::All, rank, Key::Machine(id.clone()));
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
            let ids = Arc::make_mut(ids);
            ids.retain(|i| *i != id);
            if ids.is_empty() {
                self.activations_of.remove(&old.machine);
            }
        }
    }
}
