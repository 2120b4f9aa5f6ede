//! The transitions: every change Enforcer makes to what it knows, a file per subject.

mod activations;
mod boot;
mod configs;
mod machines;
mod reservations;

pub use activations::{Activate, ActivateError, Deactivate, ExpireOverdue};
pub use boot::{BeginFetch, Callback, CallbackAnswer, ClaimBoot, FetchAnswer, FileSent};
pub use configs::{ConfigError, DeleteConfig, SetConfig};
pub use machines::{DeleteMachine, MachineError, MachineRef, RegisterMachine, Saw, UpdateMachine};
pub use reservations::{DeleteReservation, ReservationError, SetReservation};
