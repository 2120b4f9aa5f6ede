//! A key is taken: its record, what it replaces, what the machine learns about itself by it.

use mesh_proto::message::enrol::{KeyKind, Level};

use super::subject::is_blank;
use crate::state::ops::deployments::forget_deployments_of;
use crate::state::{
    Changes, Key, Timestamp, View,
    event::Draft,
    machine::{Machine, MachineId},
    matching::Identity,
    trust::{
        Digest,
        key::{EnrolledKey, KeyState, ProvedBy, Serial},
    },
};

/// Keys kept per machine that no longer count, for its history.
const KEPT: usize = 8;

/// A certificate to be signed, now that it is written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// The machine, as it is now.
    pub machine: Machine,
    /// The key's record: serial, level, and from when to when the certificate is good.
    pub key: EnrolledKey,
    /// Keys whose place it took: close their links.
    pub superseded: Vec<Serial>,
}

/// What is known of a key that is taken.
pub(in crate::state::ops) struct NewKey {
    pub(in crate::state::ops) key: Digest,
    pub(in crate::state::ops) serial: Serial,
    pub(in crate::state::ops) kind: KeyKind,
    pub(in crate::state::ops) level: Level,
    pub(in crate::state::ops) proved: ProvedBy,
    pub(in crate::state::ops) boot_id: String,
    pub(in crate::state::ops) code: Option<String>,
}

/// Writes the key and its machine down; the older keys of its kind no longer count.
pub(in crate::state::ops) fn enrol_key(
    view: &View,
    machine: &Machine,
    new: NewKey,
    now: Timestamp,
    changes: &mut Changes,
) -> Grant {
    let mut superseded = Vec::new();
    for old in view
        .live_keys_of(&machine.id)
        .filter(|k| k.kind == new.kind)
    {
        let mut old = EnrolledKey::clone(old);
        old.state = KeyState::Replaced { at: now };
        superseded.push(old.serial.clone());
        changes.write(old);
    }
    let key = record(view, &machine.id, new, now, changes);
    forget_oldest(view, &machine.id, changes);
    if view.pending_key(&key.key).is_some() {
        changes.write(Key::Pending(key.key));
    }
    let text = format!(
        "a key of {} was taken by {} (level {:?})",
        machine.name,
        key.proved.words(),
        key.level
    );
    let draft = Draft::new("key.enrolled", text).machine(&machine.id);
    changes.event(draft.field("serial", key.serial.as_str()));
    changes.write(machine.clone());
    Grant {
        machine: machine.clone(),
        key,
        superseded,
    }
}

/// The key's record, dated by the issuing time.
pub(in crate::state::ops) fn record(
    view: &View,
    machine: &MachineId,
    new: NewKey,
    now: Timestamp,
    changes: &mut Changes,
) -> EnrolledKey {
    let issued = tell_jump(view, now, changes);
    let key = EnrolledKey {
        serial: new.serial,
        key: new.key,
        machine: machine.clone(),
        kind: new.kind,
        level: new.level,
        proved: new.proved,
        boot_id: new.boot_id,
        code: new.code,
        issued,
        expires: issued
            .saturating_add(EnrolledKey::life(new.kind))
            .unwrap_or(Timestamp::MAX),
        state: KeyState::Live,
    };
    changes.write(key.clone());
    key
}

/// The issuing time, kept; a jump of the clock is told once.
pub(in crate::state::ops) fn tell_jump(
    view: &View,
    now: Timestamp,
    changes: &mut Changes,
) -> Timestamp {
    let issuing = view.issuing_time(now);
    if let Some(stamp) = issuing.stamp {
        changes.write(stamp);
    }
    if issuing.jumped {
        let text = "this host's clock is more than a day ahead of the newest certificate; if it is right, say so with `enforcer clock confirm`";
        changes.event(Draft::new("clock.jumped", text));
    }
    issuing.at
}

fn forget_oldest(view: &View, machine: &MachineId, changes: &mut Changes) {
    let dead: Vec<_> = view.keys_of(machine).filter(|k| !k.is_live()).collect();
    for key in dead.iter().take(dead.len().saturating_sub(KEPT)) {
        changes.write(Key::EnrolledKey(key.serial.clone()));
    }
}

/// The machine has these cards, also those that so far were a nameless machine of their own.
pub(in crate::state::ops) fn adopt(
    view: &View,
    machine: &mut Machine,
    who: &Identity,
    changes: &mut Changes,
) {
    for mac in &who.macs {
        match view.machine_by_mac(*mac) {
            None => {
                machine.macs.insert(*mac);
            }
            Some(other) if other.id == machine.id => {}
            Some(other) if is_blank(view, other) => {
                machine.macs.extend(other.macs.iter().copied());
                if machine.firmware.is_none() {
                    machine.firmware = other.firmware;
                }
                if let (None, Some(boot)) = (&machine.discovery, &other.discovery) {
                    machine.discovery = Some(boot.clone());
                }
                forget_everything_of(view, &other.id, changes);
                let text = format!("{} is a network card of {}", other.name, machine.name);
                changes.event(
                    Draft::new("machine.merged", text)
                        .machine(&machine.id)
                        .mac(*mac),
                );
            }
            // A person registered it, or it has an agent of its own: it is not taken away by what somebody says.
            Some(_) => {}
        }
    }
}

/// Deletes a machine and all that is only about it.
pub(in crate::state::ops) fn forget_everything_of(
    view: &View,
    machine: &MachineId,
    changes: &mut Changes,
) {
    for activation in view.activations_of(machine) {
        changes.write(Key::Activation(activation.id));
    }
    forget_deployments_of(view, machine, changes);
    for key in view.keys_of(machine) {
        changes.write(Key::EnrolledKey(key.serial.clone()));
    }
    for pending in view.pending_of(machine) {
        changes.write(Key::Pending(pending.key));
    }
    for command in view.commands_of(machine) {
        changes.write(Key::Command(command.id));
    }
    if view.facts(machine).is_some() {
        changes.write(Key::Facts(machine.clone()));
    }
    if view.power(machine).is_some() {
        changes.write(Key::Power(machine.clone()));
    }
    if view.member(machine).is_some() {
        changes.write(Key::Member(machine.clone()));
    }
    changes.write(Key::Machine(machine.clone()));
}
