//! What a place that keeps rows must do, and how it may fail.
//!
//! A backend knows tables, keys and bytes, nothing of machines or leases. redb is one; a cluster store can be another.
//! The conformance suite (`conformance.rs`) holds each to the same promises.

use std::{collections::BTreeMap, fmt, io, ops::ControlFlow};

use super::Table;

/// The newest layout of tables, keys and values that this program reads and writes. Older ones are read as they are:
/// what they lack has a default. 2: trust, facts, members, commands; machines that are accepted. 3: images, deployments, rollouts,
/// setups; labels; users, owners and reservations of machines.
pub const SCHEMA: u32 = 3;

/// One row put (`Some`) or deleted (`None`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawWrite {
    /// Where.
    pub table: Table,
    /// Its key; bytes that sort as the typed keys do.
    pub key: Vec<u8>,
    /// Its new value.
    pub value: Option<Vec<u8>>,
}

/// Told every row by [`Backend::load`].
pub type Visitor<'a> = dyn FnMut(Table, &[u8], &[u8]) -> Result<(), BackendError> + 'a;

/// The rows of one moment: shows each of them once, on any thread, while commits go on.
pub type Snapshot = Box<dyn FnOnce(&mut Visitor<'_>) -> Result<(), BackendError> + Send>;

/// Rows of a table between two keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The table.
    pub table: Table,
    /// The first key.
    pub from: Vec<u8>,
    /// Behind the last key.
    pub to: Vec<u8>,
    /// From the last to the first.
    pub backwards: bool,
}

/// Told the rows of a [`Span`] until it has enough.
pub type RowVisitor<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Looks at spans of the rows of one moment, on any thread, while commits go on.
pub type Scan = Box<dyn Fn(&Span, &mut RowVisitor<'_>) -> Result<(), BackendError> + Send>;

/// Keeps rows. Owned by the writer thread, so calls may block.
pub trait Backend: Send + 'static {
    /// Shows every row of the tables that are in the view, each table in key order.
    ///
    /// # Errors
    /// When rows cannot be read, or the visitor refuses one.
    fn load(&mut self, visit: &mut Visitor<'_>) -> Result<(), BackendError>;

    /// Makes all of `writes` durable, or none of them. When it fails with anything but [`BackendError::Conflict`],
    /// they may or may not have been kept; then the next call answers `Conflict`, so that the rows are loaded again.
    ///
    /// # Errors
    /// `Conflict`: somebody else wrote first; load and decide again. Others: nothing can be promised now.
    fn commit(&mut self, writes: &[RawWrite]) -> Result<(), BackendError>;

    /// Every row as it is now. In memory, unless a backend can read an old state while it writes a new one; then only those
    /// of the tables that are in the view.
    ///
    /// # Errors
    /// When rows cannot be read.
    fn snapshot(&mut self) -> Result<Snapshot, BackendError> {
        let mut rows = Vec::new();
        self.load(&mut |table, key, value| {
            rows.push((table, key.to_vec(), value.to_vec()));
            Ok(())
        })?;
        Ok(Box::new(move |visit| {
            let mut rows = rows.iter();
            rows.try_for_each(|(table, key, value)| visit(*table, key, value))
        }))
    }

    /// The rows as they are now, to look at some of them. In memory, as [`Backend::snapshot`].
    ///
    /// # Errors
    /// When rows cannot be read.
    fn scan(&mut self) -> Result<Scan, BackendError> {
        let mut rows = BTreeMap::new();
        self.snapshot()?(&mut |table, key, value| {
            rows.insert((table, key.to_vec()), value.to_vec());
            Ok(())
        })?;
        Ok(Box::new(move |span, visit| {
            let of = |key: &[u8]| (span.table, key.to_vec());
            let mut found: Vec<_> = rows.range(of(&span.from)..of(&span.to)).collect();
            if span.backwards {
                found.reverse();
            }
            let _all_or_enough = found
                .into_iter()
                .try_for_each(|((_, key), value)| visit(key, value));
            Ok(())
        }))
    }
}

/// Why rows could not be read or kept. Each sentence names the cure; the place is a path.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "place, and the system's own words in source")]
pub enum BackendError {
    /// The rows changed under us; to be run again on fresh ones.
    #[error("another change came first; ask again")]
    Conflict,
    /// No room.
    #[error("the disk of {place} is full; make room on it and enforcer goes on by itself")]
    Full { place: String, source: io::Error },
    /// Not ours to write.
    #[error(
        "{place} cannot be written; run enforcer as the owner of that folder, or mount it read-write"
    )]
    ReadOnly { place: String, source: io::Error },
    /// The folder is not there.
    #[error("{place} does not exist; create its folder, or name another with --state")]
    Missing { place: String, source: io::Error },
    /// The disk failed.
    #[error("{place} cannot be read or written; look into the kernel's log for faults of its disk")]
    Io { place: String, source: io::Error },
    /// Bytes that are not ours.
    #[error(
        "{place} is damaged ({what}); restore a backup, or move the file away to start with an empty one"
    )]
    Corrupt { place: String, what: String },
    /// A second controller.
    #[error(
        "another enforcer uses {place}; stop it, or give this one a folder of its own with --state"
    )]
    InUse { place: String },
    /// Written by a later version.
    #[error(
        "{place} was written by a newer enforcer (schema {found}, this one knows {SCHEMA}); install that version again, or restore a backup made before it"
    )]
    Newer { place: String, found: u32 },
}

impl BackendError {
    /// The error for a failed call of the operating system on `place`.
    #[must_use]
    pub fn from_io(place: &str, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let place = place.to_owned();
        match source.kind() {
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => {
                Self::Full { place, source }
            }
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Self::ReadOnly { place, source },
            Kind::NotFound | Kind::NotADirectory => Self::Missing { place, source },
            _ => Self::Io { place, source },
        }
    }

    /// The error for bytes at `place` that cannot be what was written there.
    #[must_use]
    pub fn corrupt(place: &str, what: impl fmt::Display) -> Self {
        Self::Corrupt {
            place: place.to_owned(),
            what: what.to_string(),
        }
    }
}
