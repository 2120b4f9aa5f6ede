//! A person says how a machine is switched; what was done to its power is told.

use std::sync::Arc;

use mesh_proto::message::Secret;

use super::{HoldError, MachineError, MachineRef, may_use};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    event::Draft,
    machine::{Machine, MachineId},
    power::{PowerAction, PowerAddress, PowerSettings},
};

/// How a machine is switched, from now on.
#[derive(Debug, Clone)]
pub struct SetPower {
    /// Which.
    pub machine: MachineRef,
    /// By whom; `None`: by nobody we know.
    pub address: Option<PowerAddress>,
    /// The password; `None` keeps the one that is known for the same address.
    pub secret: Option<Secret>,
    /// Who says so, for people.
    pub by: String,
}

impl Transition for SetPower {
    type Outcome = Result<(), MachineError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(machine) = self.machine.find(view) else {
            return (changes, Err(MachineError::NotFound(self.machine.0.clone())));
        };
        let known = view.power(&machine.id);
        let text = match &self.address {
            None => {
                changes.write(Key::Power(machine.id.clone()));
                format!("{}: {} is switched by nobody", self.by, machine.name)
            }
            Some(address) => {
                let same = known.filter(|k| k.address == *address);
                let kept = || same.and_then(|k| k.secret.clone());
                changes.write(PowerSettings {
                    machine: machine.id.clone(),
                    address: address.clone(),
                    secret: self.secret.clone().or_else(kept),
                    set: Some(now),
                });
                format!("{}: {} is switched by {address}", self.by, machine.name)
            }
        };
        changes.event(Draft::new("power.set", text).machine(&machine.id));
        (changes, Ok(()))
    }
}

/// A person wants a machine switched. Only what this has written down may be done: who reserves the machine before it
/// keeps them off, and who reserves it after it comes too late for this once.
#[derive(Debug, Clone)]
pub struct AskPower {
    /// Which.
    pub machine: MachineRef,
    /// What they want.
    pub action: PowerAction,
    /// Who, as the API names them.
    pub by: String,
}

impl Transition for AskPower {
    type Outcome = Result<Arc<Machine>, HoldError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(machine) = self.machine.find(view) else {
            let missing = MachineError::NotFound(self.machine.0.clone());
            return (changes, Err(missing.into()));
        };
        if let Err(held) = may_use(&machine, &self.by, now) {
            return (changes, Err(held.into()));
        }
        let (by, name, action) = (&self.by, &machine.name, self.action.word());
        let draft = Draft::new(
            "power.asked",
            format!("{by} wants power {action} for {name}"),
        );
        changes.event(draft.machine(&machine.id).field("do", action));
        (changes, Ok(machine))
    }
}

/// Somebody switched a machine, or tried.
#[derive(Debug, Clone)]
pub struct TellPower {
    /// Which.
    pub machine: MachineId,
    /// What was asked for.
    pub action: PowerAction,
    /// By whom it was done, or why not.
    pub done: Result<&'static str, String>,
    /// Who asked, for people.
    pub by: String,
}

impl Transition for TellPower {
    type Outcome = ();

    fn run(&self, view: &View, _: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        let Some(machine) = view.machine(&self.machine) else {
            return (changes, ());
        };
        let (by, name, action) = (&self.by, &machine.name, self.action.word());
        let (kind, text) = match &self.done {
            Ok(via) => (
                format!("power.{action}"),
                format!("{by}: power {action} for {name}, {via}"),
            ),
            Err(why) => (
                "power.failed".to_owned(),
                format!("{by}: power {action} for {name} failed: {why}"),
            ),
        };
        changes.event(
            Draft::new(&kind, text)
                .machine(&machine.id)
                .field("do", action),
        );
        (changes, ())
    }
}
