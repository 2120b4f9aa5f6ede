//! Rows in one redb file: the embedded database of a single controller.
//!
//! After any failure the database is closed, and opened again at the next commit: redb itself answers nothing any more
//! after an I/O error, and whether the failed commit reached the disk can only be seen by reading it again. The first
//! commit after that answers `Conflict`, so the writer loads what is really there. That is also how a disk that was full
//! is used again once it has room.

mod ahead;
mod fault;

use std::{
    collections::BTreeMap,
    fs::{self, TryLockError},
    io,
    ops::ControlFlow,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase as _,
    ReadableTable as _, ReadableTableMetadata as _, StorageBackend, TableDefinition, TableError,
    backends::FileBackend,
};
use serde::Serialize;

use self::{ahead::Ahead, fault::Fault};
use super::{
    Backend, BackendError, RawWrite, Table,
    backend::{RowVisitor, SCHEMA, Scan, Snapshot, Span, Visitor},
};

/// redb's page cache. Everything that is read is in the view; only the pages that a commit touches profit.
const CACHE_BYTES: usize = 4 << 20;

/// Rows in one transaction of a copy: a megabyte or two, and an fsync for each.
const COPIED_AT_ONCE: usize = 4096;

/// Facts about the file itself.
const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");
/// The row of `META` that says which layout the file has.
const SCHEMA_ROW: &str = "schema";

fn definition(table: Table) -> TableDefinition<'static, &'static [u8], &'static [u8]> {
    TableDefinition::new(table.name())
}

type Opener = Box<dyn Fn() -> Result<Database, DatabaseError> + Send>;

/// See the module.
pub struct Redb {
    /// The file's path, for people.
    place: String,
    opener: Opener,
    /// `None` after a failure.
    database: Option<Database>,
    /// Keeps a second controller out, also while the database is closed. Not read; let go when dropped.
    lock: Option<fs::File>,
}

impl Redb {
    /// Opens the file, or makes it. Its folder must be there.
    ///
    /// # Errors
    /// In one sentence for the person who starts the controller: another process has it, the folder is read-only or
    /// full or not there, the file is damaged or from a newer version.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, BackendError> {
        let path = path.into();
        let place = path.display().to_string();
        let lock = lock(&path, &place)?;
        make(&path).map_err(|fault| fault.told(&place))?;
        let opener = move || open(&path);
        let mut redb = Self::with_opener(place, Box::new(opener))?;
        redb.lock = Some(lock);
        Ok(redb)
    }

    /// On storage of another kind; `storage` is called again after each failure.
    ///
    /// # Errors
    /// As [`Redb::open`].
    pub fn on<S: StorageBackend>(
        place: &str,
        storage: impl Fn() -> S + Send + 'static,
    ) -> Result<Self, BackendError> {
        let opener = move || builder().create_with_backend(Ahead::new(storage())?);
        Self::with_opener(place.to_owned(), Box::new(opener))
    }

    fn with_opener(place: String, opener: Opener) -> Result<Self, BackendError> {
        let mut redb = Self {
            place,
            opener,
            database: None,
            lock: None,
        };
        redb.database = Some(redb.opened()?);
        Ok(redb)
    }

    fn opened(&self) -> Result<Database, BackendError> {
        let told = |fault: Fault| fault.told(&self.place);
        let database = (self.opener)().map_err(|e| told(e.into()))?;
        match schema(&database).map_err(told)? {
            SCHEMA => Ok(database),
            found => Err(BackendError::Newer {
                place: self.place.clone(),
                found,
            }),
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Opens a database that is there.
fn open(path: &Path) -> Result<Database, DatabaseError> {
    let file = fs::File::options().read(true).write(true).open(path)?;
    // redb would make a new database of it, in place of the one that is lost.
    if file.metadata()?.len() == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty").into());
    }
    builder().create_with_backend(Ahead::new(FileBackend::new(file)?)?)
}

/// Takes the lock file beside the database.
fn lock(path: &Path, place: &str) -> Result<fs::File, BackendError> {
    let path = path.with_extension("lock");
    let told = |error| BackendError::from_io(&path.display().to_string(), error);
    let file = fs::File::create(&path).map_err(told)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Fault::InUse.told(place)),
        Err(TryLockError::Error(error)) => Err(told(error)),
    }
}

/// Makes the database when there is none: under another name first, because a file whose making was cut short by the
/// power is no database to redb, and never would be.
fn make(path: &Path) -> Result<(), Fault> {
    if path.try_exists()? {
        return Ok(());
    }
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    schema(&builder().create(&unfinished)?)?;
    fs::File::open(&unfinished)?.sync_all()?;
    fs::rename(&unfinished, path)?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // A new name is only there after a power cut when its folder was synced.
    Ok(fs::File::open(folder)?.sync_all()?)
}

