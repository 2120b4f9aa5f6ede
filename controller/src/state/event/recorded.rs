//! An event of the record as the view keeps it: one that was loaded is its row until somebody looks.

use std::{
    fmt, mem,
    ops::Deref,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use mesh_proto::json::from_slice;

use super::{Draft, Event};
use crate::state::Timestamp;

/// What stands in the record in place of an event whose row cannot be read.
const UNREADABLE: &str = "event.unreadable";

/// An event, shared. At start twenty thousand rows are fetched, reading them took most of it, and nobody looks at most of them.
#[derive(Clone)]
pub struct Recorded(Arc<Inner>);

struct Inner {
    seq: u64,
    event: OnceLock<Event>,
    /// Its JSON, until it was read.
    row: Mutex<Vec<u8>>,
}

impl Recorded {
    /// The event of a row. What is no event, or one of another number, is shown as one that cannot be read: a record of what
    /// happened keeps no machine from booting.
    #[must_use]
    pub fn of_row(seq: u64, row: Vec<u8>) -> Self {
        Self::new(seq, OnceLock::new(), row)
    }

    fn new(seq: u64, event: OnceLock<Event>, row: Vec<u8>) -> Self {
        let row = Mutex::new(row);
        Self(Arc::new(Inner { seq, event, row }))
    }

    /// Its number; the row need not be read for it.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.0.seq
    }
}

impl Deref for Recorded {
    type Target = Event;

    fn deref(&self) -> &Event {
        let Inner { seq, event, row } = &*self.0;
        event.get_or_init(|| {
            let mut row = row.lock().unwrap_or_else(PoisonError::into_inner);
            read(*seq, &mem::take(&mut *row))
        })
    }
}

fn read(seq: u64, row: &[u8]) -> Event {
    let why = match from_slice::<Event>(row) {
        Ok(event) if event.seq == seq => return event,
        Ok(event) => format!("it says that it is event {}", event.seq),
        Err(error) => error.to_string(),
    };
    Event {
        seq,
        at: Timestamp::UNIX_EPOCH,
        draft: Draft::new(
            UNREADABLE,
            format!("what happened here cannot be read: {why}"),
        ),
    }
}

impl From<Event> for Recorded {
    fn from(event: Event) -> Self {
        Self::new(event.seq, OnceLock::from(event), Vec::new())
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for Recorded {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64) -> Event {
        let draft = Draft::new("test.kept", "a row").field("n", seq.to_string());
        let at = Timestamp::UNIX_EPOCH;
        Event { seq, at, draft }
    }

    #[test]
    fn a_row_is_read_when_somebody_looks_and_then_let_go() {
        let kept = Recorded::of_row(7, serde_json::to_vec(&event(7)).unwrap());
        let clone = kept.clone();
        assert_eq!(kept.seq(), 7);
        assert!(kept.0.event.get().is_none());
        assert_eq!(*clone, event(7));
        assert_eq!(kept.0.event.get(), Some(&event(7)));
        assert_eq!(kept.0.row.lock().unwrap().capacity(), 0);
        assert_eq!(kept, Recorded::from(event(7)));
    }

    #[test]
    fn a_row_that_is_not_this_event_is_shown_as_one_that_cannot_be_read() {
        let row = serde_json::to_vec(&event(8)).unwrap();
        for (row, why) in [
            (row.as_slice(), "it says that it is event 8"),
            (b"{}", "missing field"),
            (b"\xff", "expected value"),
            (b"", "EOF"),
        ] {
            let kept = Recorded::of_row(7, row.to_vec());
            assert_eq!((kept.seq, kept.draft.kind.as_str()), (7, UNREADABLE));
            assert!(kept.draft.text.contains(why), "{}", kept.draft.text);
        }
    }
}
