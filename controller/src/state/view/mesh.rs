//! The part of the view about keys, facts, members and commands.

use std::{collections::BTreeSet, sync::Arc};

use imbl::HashMap;

use super::{
    View,
    rows::{Index, Rows, UNRANKED, Under},
};
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
    keys: Rows,
    keys_of: Index,
    pending: Rows,
    pending_of: Index,
    tokens: Rows,
    facts: Rows,
    members: Rows,
    commands: Rows,
    commands_of: Index,
    commands_open: Index,
    ring: Arc<KeyRing>,
    stamp: Option<Stamp>,
    identities: HashMap<MachineId, Arc<Identity>>,
    machines_by_mark: Index,
}

impl View {
    /// All enrolled keys, also those that no longer count.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<EnrolledKey>> {
        self.mesh.keys.all()
    }

    /// A key by its certificate's serial.
    #[must_use]
    pub fn key(&self, serial: &Serial) -> Option<&Arc<EnrolledKey>> {
        self.mesh.keys.get(&Key::EnrolledKey(serial.clone()))
    }

    /// The keys of a machine, the one issued first first.
    pub fn keys_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<EnrolledKey>> + use<'a> {
        let keys = self.mesh.keys_of.list(Under::Machine(machine.clone()));
        keys.filter_map(|key| self.mesh.keys.get(key))
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
        self.mesh.pending.all()
    }

    /// A waiting key.
    #[must_use]
    pub fn pending_key(&self, key: &Digest) -> Option<&Arc<Pending>> {
        self.mesh.pending.get(&Key::Pending(*key))
    }

    /// The keys that wait to be this machine's.
    pub fn pending_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl Iterator<Item = &'a Arc<Pending>> + use<'a> {
        let keys = self.mesh.pending_of.list(Under::Machine(machine.clone()));
        keys.filter_map(|key| self.mesh.pending.get(key))
    }

    /// All join tokens that are kept.
    pub fn tokens(&self) -> impl Iterator<Item = &Arc<JoinToken>> {
        self.mesh.tokens.all()
    }

    /// A join token by name.
    #[must_use]
    pub fn token(&self, id: &TokenId) -> Option<&Arc<JoinToken>> {
        self.mesh.tokens.get(&Key::Token(id.clone()))
    }

    /// What a machine is made of.
    #[must_use]
    pub fn facts(&self, machine: &MachineId) -> Option<&Arc<FactsRecord>> {
        self.mesh.facts.get(&Key::Facts(machine.clone()))
    }

    /// All members, by machine.
    pub fn members(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.mesh.members.all()
    }

    /// A machine's agent.
    #[must_use]
    pub fn member(&self, machine: &MachineId) -> Option<&Arc<Member>> {
        self.mesh.members.get(&Key::Member(machine.clone()))
    }

    /// All commands that are kept, oldest first.
    pub fn commands(&self) -> impl DoubleEndedIterator<Item = &Arc<CommandRecord>> {
        self.mesh.commands.all()
    }

    /// A command by number.
    #[must_use]
    pub fn command(&self, id: CommandId) -> Option<&Arc<CommandRecord>> {
        self.mesh.commands.get(&Key::Command(id))
    }

    /// The commands of a machine, oldest first.
    pub fn commands_of<'a>(
        &'a self,
        machine: &MachineId,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<CommandRecord>> + use<'a> {
        let keys = self.mesh.commands_of.list(Under::Machine(machine.clone()));
        keys.filter_map(|key| self.mesh.commands.get(key))
    }

    /// The commands that are not settled, oldest first.
    pub fn open_commands(&self) -> impl Iterator<Item = &Arc<CommandRecord>> {
        let open = self.mesh.commands_open.list(Under::All);
        open.filter_map(|key| self.mesh.commands.get(key))
    }

    /// The number of the next command.
    #[must_use]
    pub fn next_command(&self) -> CommandId {
        let newest = self.commands().next_back();
        CommandId(newest.map_or(1, |c| c.id.0 + 1))
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
        let of = Under::Mark(mark.clone());
        let machines = self.mesh.machines_by_mark.list(of);
        machines.filter_map(|key| match key {
            Key::Machine(id) => Some(id),
            _ => None,
        })
    }

    /// The machines that share a mark with `who`, each once.
    pub(in crate::state) fn machines_like(
        &self,
        who: &Identity,
    ) -> impl Iterator<Item = (&MachineId, &Identity)> {
        let mut alike = BTreeSet::new();
        for mark in who.marks() {
            alike.extend(self.machines_with(&mark));
        }
        let found = alike.into_iter();
        found.filter_map(|id| Some((id, self.mesh.identities.get(id)?.as_ref())))
    }

    /// Takes in one of this part's records; gives back one that is not.
    pub(super) fn insert_mesh(&mut self, record: Record) {
        match &record {
            Record::EnrolledKey(k) => {
                let of = Under::Machine(k.machine.clone());
                let (rank, key) = (k.issued.as_nanosecond(), record.key());
                self.mesh.keys_of.insert(of, rank, key);
                self.mesh.keys.put(record);
            }
            Record::Pending(p) => {
                let of = Under::Machine(p.machine.clone());
                self.mesh.pending_of.insert(of, UNRANKED, record.key());
                self.mesh.pending.put(record);
            }
            Record::Token(_) => self.mesh.tokens.put(record),
            Record::Facts(f) => {
                let machine = f.machine.clone();
                self.mesh.facts.put(record);
                self.index_identity(&machine);
            }
            Record::Member(_) => self.mesh.members.put(record),
            Record::Command(c) => {
                let of = Under::Machine(c.machine.clone());
                self.mesh.commands_of.insert(of, UNRANKED, record.key());
                if c.stage.is_open() {
                    let open = &mut self.mesh.commands_open;
                    open.insert(Under::All, UNRANKED, record.key());
                }
                self.mesh.commands.put(record);
            }
            Record::Ring(r) => self.mesh.ring = Arc::clone(r),
            Record::Stamp(s) => self.mesh.stamp = Some(*s),
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
            | Record::ApiToken(_)
            | Record::Password(_)
            | Record::Session(_)
            | Record::ProviderMember(_)
            | Record::Peer(_)
            | Record::Invitation(_)
            | Record::NamedMacs(_)
            | Record::Outgoing(_)
            | Record::Answered(_) => {}
        }
    }

    pub(super) fn forget_mesh(&mut self, key: &Key) {
        match key {
            Key::EnrolledKey(_) => {
                if let Some(Record::EnrolledKey(k)) = self.mesh.keys.remove(key) {
                    let of = Under::Machine(k.machine.clone());
                    let rank = k.issued.as_nanosecond();
                    self.mesh.keys_of.remove(of, rank, key.clone());
                }
            }
            Key::Pending(_) => {
                if let Some(Record::Pending(p)) = self.mesh.pending.remove(key) {
                    let of = Under::Machine(p.machine.clone());
                    self.mesh.pending_of.remove(of, UNRANKED, key.clone());
                }
            }
            Key::Token(_) => {
                self.mesh.tokens.remove(key);
            }
            Key::Facts(machine) => {
                self.mesh.facts.remove(key);
                self.index_identity(machine);
            }
            Key::Member(_) => {
                self.mesh.members.remove(key);
            }
            Key::Command(_) => {
                if let Some(Record::Command(c)) = self.mesh.commands.remove(key) {
                    let of = Under::Machine(c.machine.clone());
                    let mesh = &mut self.mesh;
                    mesh.commands_of.remove(of, UNRANKED, key.clone());
                    mesh.commands_open.remove(Under::All, UNRANKED, key.clone());
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
            | Key::ApiToken(_)
            | Key::Password(_)
            | Key::Session(_)
            | Key::ProviderMember(..)
            | Key::Peer(_)
            | Key::Invitation(_)
            | Key::NamedMacs(_)
            | Key::Outgoing(_)
            | Key::Answered(_) => {}
        }
    }

    /// Brings the marks of a machine up to date after its record or its facts changed.
    pub(super) fn index_identity(&mut self, id: &MachineId) {
        let facts = self.facts(id).map(AsRef::as_ref);
        let machine = self.machines.get(id);
        let now = machine.map(|m| Arc::new(Identity::of_machine(m, facts)));
        let was = self.mesh.identities.get(id).cloned();
        if was == now {
            return;
        }
        let (machines, key) = (&mut self.mesh.machines_by_mark, Key::Machine(id.clone()));
        for mark in was.iter().flat_map(|i| i.marks()) {
            machines.remove(Under::Mark(mark), UNRANKED, key.clone());
        }
        for mark in now.iter().flat_map(|i| i.marks()) {
            machines.insert(Under::Mark(mark), UNRANKED, key.clone());
        }
        match now {
            Some(identity) => self.mesh.identities.insert(id.clone(), identity),
            None => self.mesh.identities.remove(id),
        };
    }
}