/// The file's layout. A new file gets ours, and so does an older one, which from now on may hold what only we can read.
fn schema(database: &Database) -> Result<u32, Fault> {
    let found = {
        let reading = database.begin_read()?;
        match reading.open_table(META) {
            Ok(meta) => meta.get(SCHEMA_ROW)?.map(|row| row.value()),
            Err(TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        }
    };
    if let Some(found) = found.filter(|found| *found >= SCHEMA) {
        return Ok(found);
    }
    let writing = database.begin_write()?;
    writing.open_table(META)?.insert(SCHEMA_ROW, SCHEMA)?;
    writing.commit()?;
    Ok(SCHEMA)
}

impl Backend for Redb {
    fn load(&mut self, visit: &mut Visitor<'_>) -> Result<(), BackendError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => self.opened()?,
        };
        let database = &*self.database.insert(database);
        let reading = database.begin_read();
        show(
            &reading.map_err(|e| Fault::from(e).told(&self.place))?,
            &self.place,
            Table::is_in_view,
            visit,
        )
    }

    /// Reads by a transaction of its own, which commits do not wait for.
    fn snapshot(&mut self) -> Result<Snapshot, BackendError> {
        // After a failure the next commit opens it again.
        let database = self.database.as_ref().ok_or(BackendError::Conflict)?;
        let (reading, place) = (database.begin_read(), self.place.clone());
        let reading = reading.map_err(|e| Fault::from(e).told(&place))?;
        Ok(Box::new(move |visit| {
            show(&reading, &place, |_| true, visit)
        }))
    }

    /// As [`Backend::snapshot`].
    fn scan(&mut self) -> Result<Scan, BackendError> {
        let database = self.database.as_ref().ok_or(BackendError::Conflict)?;
        let (reading, place) = (database.begin_read(), self.place.clone());
        let reading = reading.map_err(|e| Fault::from(e).told(&place))?;
        Ok(Box::new(move |span: &Span, visit: &mut RowVisitor<'_>| {
            look(&reading, span, visit).map_err(|fault| fault.told(&place))
        }))
    }

    fn commit(&mut self, writes: &[RawWrite]) -> Result<(), BackendError> {
        let Some(database) = &self.database else {
            self.database = Some(self.opened()?);
            return Err(BackendError::Conflict);
        };
        write(database, writes).map_err(|fault| {
            self.database = None;
            fault.told(&self.place)
        })
    }
}

/// Shows some rows of a transaction.
fn look(reading: &ReadTransaction, span: &Span, visit: &mut RowVisitor<'_>) -> Result<(), Fault> {
    let rows = match reading.open_table(definition(span.table)) {
        Ok(rows) => rows,
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let mut rows = rows.range(span.from.as_slice()..span.to.as_slice())?;
    let mut next = || match span.backwards {
        true => rows.next_back(),
        false => rows.next(),
    };
    while let Some(row) = next() {
        let (key, value) = row?;
        if visit(key.value(), value.value()) == ControlFlow::Break(()) {
            break;
        }
    }
    Ok(())
}

/// Shows every row of a transaction, of these tables.
fn show(
    reading: &ReadTransaction,
    place: &str,
    wanted: fn(Table) -> bool,
    visit: &mut Visitor<'_>,
) -> Result<(), BackendError> {
    let told = |fault: Fault| fault.told(place);
    for table in Table::ALL.into_iter().filter(|table| wanted(*table)) {
        let rows = match reading.open_table(definition(table)) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(told(error.into())),
        };
        for row in rows.iter().map_err(|e| told(e.into()))? {
            let (key, value) = row.map_err(|e| told(e.into()))?;
            visit(table, key.value(), value.value())?;
        }
    }
    Ok(())
}

/// What a database file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Its layout; `None`: nothing was ever written to it.
    pub schema: Option<u32>,
    /// Rows, by table.
    pub rows: BTreeMap<&'static str, u64>,
}

/// Looks into a database that nobody has open, without changing a byte of it. `None`: somebody has it, it was not closed in
/// order, or it is damaged.
#[must_use]
pub fn contents(path: &Path) -> Option<Contents> {
    let database = builder().open_read_only(path).ok()?;
    let reading = database.begin_read().ok()?;
    let schema = match reading.open_table(META) {
        Ok(meta) => meta.get(SCHEMA_ROW).ok()?.map(|row| row.value()),
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(_) => return None,
    };
    let mut rows = BTreeMap::new();
    for table in Table::ALL {
        if let Ok(kept) = reading.open_table(definition(table)) {
            rows.insert(table.name(), kept.len().ok()?);
        }
    }
    Some(Contents { schema, rows })
}

/// Writes rows as a database of its own to `path`, where nothing is.
///
/// # Errors
/// When the rows cannot be read or the file cannot be written; there may be a part of it then.
pub fn write_file(path: &Path, rows: Snapshot) -> Result<(), BackendError> {
    let place = path.display().to_string();
    let told = |fault: Fault| fault.told(&place);
    // Nobody else's to read, before there is anything in it.
    let mut options = fs::OpenOptions::new();
    let empty = options.write(true).create_new(true).mode(0o600).open(path);
    empty.map_err(|e| told(e.into()))?;
    let database = builder().create(path).map_err(|e| told(e.into()))?;
    schema(&database).map_err(told)?;
    let mut writes = Vec::new();
    rows(&mut |table, key, value| {
        let (key, value) = (key.to_vec(), Some(value.to_vec()));
        writes.push(RawWrite { table, key, value });
        if writes.len() == COPIED_AT_ONCE {
            write(&database, &writes).map_err(|fault| fault.told(&place))?;
            writes.clear();
        }
        Ok(())
    })?;
    write(&database, &writes).map_err(told)
}

fn write(database: &Database, writes: &[RawWrite]) -> Result<(), Fault> {
    let mut writing = database.begin_write()?;
    writing
        .set_durability(Durability::Immediate)
        .map_err(|e| Fault::Damaged(e.to_string()))?;
    for table in Table::ALL {
        let mut rows = writes.iter().filter(|w| w.table == table).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let mut kept = writing.open_table(definition(table))?;
        for row in rows {
            match &row.value {
                Some(value) => kept.insert(row.key.as_slice(), value.as_slice())?,
                None => kept.remove(row.key.as_slice())?,
            };
        }
    }
    writing.commit()?;
    Ok(())
}
