//! Keys end and are renewed.

use mesh_proto::message::{Refusal, RefusalCode, enrol::KeyKind};

use super::{
    MachineRef,
    acceptance::{AcceptError, find},
    enrol::{Grant, NewKey, record},
    ring::want_rotation,
};
use crate::state::{
    Changes, Timestamp, Transition, View,
    event::Draft,
    machine::Machine,
    trust::{
        Digest,
        admit::admit,
        key::{EnrolledKey, KeyState, ProvedBy, Serial},
        stamp::Stamp,
    },
};

/// A person revokes all keys of a machine. It keeps its standing, and may enrol anew.
#[derive(Debug, Clone)]
pub struct RevokeKeys {
    /// Whose.
    pub machine: MachineRef,
    /// Why, for people.
    pub reason: String,
}

impl Transition for RevokeKeys {
    /// Close their links; the gossip ring wants to rotate ([`next_step`](crate::state::trust::ring::KeyRing::next_step)).
    type Outcome = Result<Vec<Serial>, AcceptError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let machine = match find(view, &self.machine) {
            Ok(machine) => machine,
            Err(error) => return (changes, Err(error)),
        };
        let mut revoked = Vec::new();
        for key in view.live_keys_of(&machine.id) {
            revoked.push(key.serial.clone());
            revoke(key, &self.reason, now, &mut changes);
        }
        if !revoked.is_empty() {
            let text = format!("the keys of {} were revoked: {}", machine.name, self.reason);
            changes.event(Draft::new("key.revoked", &text).machine(&machine.id));
            want_rotation(view, text, &mut changes);
        }
        (changes, Ok(revoked))
    }
}

/// Writes down that a key must not be believed.
pub(super) fn revoke(key: &EnrolledKey, reason: &str, now: Timestamp, changes: &mut Changes) {
    let mut key = key.clone();
    key.state = KeyState::Revoked {
        at: now,
        reason: reason.to_owned(),
    };
    changes.write(key);
}

/// An enrolled key asks for its successor's certificate: for itself or for a new key. Its own certificate may have ended.
#[derive(Debug, Clone)]
pub struct RenewKey {
    /// The serial that it shows.
    pub serial: Serial,
    /// SHA-256 of the SubjectPublicKeyInfo that it proved.
    pub shown: Digest,
    /// The key to be certified.
    pub key: Digest,
    /// A fresh serial.
    pub fresh: Serial,
    /// Its boot, when its hello told it.
    pub boot_id: Option<String>,
}

impl Transition for RenewKey {
    type Outcome = Result<Grant, Refusal>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| self.renewed(view, now, changes))
    }
}

impl RenewKey {
    fn renewed(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Grant, Refusal> {
        admit(view, &self.serial, &self.shown, now)?;
        let missing = || Refusal::new(RefusalCode::Revoked, "this site does not know the key");
        let old = view.key(&self.serial).ok_or_else(missing)?;
        let machine = view.machine(&old.machine).ok_or_else(missing)?;
        if view
            .live_keys_of(&machine.id)
            .filter(|k| k.kind == old.kind)
            .count()
            > MAX_SUCCESSORS
        {
            let text = "too many certificates wait to be used; use the newest";
            return Err(Refusal::new(RefusalCode::Busy, text));
        }
        let same = self.key == old.key;
        let new = NewKey {
            key: self.key,
            serial: self.fresh.clone(),
            kind: old.kind,
            level: old.level,
            // What a renewed key is worth is what it was proved by once.
            proved: if same {
                old.proved.clone()
            } else {
                ProvedBy::Renewal
            },
            boot_id: self.boot_id.clone().unwrap_or_else(|| old.boot_id.clone()),
            code: old.code.clone().filter(|_| same),
        };
        // The old one counts until the new one is used: its owner may lose power before it is on the disk.
        let key = record(view, &machine.id, new, now, changes);
        let what = match old.kind {
            KeyKind::Boot => "the key of this boot",
            KeyKind::Installed => "the installed key",
        };
        let text = format!(
            "{what} of {} was renewed until {}",
            machine.name, key.expires
        );
        let draft = Draft::new("key.renewed", text).machine(&machine.id);
        changes.event(draft.field("serial", key.serial.as_str()));
        Ok(Grant {
            machine: Machine::clone(machine),
            key,
            superseded: Vec::new(),
        })
    }
}

/// Certificates of one kind that may be unused at once: an agent that loses each answer and asks again.
const MAX_SUCCESSORS: usize = 8;

/// Somebody confirms that this host's clock is right although it jumped ahead.
#[derive(Debug, Clone, Copy)]
pub struct ConfirmClock;

impl Transition for ConfirmClock {
    /// Whether there was a jump to confirm.
    type Outcome = bool;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, bool) {
        let mut changes = Changes::none();
        let jumped = view.stamp().is_some_and(|s| s.unconfirmed.is_some());
        if jumped {
            changes.write(Stamp {
                newest: now,
                unconfirmed: None,
            });
            changes.event(Draft::new(
                "clock.confirmed",
                "this host's clock was confirmed",
            ));
        }
        (changes, jumped)
    }
}
