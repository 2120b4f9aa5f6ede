//! Everything that is kept, as a view: at start, and when somebody else wrote.
//!
//! Reading a row's JSON costs several times what fetching it and filing it does, so that is done on other threads, a batch of
//! rows after the other; batches are filed in the order in which they were fetched. Events are most of the rows, and are not
//! read at all before somebody looks: they are filed while the others are read.

use std::{
    mem,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, Builder, ScopedJoinHandle, available_parallelism},
};

use super::{Backend, BackendError, Table, tables};
use crate::state::{Record, View, Write, policy::Policy};

/// Rows that are handed to a thread at once: reading them takes a millisecond.
const BATCH: usize = 256;
/// Batches that wait to be read; what is fetched beyond them, the thread that fetches reads itself.
const WAITING: usize = 16;
/// Threads beside the one that fetches and files, which has no time for more.
const MOST_THREADS: usize = 4;

/// A row as it is kept.
struct RawRow {
    table: Table,
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Rows in the order in which they were fetched, with the place of the batch among all.
struct Batch {
    place: usize,
    rows: Vec<RawRow>,
}

/// Read batches, in any order.
type Decoded = Result<Vec<(usize, Vec<Record>)>, BackendError>;

/// Loads all rows.
///
/// # Errors
/// When they cannot be fetched, or one is no record.
pub(super) fn load(backend: &mut dyn Backend, policy: Arc<Policy>) -> Result<View, BackendError> {
    let mut view = View::default();
    view.policy = policy;
    let (give, waiting) = sync_channel(WAITING);
    let waiting = Mutex::new(waiting);
    let threads = available_parallelism().map_or(1, NonZeroUsize::get) - 1;
    thread::scope(|scope| {
        let start = |_| {
            let thread = Builder::new().name("enforcer-load".to_owned());
            let started = thread.spawn_scoped(scope, || decode_waiting(&waiting));
            started.map_err(|e| BackendError::from_io("the state folder", e))
        };
        let threads = (0..threads.min(MOST_THREADS)).map(start);
        let threads: Vec<ScopedJoinHandle<'_, Decoded>> = threads.collect::<Result<_, _>>()?;
        let mut records = fetch(backend, &mut view, give)?;
        records.extend(decode_waiting(&waiting)?);
        for thread in threads {
            records.extend(joined(thread)?);
        }
        records.sort_unstable_by_key(|(place, _)| *place);
        for record in records.into_iter().flat_map(|(_, records)| records) {
            view.absorb(&Write::Put(record));
        }
        Ok(view)
    })
}

/// Files events, gives all other rows to be read, and reads what nobody has room for.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the threads end when it is dropped"
)]
fn fetch(backend: &mut dyn Backend, view: &mut View, give: SyncSender<Batch>) -> Decoded {
    let (mut batch, mut records) = (Batch::first(), Vec::new());
    let mut give = |batch: Batch| match give.try_send(batch) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(batch) | TrySendError::Disconnected(batch)) => {
            records.push(batch.decode()?);
            Ok(())
        }
    };
    backend.load(&mut |table, key, value| {
        if table == Table::Events {
            let event = tables::decode(table, key, value).map_err(corrupt)?;
            view.absorb(&Write::Put(event));
            return Ok(());
        }
        let (key, value) = (key.to_vec(), value.to_vec());
        batch.rows.push(RawRow { table, key, value });
        match batch.rows.len() {
            BATCH.. => give(batch.take()),
            _ => Ok(()),
        }
    })?;
    give(batch)?;
    Ok(records)
}

/// Reads batches until all are fetched and none waits.
fn decode_waiting(waiting: &Mutex<Receiver<Batch>>) -> Decoded {
    // A thread that panicked while it held this was about to wait.
    let next = || {
        waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv()
    };
    std::iter::from_fn(|| next().ok())
        .map(|batch| batch.decode())
        .collect()
}

impl Batch {
    fn first() -> Self {
        let rows = Vec::with_capacity(BATCH);
        Self { place: 0, rows }
    }

    /// This one; what is left is the next, empty.
    fn take(&mut self) -> Self {
        let rows = Vec::with_capacity(BATCH);
        let place = self.place + 1;
        mem::replace(self, Self { place, rows })
    }

    fn decode(self) -> Result<(usize, Vec<Record>), BackendError> {
        let records = self.rows.iter();
        let records = records.map(|row| tables::decode(row.table, &row.key, &row.value));
        let records = records.collect::<Result<_, _>>().map_err(corrupt)?;
        Ok((self.place, records))
    }
}

fn corrupt(what: String) -> BackendError {
    BackendError::corrupt("the state folder", what)
}

/// A panic goes on where it would have come without threads.
fn joined(thread: ScopedJoinHandle<'_, Decoded>) -> Decoded {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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
    const MANY: u64 = BATCH as u64 * (WAITING as u64 + 7) + 5;

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
