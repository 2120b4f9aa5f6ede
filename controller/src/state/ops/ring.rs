//! The gossip key is made, used and dropped. After a revocation it must change: what the revoked machine knows must open
//! nothing that is said later.

use mesh_proto::message::Secret;

use crate::state::{
    Changes, Timestamp, Transition, View,
    event::Draft,
    trust::ring::{GroupKey, KeyRing, OLD_KEY_OPENS},
};

/// Writes down that a new group key is wanted; [`KeyRing::next_step`] then says so until there is one.
pub(super) fn want_rotation(view: &View, reason: String, changes: &mut Changes) {
    // Before the first key there is nothing that anybody could know.
    if view.ring().keys.is_empty() {
        return;
    }
    let mut ring = KeyRing::clone(view.ring());
    ring.wanted = Some(reason);
    changes.write(ring);
}

/// A key is added: members that hear of it can open what it will seal.
#[derive(Debug, Clone)]
pub struct RotateRing {
    /// A fresh random key, 64 hex digits.
    pub key: Secret,
    /// Why, for people.
    pub reason: String,
}

impl Transition for RotateRing {
    type Outcome = KeyRing;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, KeyRing) {
        let mut ring = KeyRing::clone(view.ring());
        let newest = ring.keys.last().map_or(0, |k| k.epoch);
        let epoch = newest.saturating_add(1).max(1);
        ring.keys.push(GroupKey {
            epoch,
            key: self.key.clone(),
            made: now,
            retired: None,
        });
        if newest == 0 {
            ring.current = epoch;
        }
        ring.wanted = None;
        let mut changes = Changes::none();
        let text = format!("the gossip key is changed ({})", self.reason);
        changes.event(Draft::new("gossip-key.added", text).field("epoch", epoch.to_string()));
        changes.write(ring.clone());
        (changes, ring)
    }
}

/// All links were told of this epoch: it seals from now on.
#[derive(Debug, Clone, Copy)]
pub struct UseRing(pub u32);

impl Transition for UseRing {
    type Outcome = KeyRing;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, KeyRing) {
        let mut ring = KeyRing::clone(view.ring());
        let mut changes = Changes::none();
        let known = ring.keys.iter().any(|k| k.epoch == self.0);
        if !known || self.0 <= ring.current {
            return (changes, ring);
        }
        ring.current = self.0;
        for old in ring.keys.iter_mut().filter(|k| k.epoch < self.0) {
            old.retired = old.retired.or(Some(now));
        }
        changes.write(ring.clone());
        (changes, ring)
    }
}

/// Keys that no longer seal are dropped once their time is over.
#[derive(Debug, Clone, Copy)]
pub struct DropRetired;

impl Transition for DropRetired {
    type Outcome = KeyRing;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, KeyRing) {
        let mut ring = KeyRing::clone(view.ring());
        let over = |k: &GroupKey| k.retired.is_some_and(|at| now >= at + OLD_KEY_OPENS);
        ring.keys.retain(|k| !over(k));
        let mut changes = Changes::none();
        if ring != **view.ring() {
            changes.write(ring.clone());
        }
        (changes, ring)
    }
}
