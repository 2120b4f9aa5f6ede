//! What is due for a machine is ended by a person or by time.

use std::sync::Arc;

use crate::state::{
    Changes, Timestamp, Transition, View,
    activation::{Activation, Stage},
    boot::first,
    label::Selector,
    machine::Machine,
    ops::{
        ActivateError, MachineRef,
        activations::about,
        commands::expire_overdue as expire_commands,
        holds::{expire_holds, may_use},
        lend::expire_lent,
        taken::tell_owner,
    },
};

/// A person ends what is due for a machine; what is then due next stays.
#[derive(Debug, Clone)]
pub struct Deactivate(pub MachineRef);

impl Transition for Deactivate {
    type Outcome = Result<Activation, ActivateError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let Some(machine) = self.0.find(view) else {
            return (
                Changes::none(),
                Err(ActivateError::NoMachine(self.0.0.clone())),
            );
        };
        // What its time limit has ended, but nobody wrote down yet, comes last.
        let open = || view.activations_of(&machine.id).filter(|a| a.is_open());
        let Some(open) = first(open().filter(|a| a.is_due(now))).or_else(|| first(open())) else {
            return (
                Changes::none(),
                Err(ActivateError::NotActive(machine.name.to_string())),
            );
        };
        let mut changes = Changes::none();
        let closed = deactivated(open, view, now, &mut changes);
        (changes, Ok(closed))
    }
}

/// A person ends everything that a selector made due, as it was written then, but for machines that others have.
#[derive(Debug, Clone)]
pub struct DeactivateSelected {
    /// Which.
    pub selector: Selector,
    /// Only for machines that have these labels now; `None`: for all.
    pub within: Option<Selector>,
    /// Who asks, as the API names them.
    pub by: String,
}

impl Transition for DeactivateSelected {
    type Outcome = Result<Vec<Activation>, ActivateError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let this = |a: &Activation| {
            a.selected
                .as_ref()
                .is_some_and(|s| s.selector == self.selector)
        };
        let (mut closed, mut held) = (Vec::new(), None);
        for open in view.activations().filter(|a| a.is_open() && this(a)) {
            let machine = view.machine(&open.machine);
            if !self.is_within(machine) {
                continue;
            }
            match machine.map_or(Ok(()), |m| may_use(m, &self.by, now)) {
                Ok(()) => closed.push(deactivated(open, view, now, &mut changes)),
                Err(other) => held = Some(other),
            }
        }
        let outcome = match (closed.is_empty(), held) {
            (false, _) => Ok(closed),
            (true, Some(held)) => Err(held.into()),
            (true, None) => Err(ActivateError::NotActive(self.selector.to_string())),
        };
        (changes, outcome)
    }
}

impl DeactivateSelected {
    /// A machine may have been labelled anew since the selector meant it.
    fn is_within(&self, machine: Option<&Arc<Machine>>) -> bool {
        let fits = |labels: &Selector| machine.is_some_and(|m| labels.fits(&m.labels));
        self.within.as_ref().is_none_or(fits)
    }
}

fn deactivated(
    open: &Activation,
    view: &View,
    now: Timestamp,
    changes: &mut Changes,
) -> Activation {
    let why = "it was deactivated by a person";
    let closed = open.close(Stage::Expired, why.to_owned(), now);
    let name = view.machine_name(&closed.machine);
    let text = format!("{} was deactivated for {name}", closed.config.name);
    changes.event(about("activation.expired", &closed, text));
    tell_owner(&closed, view, changes);
    changes.write(closed.clone());
    closed
}

/// Closes what is past its time limit: activations, commands that nobody took, and reservations of machines. Jobs are [`PassDeadlines`]'s.
///
/// [`PassDeadlines`]: super::PassDeadlines
#[derive(Debug, Clone, Copy)]
pub struct ExpireOverdue;

impl Transition for ExpireOverdue {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        for open in view.activations().filter(|a| a.is_open() && !a.is_due(now)) {
            let closed = open.close(Stage::Expired, "its time limit has passed".to_owned(), now);
            changes.event(about(
                "activation.expired",
                &closed,
                format!("{} has expired", closed.config.name),
            ));
            changes.write(closed);
        }
        expire_lent(view, now, &mut changes);
        expire_commands(view, now, &mut changes);
        expire_holds(view, now, &mut changes);
        (changes, ())
    }
}
