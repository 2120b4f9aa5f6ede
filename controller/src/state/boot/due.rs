//! Which of a machine's activations is served next.

use std::cmp::Reverse;

use crate::state::{
    Timestamp, View,
    activation::{Activation, Kind},
    machine::MachineId,
};

/// What is due for a machine: an armed one-shot config, else its own standing one, else the one of the selector with the
/// highest priority; of equals the oldest.
#[must_use]
pub fn due<'a>(view: &'a View, machine: &MachineId, now: Timestamp) -> Option<&'a Activation> {
    first(view.activations_of(machine).filter(|a| a.is_due(now)))
}

/// Of several open ones the one that is served.
#[must_use]
pub fn first<'a>(
    open: impl Iterator<Item = &'a std::sync::Arc<Activation>>,
) -> Option<&'a Activation> {
    open.map(AsRef::as_ref).min_by_key(|a| rank(a))
}

/// The lower, the sooner: a class, in it the priority, in that the age.
fn rank(activation: &Activation) -> (u8, Reverse<i32>, u64) {
    let id = activation.id.0;
    match (activation.kind, &activation.selected) {
        (Kind::OneShot, _) if activation.discovery => (3, Reverse(0), id),
        (Kind::OneShot, _) => (0, Reverse(0), id),
        (Kind::Standing, None) => (1, Reverse(0), id),
        (Kind::Standing, Some(by)) => (2, Reverse(by.priority), id),
    }
}
