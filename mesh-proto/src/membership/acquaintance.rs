//! What a mesh of sites needs beside gossip: members are met over links of their own, where they speak for themselves, and are
//! forgotten when a person parts from them.

use std::time::Instant;

use foca::{Member, State, Timer};

use super::{Membership, Timing};
use crate::{
    identity::{Identity, NodeId},
    message::link::{Entry, EntryState},
};

impl Membership {
    /// What we know of a node: of ourselves too.
    #[must_use]
    pub fn entry(&self, node: NodeId) -> Option<Entry> {
        if node == self.identity().node {
            let ours = Member::new(*self.identity(), self.effects.incarnation, State::Alive);
            return Some(Entry::from(&ours));
        }
        self.known(node).map(Entry::from)
    }

    /// A node says itself who it is. That counts more than what others have said: a life that they called newer, or over, is
    /// forgotten.
    pub fn meet(&mut self, now: Instant, entry: &Entry) {
        let identity = Identity::from(entry);
        if identity.node == self.identity().node || entry.state != EntryState::Alive {
            return;
        }
        let known = self.known(identity.node);
        let contradicts =
            |known: &Member<Identity>| known.state() == State::Down || known.id().beats(&identity);
        if known.is_some_and(contradicts) {
            self.forget(now, identity.node);
        }
        let alive = [Member::from(entry)];
        let met = self
            .foca
            .apply_many(alive.into_iter(), true, &mut self.effects);
        self.note_fault(&met);
        self.settle(now);
    }

    /// Forgets a node, as if it had never been there. Nobody is told.
    pub fn forget(&mut self, now: Instant, node: NodeId) {
        let Some(known) = self.known(node).cloned() else {
            return;
        };
        self.timers.acquit(node);
        if known.state() != State::Down {
            let down = [Member::down(*known.id())];
            let went = self
                .foca
                .apply_many(down.into_iter(), false, &mut self.effects);
            self.note_fault(&went);
        }
        self.handle_timer(Timer::RemoveDown(*known.id()));
        self.settle(now);
        self.standing.remove(&node);
    }

    /// How patient this mesh is.
    #[must_use]
    pub fn timing(&self) -> &Timing {
        &self.timing
    }
}
