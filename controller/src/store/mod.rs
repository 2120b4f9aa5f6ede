//! What is known, kept: [`Store::view`] shows it, [`Store::apply`] changes it.
//!
//! One writer thread runs the queued transitions, commits them together as one durable transaction, publishes the new
//! view and only then answers. What a crash may cost (events of the boot sockets, "last seen") goes through
//! [`Store::note`] and [`Store::note_change`] and rides along with the next commit, at the latest a second later.

mod audit;
pub mod backend;
mod behalf;
mod clock;
#[cfg(test)]
mod conformance;
mod drive;
#[cfg(any(test, feature = "test-backends"))]
pub mod fault;
mod handle;
mod job;
mod load;
#[cfg(any(test, feature = "test-backends"))]
pub mod memory;
mod notes;
#[cfg(test)]
mod power_cuts;
#[cfg(test)]
pub(crate) mod records;
mod redb;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use audit::{Audit, AuditPage};
pub use backend::{Backend, BackendError, RawWrite, SCHEMA, Snapshot};
pub use behalf::Behalf;
pub use clock::{Clock, ManualClock, SystemClock};
pub use handle::{Options, Stats, Store, StoreError};
pub use notes::Subject;
pub use redb::{Contents, Redb, contents, write_file};
pub use tables::Table;

/// Reads every row as a controller does at its start.
///
/// # Errors
/// When one cannot be read.
pub fn check(backend: &mut dyn Backend) -> Result<(), BackendError> {
    load::load(backend, std::sync::Arc::default()).map(drop)
}
