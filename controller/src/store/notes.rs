//! The bounded buffer of what may be lost in a crash: events of the boot sockets and small deferred changes.

use std::{
    any::TypeId,
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ipxe::MacAddr;
use tokio::sync::Notify;

use super::job::{Job, Noted};
use crate::state::{Timestamp, Transition, event::Draft, machine::MachineId};

/// Events waiting for the next commit. A full room of 1,000 machines makes some 10 each within a second at the very most.
const MAX_DRAFTS: usize = 10_000;
/// Changes waiting, one per kind and subject: as many stations as may be pending (DESIGN §8).
const MAX_CHANGES: usize = 4_096;

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A station on the network.
    Station(MacAddr),
    /// A machine.
    Machine(MachineId),
    /// A station as this machine's agent hears it; several hear one.
    Heard(MacAddr, MachineId),
}

impl From<MacAddr> for Subject {
    fn from(mac: MacAddr) -> Self {
        Self::Station(mac)
    }
}

impl From<&MachineId> for Subject {
    fn from(id: &MachineId) -> Self {
        Self::Machine(id.clone())
    }
}

/// A change's name in the buffer: a later one of the same name replaces it.
type Name = (Subject, TypeId);

/// What waits.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) drafts: Vec<(Timestamp, Draft)>,
    pub(super) changes: BTreeMap<Name, Box<dyn Job>>,
}

/// The buffer; filled by anyone, without waiting, emptied by the writer.
#[derive(Default)]
pub(super) struct Notes {
    state: Mutex<State>,
    /// Rings when something waits (also once more after it was taken: harmless).
    pub(super) filled: Notify,
}

#[derive(Default)]
struct State {
    batch: Batch,
    dropped: u64,
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below panics half-way through a change of the buffer.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn event(&self, at: Timestamp, draft: Draft) {
        let mut state = self.lock();
        if state.batch.drafts.len() >= MAX_DRAFTS {
            state.dropped += 1;
            return;
        }
        state.batch.drafts.push((at, draft));
        self.filled.notify_one();
    }

    pub(super) fn change<T: Transition<Outcome = ()>>(&self, about: Subject, change: T) {
        let mut state = self.lock();
        let name = (about, TypeId::of::<T>());
        let known = state.batch.changes.contains_key(&name);
        if !known && state.batch.changes.len() >= MAX_CHANGES {
            state.dropped += 1;
            return;
        }
        state
            .batch
            .changes
            .insert(name, Box::new(Noted::new(change)));
        self.filled.notify_one();
    }

    /// Empties the buffer.
    pub(super) fn take(&self) -> Batch {
        mem::take(&mut self.lock().batch)
    }

    /// Puts back what could not be kept; what came meanwhile is newer and goes behind it or replaces it.
    pub(super) fn restore(&self, mut old: Batch) {
        let mut state = self.lock();
        let newer = mem::take(&mut state.batch);
        old.drafts.extend(newer.drafts);
        old.changes.extend(newer.changes);
        let surplus = old.drafts.len().saturating_sub(MAX_DRAFTS);
        old.drafts.truncate(MAX_DRAFTS);
        state.dropped += surplus as u64;
        while old.changes.len() > MAX_CHANGES {
            old.changes.pop_last();
            state.dropped += 1;
        }
        state.batch = old;
        self.filled.notify_one();
    }

    /// How many were dropped because the buffer was full, since the start.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}
