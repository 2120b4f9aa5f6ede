//! Everything that is kept, as a view: at start, and when somebody else wrote.
//!
//! Reading a row's JSON costs several times what fetching it and filing it does, so that is done on other threads, a batch
//! of rows on each; batches are filed in the order in which they were fetched. Events are most of the rows, and are not read
//! at all before somebody looks.

use std::{
    collections::VecDeque,
    mem,
    num::NonZeroUsize,
    sync::Arc,
    thread::{self, Builder, ScopedJoinHandle, available_parallelism},
};

use super::{Backend, BackendError, Table, tables};
use crate::state::{Record, View, Write, policy::Policy};

/// Rows that are worth a thread: reading them takes a millisecond, and starting it a few hundredths.
const BATCH: usize = 512;
/// Threads beside the one that fetches and files, which has no time for more.
const MOST_THREADS: usize = 4;

/// A row as it is kept.
struct RawRow {
    table: Table,
    key: Vec<u8>,
    value: Vec<u8>,
}

type Decoded = Result<Vec<Record>, BackendError>;

/// Loads all rows.
///
/// # Errors
/// When they cannot be fetched, or one is no record.
pub(super) fn load(backend: &mut dyn Backend, policy: Arc<Policy>) -> Result<View, BackendError> {
    let mut view = View::default();
    view.policy = policy;
    let threads = available_parallelism().map_or(1, NonZeroUsize::get);
    thread::scope(|scope| {
        let mut rows = Vec::with_capacity(BATCH);
        let mut decoding: VecDeque<ScopedJoinHandle<'_, Decoded>> = VecDeque::new();
        backend.load(&mut |table, key, value| {
            if table == Table::Events {
                // Nothing of it is read yet.
                let event = tables::decode(table, key, value).map_err(corrupt)?;
                view.absorb(&Write::Put(event));
                return Ok(());
            }
            let (key, value) = (key.to_vec(), value.to_vec());
            rows.push(RawRow { table, key, value });
            if rows.len() < BATCH {
                return Ok(());
            }
            let full = mem::replace(&mut rows, Vec::with_capacity(BATCH));
            let thread = Builder::new().name("enforcer-load".to_owned());
            let batch = thread.spawn_scoped(scope, move || decode(&full));
            decoding.push_back(batch.map_err(|e| BackendError::from_io("the state folder", e))?);
            if decoding.len() <= threads.min(MOST_THREADS) {
                return Ok(());
            }
            match decoding.pop_front() {
                Some(oldest) => joined(oldest).map(|records| file(&mut view, records)),
                None => Ok(()),
            }
        })?;
        for batch in decoding {
            file(&mut view, joined(batch)?);
        }
        file(&mut view, decode(&rows)?);
        Ok(view)
    })
}

fn decode(rows: &[RawRow]) -> Decoded {
    let decoded = rows
        .iter()
        .map(|row| tables::decode(row.table, &row.key, &row.value));
    decoded.collect::<Result<_, _>>().map_err(corrupt)
}

fn corrupt(what: String) -> BackendError {
    BackendError::corrupt("the state folder", what)
}

/// A panic goes on where it would have come without threads.
fn joined(batch: ScopedJoinHandle<'_, Decoded>) -> Decoded {
    batch
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn file(view: &mut View, records: Vec<Record>) {
    for record in records {
        view.absorb(&Write::Put(record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        state::{
            Timestamp,
            event::{Draft, Event},
            lease::Declined,
        },
        store::{RawWrite, memory::Memory},
    };

    /// Some batches, and what is no whole one.
    const MANY: u64 = BATCH as u64 * 7 + 5;

    fn events() -> Vec<RawWrite> {
        let event = |seq| {
            let (at, draft) = (Timestamp::UNIX_EPOCH, Draft::new("test.row", "a row"));
            let record = Record::Event(Event { seq, at, draft }.into());
            tables::encode(&record.key(), Some(&record)).unwrap()
        };
        (1..=MANY).map(event).collect()
    }

    fn declined() -> Vec<RawWrite> {
        let declined = |n: u64| {
            let (ip, until) = ((0x0a00_0000 + n as u32).into(), Timestamp::UNIX_EPOCH);
            let record = Record::Declined(Declined { ip, until });
            tables::encode(&record.key(), Some(&record)).unwrap()
        };
        (1..=MANY).map(declined).collect()
    }

    fn loaded(rows: &[RawWrite]) -> Result<View, BackendError> {
        let mut backend = Memory::calm();
        backend.commit(rows).unwrap();
        load(&mut backend, Arc::default())
    }

    #[test]
    fn many_rows_are_all_there() {
        let view = loaded(&declined()).unwrap();
        assert_eq!(view.declined_addresses().count() as u64, MANY);
        let view = loaded(&events()).unwrap();
        let seen: Vec<_> = view.events_after(0).map(|e| e.seq).collect();
        assert_eq!(seen, (1..=MANY).collect::<Vec<_>>());
    }

    #[test]
    fn one_row_among_many_that_is_no_record_is_told_of() {
        let mut rows = declined();
        for at in [0, BATCH, rows.len() - 1] {
            let good = rows[at].value.replace(b"{}".to_vec());
            let told = loaded(&rows).unwrap_err().to_string();
            assert!(told.contains("declined"), "{told}");
            rows[at].value = good;
        }
        assert!(loaded(&rows).is_ok());
    }

    #[test]
    fn an_event_that_cannot_be_read_is_shown_as_one_and_its_neighbours_are_there() {
        let mut rows = events();
        rows[1].value = Some(b"{}".to_vec());
        let view = loaded(&rows).unwrap();
        let kinds = view.events_after(0).map(|e| e.draft.kind.as_str());
        let kinds: Vec<_> = kinds.take(3).collect();
        assert_eq!(kinds, ["test.row", "event.unreadable", "test.row"]);
        rows[1].key.pop();
        let told = loaded(&rows).unwrap_err().to_string();
        assert!(told.contains("events"), "{told}");
    }
}
