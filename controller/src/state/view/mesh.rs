//! The part of the view about keys, facts, members and commands.

use std::sync::Arc;

use imbl::{HashMap, OrdMap, OrdSet};

use super::View;
use crate::state::{
    Key, Record, Timestamp,
    command::{CommandId, CommandRecord},
    facts::FactsRecord,
    machine::MachineId,
    matching::{Identity, Mark},
    member::Member,
    trust::{
        Digest,
        key::{EnrolledKey, Serial},
        pending::Pending,
        ring::KeyRing,
        stamp::{Issuing, Stamp, issuing_time},
        token::{JoinToken, TokenId},
    },
};

/// The maps; private to the view.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct MeshView {
    keys: OrdMap<Serial, Arc<EnrolledKey>>,
    keys_of: OrdSet<(MachineId, Timestamp, Serial)>,
    pending: OrdMap<Digest, Arc<Pending>>,
    pending_of: OrdSet<(MachineId, Digest)>,
    tokens: OrdMap<TokenId, Arc<JoinToken>>,
    facts: OrdMap<MachineId, Arc<FactsRecord>>,
    members: OrdMap<MachineId, Arc<Member>>,
    commands: OrdMap<CommandId, Arc<CommandRecord>>,
    commands_of: OrdSet<(MachineId, CommandId)>,
    commands_open: OrdSet<CommandId>,
    ring: Arc<KeyRing>,
    stamp: Option<Stamp>,
    identities: HashMap<MachineId, Arc<Identity>>,
    machines_by_mark: HashMap<Mark, OrdSet<MachineId>>,
}

