//! A person makes a machine's agent a boot helper, or takes that role away.

use super::{MachineError, MachineRef};
use crate::state::{
    Changes, Timestamp, Transition, View,
    event::Draft,
    helper::{CannotHelp, HelperRole, MAX_INTERFACE_NAME, MAX_INTERFACES, may_help},
    machine::Machine,
};

/// Why a role cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelperError {
    /// No such machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Its agent cannot be one.
    #[error(transparent)]
    Cannot(#[from] CannotHelp),
    /// Names that no interface has.
    #[error(
        "an interface has a name of 1 to {MAX_INTERFACE_NAME} letters, digits, dots, hyphens and underscores, and a helper is given at most {MAX_INTERFACES}; without any it serves all"
    )]
    Interfaces,
}

/// A person's word.
#[derive(Debug, Clone)]
pub struct SetHelper {
    /// Whose agent.
    pub machine: MachineRef,
    /// The interfaces to serve, empty for all; `None`: the role ends.
    pub role: Option<Vec<String>>,
    /// Who says so, as the API names them.
    pub by: String,
}

impl Transition for SetHelper {
    type Outcome = Result<Machine, HelperError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let outcome = self.changed(view, now);
        if let Ok((machine, Some(text))) = &outcome {
            let kind = match machine.helper {
                Some(_) => "helper.on",
                None => "helper.off",
            };
            changes.event(Draft::new(kind, text.clone()).machine(&machine.id));
            changes.write(machine.clone());
        }
        (changes, outcome.map(|(machine, _)| machine))
    }
}

impl SetHelper {
    /// The machine as it shall be, and what is told of it; nothing when it is so already.
    fn changed(
        &self,
        view: &View,
        now: Timestamp,
    ) -> Result<(Machine, Option<String>), HelperError> {
        let missing = || MachineError::NotFound(self.machine.0.clone());
        let found = self.machine.find(view).ok_or_else(missing)?;
        let mut machine = Machine::clone(&found);
        let name = machine.name.clone();
        let Some(interfaces) = &self.role else {
            let had = machine.helper.take().is_some();
            let text = format!("{} ended {name}'s work as a boot helper", self.by);
            return Ok((machine, had.then_some(text)));
        };
        may_help(view, &machine)?;
        if interfaces.len() > MAX_INTERFACES || !interfaces.iter().all(|i| is_interface(i)) {
            return Err(HelperError::Interfaces);
        }
        if machine
            .helper
            .as_ref()
            .is_some_and(|role| role.interfaces == *interfaces)
        {
            return Ok((machine, None));
        }
        machine.helper = Some(HelperRole {
            since: now,
            by: self.by.clone(),
            interfaces: interfaces.clone(),
        });
        let text = match interfaces.as_slice() {
            [] => format!("{} made {name} a boot helper for its segments", self.by),
            some => format!(
                "{} made {name} a boot helper on {}",
                self.by,
                some.join(", ")
            ),
        };
        Ok((machine, Some(text)))
    }
}

fn is_interface(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    (1..=MAX_INTERFACE_NAME).contains(&name.len()) && name.bytes().all(good)
}
