//! Machines are reserved, released, and kept from others.

use super::{MachineError, MachineRef};
use crate::state::{
    Changes, Timestamp, Transition, View,
    event::Draft,
    hold::Hold,
    machine::Machine,
    user::{Asker, UserName},
};

/// Longest reservation: what is needed for longer is a person's own.
pub const MAX_HOLD: jiff::SignedDuration = jiff::SignedDuration::from_hours(366 * 24);

/// Somebody else has the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{machine} is reserved for {holder} until {until}; ask them, or an admin, to release it: `enforcer machines release {machine}`"
)]
pub struct Held {
    /// Which.
    pub machine: String,
    /// Who has it.
    pub holder: UserName,
    /// Until when.
    pub until: Timestamp,
}

/// Why a machine cannot be reserved or released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoldError {
    /// No such machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Another has it.
    #[error(transparent)]
    Held(#[from] Held),
    /// No end that can be.
    #[error("a reservation ends in the future, within a year")]
    Until,
}

/// Whether `caller`, as the API names them, may do something to `machine` now.
///
/// # Errors
/// With who has it.
pub fn may_use(machine: &Machine, caller: &str, now: Timestamp) -> Result<(), Held> {
    match &machine.hold {
        Some(hold) if hold.keeps_off(caller, now) => Err(Held {
            machine: machine.name.to_string(),
            holder: hold.holder.clone(),
            until: hold.until,
        }),
        Some(_) | None => Ok(()),
    }
}

/// What somebody asks for that only the holder may, while there is one.
#[derive(Debug, Clone)]
pub struct OnMachine<T> {
    /// Which machine it is about.
    pub machine: MachineRef,
    /// Who asks, as the API names them.
    pub caller: String,
    /// What they ask for.
    pub wants: T,
}

impl<T: Transition> Transition for OnMachine<T> {
    type Outcome = Result<T::Outcome, Held>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        // A machine that is not there is held by nobody; the transition itself says so.
        if let Some(machine) = self.machine.find(view)
            && let Err(held) = may_use(&machine, &self.caller, now)
        {
            return (Changes::none(), Err(held));
        }
        let (changes, outcome) = self.wants.run(view, now);
        (changes, Ok(outcome))
    }
}

/// A person reserves a machine, or changes how long a reservation lasts.
#[derive(Debug, Clone)]
pub struct ReserveMachine {
    /// Which.
    pub machine: MachineRef,
    /// For whom.
    pub holder: UserName,
    /// Until when.
    pub until: Timestamp,
    /// Who says so, as the API names them.
    pub by: String,
}

impl Transition for ReserveMachine {
    type Outcome = Result<Machine, HoldError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let reserved = self.reserved(view, now);
        if let Ok(machine) = &reserved {
            let (name, holder, until) = (&machine.name, &self.holder, self.until);
            let text = format!("{} reserved {name} for {holder} until {until}", self.by);
            let draft = Draft::new("machine.reserved", text).machine(&machine.id);
            changes.event(draft.field("holder", holder.to_string()));
            changes.write(machine.clone());
        }
        (changes, reserved)
    }
}

impl ReserveMachine {
    fn reserved(&self, view: &View, now: Timestamp) -> Result<Machine, HoldError> {
        let found = found(&self.machine, view)?;
        may_use(&found, &self.by, now)?;
        if self.until <= now || self.until.duration_since(now) > MAX_HOLD {
            return Err(HoldError::Until);
        }
        let mut machine = Machine::clone(&found);
        machine.hold = Some(Hold {
            holder: self.holder.clone(),
            until: self.until,
            by: self.by.clone(),
        });
        Ok(machine)
    }
}

fn found(machine: &MachineRef, view: &View) -> Result<std::sync::Arc<Machine>, MachineError> {
    let missing = || MachineError::NotFound(machine.0.clone());
    machine.find(view).ok_or_else(missing)
}

/// A person releases a machine: the holder, who reserved it, the machine's owner, or an admin.
#[derive(Debug, Clone)]
pub struct ReleaseMachine {
    /// Which.
    pub machine: MachineRef,
    /// Who says so.
    pub by: Asker,
}

impl Transition for ReleaseMachine {
    type Outcome = Result<Machine, HoldError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let released = self.released(view, now, &mut changes);
        (changes, released)
    }
}

impl ReleaseMachine {
    fn released(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<Machine, HoldError> {
        let found = found(&self.machine, view)?;
        let Some(hold) = &found.hold else {
            return Ok(Machine::clone(&found));
        };
        let owns = found.owner.is_some() && self.by.may_change(found.owner.as_ref());
        if !(self.by.admin || owns || hold.by == self.by.caller) {
            may_use(&found, &self.by.caller, now)?;
        }
        let text = format!("{} released {}", self.by.caller, found.name);
        Ok(free(&found, text, changes))
    }
}

fn free(found: &Machine, text: String, changes: &mut Changes) -> Machine {
    let mut machine = found.clone();
    machine.hold = None;
    changes.event(Draft::new("machine.released", text).machine(&machine.id));
    changes.write(machine.clone());
    machine
}

/// Reservations whose time is over.
pub(super) fn expire_holds(view: &View, now: Timestamp, changes: &mut Changes) {
    let ended = |m: &Machine| m.hold.as_ref().is_some_and(|h| !h.stands(now));
    for machine in view.machines().filter(|m| ended(m)) {
        let text = format!("the reservation of {} has ended", machine.name);
        free(machine, text, changes);
    }
}