impl View {
    /// All enrolled keys, also those that no longer count.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<EnrolledKey>> {
        self.mesh.keys.values()
    }

    /// A key by its certificate's serial.
    #[must_use]
    pub fn key(&self, serial: &Serial) -> Option<&Arc<EnrolledKey>> {
        self.mesh.keys.get(serial)
    }

    /// The keys of a machine, the one issued first first.
    pub fn keys_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<EnrolledKey>> + use<'a> {
        let start = (machine.clone(), Timestamp::MIN, Serial::new(""));
        let end = (machine.clone(), Timestamp::MAX, Serial::new("~"));
        self.mesh
            .keys_of
            .range(start..=end)
            .filter_map(|(.., serial)| self.mesh.keys.get(serial))
    }

    /// The keys of a machine that count.
    pub fn live_keys_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<EnrolledKey>> + use<'a> {
        self.keys_of(machine).filter(|k| k.is_live())
    }

    /// All keys that wait for a person.
    pub fn pending(&self) -> impl Iterator<Item = &Arc<Pending>> {
        self.mesh.pending.values()
    }

    /// A waiting key.
    #[must_use]
    pub fn pending_key(&self, key: &Digest) -> Option<&Arc<Pending>> {
        self.mesh.pending.get(key)
    }

    /// The keys that wait to be this machine's.
    pub fn pending_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl Iterator<Item = &'a Arc<Pending>> + use<'a> {
        let (start, end) = (Digest([0; 32]), Digest([0xff; 32]));
        self.mesh
            .pending_of
            .range((machine.clone(), start)..=(machine.clone(), end))
            .filter_map(|(_, key)| self.mesh.pending.get(key))
    }

    /// All join tokens that are kept.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<JoinToken>> {
        self.mesh.tokens.values()
    }

    /// A join token by name.
    #[must_use]
    pub fn token(&self, id: &TokenId) -> Option<&Arc<JoinToken>> {
        self.mesh.tokens.get(id)
    }

    /// What a machine is made of.
    #[must_use]
    pub fn facts(&self, machine: &MachineId) -> Option<&Arc<FactsRecord>> {
        self.mesh.facts.get(machine)
    }

    /// All members, by machine.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.mesh.members.values()
    }

    /// A machine's agent.
    #[must_use]
    pub fn member(&self, machine: &MachineId) -> Option<&Arc<Member>> {
        self.mesh.members.get(machine)
    }

    /// All commands that are kept, oldest first.
    pub fn commands(&self) -> impl DoubleEndedIterator<Item = &Arc<CommandRecord>> {
        self.mesh.commands.values()
    }

    /// A command by number.
    #[must_use]
    pub fn command(&self, id: CommandId) -> Option<&Arc<CommandRecord>> {
        self.mesh.commands.get(&id)
    }

    /// The commands of a machine, oldest first.
    pub fn commands_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<CommandRecord>> + use<'a> {
        let (start, end) = (CommandId(0), CommandId(u64::MAX));
        self.mesh
            .commands_of
            .range((machine.clone(), start)..=(machine.clone(), end))
            .filter_map(|(_, id)| self.mesh.commands.get(id))
    }

    /// The commands that are not settled, oldest first.
    pub fn open_commands(&self) -> impl Iterator<Item = &Arc<CommandRecord>> {
        let open = self.mesh.commands_open.iter();
        open.filter_map(|id| self.mesh.commands.get(id))
    }

    /// The number of the next command.
    #[must_use]
    pub fn next_command(&self) -> CommandId {
        let newest = self.mesh.commands.get_max();
        CommandId(newest.map_or(1, |(id, _)| id.0 + 1))
    }

    /// The gossip key ring; empty before the first key was made.
    #[must_use]
    pub fn ring(&self) -> &Arc<KeyRing> {
        &self.mesh.ring
    }

    /// The newest issuing time.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.mesh.stamp
    }

    /// The time to issue a certificate by.
    #[must_use]
    pub fn issuing_time(&self, clock: Timestamp) -> Issuing {
        issuing_time(clock, self.mesh.stamp)
    }

    /// What tells a machine from others.
    #[must_use]
    pub fn identity(&self, machine: &MachineId) -> Option<&Arc<Identity>> {
        self.mesh.identities.get(machine)
    }

    /// The machines that have this mark.
    pub fn machines_with(&self, mark: &Mark) -> impl Iterator<Item = &MachineId> {
        self.mesh.machines_by_mark.get(mark).into_iter().flatten()
    }

    /// The machines that share a mark with `who`, each once.
    pub(in crate::state) fn machines_like(
        &self,
        who: &Identity,
    ) -> impl Iterator<Item = (&MachineId, &Identity)> {
        let mut alike = OrdSet::new();
        for mark in who.marks() {
            alike.extend(self.machines_with(&mark));
        }
        let found = alike.into_iter();
        found.filter_map(|id| Some((id, self.mesh.identities.get(id)?.as_ref())))
    }

    /// Takes in one of this part's records; gives back one that is not.
    pub(super) fn insert_mesh(&mut self, record: Record) {
        match record {
            Record::EnrolledKey(k) => {
                let entry = (k.machine.clone(), k.issued, k.serial.clone());
                self.mesh.keys_of.insert(entry);
                self.mesh.keys.insert(k.serial.clone(), k);
            }
            Record::Pending(p) => {
                self.mesh.pending_of.insert((p.machine.clone(), p.key));
                self.mesh.pending.insert(p.key, p);
            }
            Record::Token(t) => {
                self.mesh.tokens.insert(t.id.clone(), t);
            }
            Record::Facts(f) => {
                let machine = f.machine.clone();
                self.mesh.facts.insert(machine.clone(), f);
                self.index_identity(&machine);
            }
            Record::Member(m) => {
                self.mesh.members.insert(m.machine.clone(), m);
            }
            Record::Command(c) => {
                self.mesh.commands_of.insert((c.machine.clone(), c.id));
                if c.stage.is_open() {
                    self.mesh.commands_open.insert(c.id);
                }
                self.mesh.commands.insert(c.id, c);
            }
            Record::Ring(r) => self.mesh.ring = r,
            Record::Stamp(s) => self.mesh.stamp = Some(s),
            Record::Machine(_)
            | Record::Config(_)
            | Record::Activation(_)
            | Record::Lease(_)
            | Record::Reservation(_)
            | Record::Declined(_)
            | Record::Event(_)
            | Record::Webhook(_)
            | Record::Delivery(_)
            | Record::Power(_)
            | Record::Image(_)
            | Record::Deployment(_)
            | Record::Rollout(_)
            | Record::Setup(_)
            | Record::User(_)
            | Record::ProviderMember(_)
            | Record::Peer(_)
            | Record::Invitation(_)
            | Record::NamedMacs(_)
            | Record::Outgoing(_) => {}
        }
    }

    pub(super) fn forget_mesh(&mut self, key: &Key) {
        match key {
            Key::EnrolledKey(serial) => {
                if let Some(k) = self.mesh.keys.remove(serial) {
                    let entry = (k.machine.clone(), k.issued, k.serial.clone());
                    self.mesh.keys_of.remove(&entry);
                }
            }
            Key::Pending(key) => {
                if let Some(p) = self.mesh.pending.remove(key) {
                    self.mesh.pending_of.remove(&(p.machine.clone(), *key));
                }
            }
            Key::Token(id) => {
                self.mesh.tokens.remove(id);
            }
            Key::Facts(machine) => {
                self.mesh.facts.remove(machine);
                self.index_identity(machine);
            }
            Key::Member(machine) => {
                self.mesh.members.remove(machine);
            }
            Key::Command(id) => {
                if let Some(c) = self.mesh.commands.remove(id) {
                    self.mesh.commands_of.remove(&(c.machine.clone(), *id));
                    self.mesh.commands_open.remove(id);
                }
            }
            Key::Ring => self.mesh.ring = Arc::default(),
            Key::Stamp => self.mesh.stamp = None,
            Key::Machine(_)
            | Key::Config(_)
            | Key::Activation(_)
            | Key::Lease(_)
            | Key::Reservation(_)
            | Key::Declined(_)
            | Key::Event(_)
            | Key::Webhook(_)
            | Key::Delivery(_)
            | Key::Power(_)
            | Key::Image(_)
            | Key::Deployment(_)
            | Key::Rollout(_)
            | Key::Setup(_)
            | Key::User(_)
            | Key::ProviderMember(..)
            | Key::Peer(_)
            | Key::Invitation(_)
            | Key::NamedMacs(_)
            | Key::Outgoing(_) => {}
        }
    }

    /// Brings the marks of a machine up to date after its record or its facts changed.
    pub(super) fn index_identity(&mut self, id: &MachineId) {
        let facts = self.mesh.facts.get(id).map(AsRef::as_ref);
        let machine = self.machines.get(id);
        let now = machine.map(|m| Arc::new(Identity::of_machine(m, facts)));
        let was = self.mesh.identities.get(id).cloned();
        if was == now {
            return;
        }
        for mark in was.iter().flat_map(|i| i.marks()) {
            if let Some(machines) = self.mesh.machines_by_mark.get_mut(&mark) {
                machines.remove(id);
                if machines.is_empty() {
                    self.mesh.machines_by_mark.remove(&mark);
                }
            }
        }
        for mark in now.iter().flat_map(|i| i.marks()) {
            let machines = self.mesh.machines_by_mark.entry(mark).or_default();
            machines.insert(id.clone());
        }
        match now {
            Some(identity) => self.mesh.identities.insert(id.clone(), identity),
            None => self.mesh.identities.remove(id),
        };
    }
}
