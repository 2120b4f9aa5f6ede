//! Keys that wait for a person come and go.

use ipxe::MacAddr;
use mesh_proto::facts::HardwareFacts;

use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    event::Draft,
    machine::{Machine, MachineId, MachineName},
    matching::Identity,
    ops::{enrol::is_blank, machines::make_room},
    trust::{
        Digest,
        pending::{MAX_PENDING, MAX_PENDING_OF_ONE, Pending},
    },
};

/// Puts a key into the queue, or notes that it asks again. Its machine may be new.
pub(super) fn wait_for_a_person(
    view: &View,
    machine: Machine,
    mut pending: Pending,
    changes: &mut Changes,
) -> Pending {
    let known = view.pending_key(&pending.key);
    if let Some(known) = known {
        pending.since = known.since;
        if view.machine(&known.machine).is_some() {
            pending.machine = known.machine.clone();
        }
    } else {
        make_room_in_queue(view, &pending, changes);
    }
    let name = match view.machine(&pending.machine) {
        Some(machine) => machine.name.clone(),
        None => {
            make_room(view, changes);
            let name = machine.name.clone();
            changes.write(machine);
            name
        }
    };
    if known.is_none() {
        let text = format!(
            "{name} waits to be accepted: {}; compare the code on its screen: `enforcer machines accept {name} --code ...`",
            pending.why
        );
        let draft = Draft::new("machine.pending", text).machine(&pending.machine);
        changes.event(draft.field("from", pending.from.to_string()));
    }
    changes.write(pending.clone());
    pending
}

/// A machine that nobody knew: it has the cards that are nobody's, and is named after one.
pub(super) fn newcomer(
    view: &View,
    id: MachineId,
    facts: &HardwareFacts,
    now: Timestamp,
) -> Machine {
    let who = Identity::of_facts(facts);
    let owner = |mac: &MacAddr| view.machine_by_mac(*mac);
    let first = who
        .macs
        .iter()
        .find(|mac| owner(mac).is_none_or(|m| is_blank(view, m)));
    let mut machine = Machine::seen(id, first.copied().unwrap_or(MacAddr([0; 6])), now);
    let free = who.macs.iter().filter(|mac| owner(mac).is_none());
    machine.macs = free.copied().collect();
    let holder = view.machine_by_name(&machine.name);
    if first.is_none() || holder.is_some_and(|m| !is_blank(view, m)) {
        machine.name = MachineName::from_id(&machine.id);
    }
    machine.uuid.clone_from(&facts.smbios.uuid);
    machine.serial.clone_from(&facts.smbios.serial);
    machine
}

fn make_room_in_queue(view: &View, newcomer: &Pending, changes: &mut Changes) {
    let own: Vec<_> = view.pending_of(&newcomer.machine).collect();
    let silent = if own.len() >= MAX_PENDING_OF_ONE {
        own.iter().min_by_key(|p| p.heard).map(|p| p.key)
    } else if view.pending().count() >= MAX_PENDING {
        view.pending().min_by_key(|p| p.heard).map(|p| p.key)
    } else {
        None
    };
    if let Some(key) = silent {
        changes.write(Key::Pending(key));
    }
}

/// A waiting key's agent went away.
#[derive(Debug, Clone, Copy)]
pub struct Withdraw(pub Digest);

impl Transition for Withdraw {
    type Outcome = ();

    fn run(&self, view: &View, _: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        if view.pending_key(&self.0).is_some() {
            changes.write(Key::Pending(self.0));
        }
        (changes, ())
    }
}
