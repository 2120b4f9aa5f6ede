//! An agent tells what its machine is made of.

use mesh_proto::{
    facts::HardwareFacts,
    message::{Refusal, RefusalCode, enrol::KeyKind},
};

use super::enrol::adopt;
use crate::state::{
    Changes, Timestamp, Transition, View,
    event::Draft,
    facts::{FactsChange, FactsRecord, MAX_VERSIONS, changes as differences},
    machine::Machine,
    matching::{Identity, same_board},
    trust::key::Serial,
};

/// Facts arrived over a link.
#[derive(Debug, Clone)]
pub struct RecordFacts {
    /// The certificate of the link.
    pub serial: Serial,
    /// The boot they were read in.
    pub boot_id: String,
    /// What the machine is made of.
    pub facts: HardwareFacts,
}

impl Transition for RecordFacts {
    /// What changed, in words; or that the key runs on another board than it was made for.
    type Outcome = Result<Vec<String>, Refusal>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let unknown = || Refusal::new(RefusalCode::Revoked, "this site does not know the key");
        let key = view.key(&self.serial).filter(|k| k.is_live());
        let Some((key, machine)) = key.and_then(|k| Some((k, view.machine(&k.machine)?))) else {
            return (changes, Err(unknown()));
        };
        let who = Identity::of_facts(&self.facts);
        let known = view.facts(&machine.id);
        if let Some(known) = known.filter(|_| key.kind == KeyKind::Installed)
            && !same_board(&Identity::of_facts(&known.facts), &who)
        {
            return (changes_of_a_clone(machine), Err(wrong_hardware(machine)));
        }
        let told = known.map_or_else(Vec::new, |k| differences(&k.facts, &self.facts));
        self.keep(machine, known.map(AsRef::as_ref), &told, now, &mut changes);
        self.update_machine(view, machine, known.map(AsRef::as_ref), &who, &mut changes);
        (changes, Ok(told))
    }
}

fn wrong_hardware(machine: &Machine) -> Refusal {
    let text = format!(
        "this key was made for {}, and this is another board; make a new key and enrol it",
        machine.name
    );
    Refusal::new(RefusalCode::WrongHardware, text)
}

fn changes_of_a_clone(machine: &Machine) -> Changes {
    let mut changes = Changes::none();
    let text = format!(
        "the key of {} was used on another board, as after its disk was copied; it was refused there",
        machine.name
    );
    changes.event(Draft::new("machine.cloned", text).machine(&machine.id));
    changes
}

impl RecordFacts {
    fn keep(
        &self,
        machine: &Machine,
        known: Option<&FactsRecord>,
        told: &[String],
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let digest = self.facts.digest();
        let mut history = known.map_or_else(Vec::new, |k| k.history.clone());
        let first = known.is_none();
        if first || known.is_some_and(|k| k.digest != digest) {
            history.push(FactsChange {
                at: now,
                digest: digest.clone(),
                what: told.to_vec(),
            });
            let surplus = history.len().saturating_sub(MAX_VERSIONS);
            history.drain(..surplus);
        } else if known.is_some_and(|k| k.facts == self.facts && k.boot_id == self.boot_id) {
            return;
        }
        if first {
            let text = format!("{} told what it is made of", machine.name);
            changes.event(Draft::new("machine.facts", text).machine(&machine.id));
        } else if !told.is_empty() {
            let text = format!("{} changed: {}", machine.name, told.join(", "));
            changes.event(Draft::new("machine.hardware-changed", text).machine(&machine.id));
        }
        changes.write(FactsRecord {
            machine: machine.id.clone(),
            facts: self.facts.clone(),
            digest,
            boot_id: self.boot_id.clone(),
            at: now,
            history,
        });
    }

    /// The machine has the cards it has now; one that was carried away is no longer its own.
    fn update_machine(
        &self,
        view: &View,
        before: &Machine,
        known: Option<&FactsRecord>,
        who: &Identity,
        changes: &mut Changes,
    ) {
        let mut machine = before.clone();
        let was = known
            .map(|k| Identity::of_facts(&k.facts))
            .unwrap_or_default();
        for gone in was.macs.difference(&who.macs) {
            if machine.macs.len() > 1 {
                machine.macs.remove(gone);
            }
        }
        adopt(view, &mut machine, who, changes);
        machine.uuid = self.facts.smbios.uuid.clone().or(machine.uuid);
        machine.serial = self.facts.smbios.serial.clone().or(machine.serial);
        if machine != *before {
            changes.write(machine);
        }
    }
}
