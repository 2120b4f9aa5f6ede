//! The audit on disk: the events that are kept for long, beside the record that is in memory. A line is written by the
//! transaction that its event is in, under the event's number; what is over the bounds is deleted by later transactions.
//!
//! A row's key is its book and its number, so that each book is read in order; a last row holds the books' sums.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{
    Backend, BackendError, RawWrite, Table,
    backend::{Scan, Span},
};
use crate::state::{
    Timestamp,
    audit::{Book, Retention, Sum},
    event::Event,
};

/// The key of the sums: behind every book.
const SUMS: &[u8] = &[0xFF];
/// Lines deleted by one commit: a commit in some hundred pays for it.
const MAX_STRUCK: usize = 1_024;
/// Lines of a book that are looked at for one page, so that a search that finds nothing ends; some tenths of a second on a Pi.
const MAX_LOOKED_AT: usize = 20_000;

fn page_of(book: Book) -> u8 {
    match book {
        Book::Changes => 0,
        Book::Answers => 1,
    }
}

fn key(book: Book, seq: u64) -> Vec<u8> {
    let mut key = vec![page_of(book)];
    key.extend(seq.to_be_bytes());
    key
}

/// The lines of a book from this number on.
fn from(book: Book, seq: u64) -> Span {
    Span {
        table: Table::Audit,
        from: key(book, seq),
        to: vec![page_of(book) + 1],
        backwards: false,
    }
}

/// The lines of a book before this number, the newest first.
fn down_from(book: Book, seq: u64) -> Span {
    Span {
        table: Table::Audit,
        from: key(book, 0),
        to: key(book, seq),
        backwards: true,
    }
}

fn read(value: &[u8]) -> Result<Event, serde_json::Error> {
    serde_json::from_slice(value)
}

/// What both books hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    changes: Sum,
    answers: Sum,
}

impl Sums {
    fn of(&mut self, book: Book) -> &mut Sum {
        match book {
            Book::Changes => &mut self.changes,
            Book::Answers => &mut self.answers,
        }
    }
}

/// Lines of a book that are to go.
struct Surplus {
    book: Book,
    keys: Vec<Vec<u8>>,
    bytes: u64,
    /// The oldest line that stays is no older.
    oldest: Timestamp,
}

/// What the writer knows of the audit.
#[derive(Default)]
pub(super) struct Ledger {
    sums: Sums,
    surplus: Vec<Surplus>,
}

/// What a transaction writes into it.
pub(super) struct Sheet {
    sums: Sums,
    rows: Vec<RawWrite>,
}

impl Ledger {
    /// As it is kept.
    pub(super) fn load(backend: &mut dyn Backend) -> Result<Self, BackendError> {
        let span = Span {
            table: Table::Audit,
            from: SUMS.to_vec(),
            to: vec![0xFF, 0xFF],
            backwards: false,
        };
        let mut sums = Ok(Sums::default());
        backend.scan()?(&span, &mut |_, value| {
            sums = serde_json::from_slice(value);
            ControlFlow::Break(())
        })?;
        let sums = sums.map_err(|e| BackendError::corrupt("the audit", e))?;
        let surplus = Vec::new();
        Ok(Self { sums, surplus })
    }

    /// A sheet for the next transaction.
    pub(super) fn sheet(&self) -> Sheet {
        Sheet {
            sums: self.sums,
            rows: Vec::new(),
        }
    }

    /// Deletes what is to go, too, and writes the sums, if they are others.
    pub(super) fn close(&self, sheet: &mut Sheet) {
        for surplus in &self.surplus {
            let lines = surplus.keys.len() as u64;
            let sum = sheet.sums.of(surplus.book);
            sum.take(lines, surplus.bytes, surplus.oldest);
            sheet.rows.extend(surplus.keys.iter().map(|key| RawWrite {
                table: Table::Audit,
                key: key.clone(),
                value: None,
            }));
        }
        if sheet.sums != self.sums
            && let Ok(value) = serde_json::to_vec(&sheet.sums)
        {
            sheet.put(SUMS.to_vec(), value);
        }
    }

    /// The sheet is durable. Looks for what has to go with the next one.
    pub(super) fn written(
        &mut self,
        sheet: &Sheet,
        backend: &mut dyn Backend,
        retention: Retention,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        self.sums = sheet.sums;
        self.surplus.clear();
        for book in Book::ALL {
            if self.sums.of(book).is_over(retention, now) {
                self.look(book, &backend.scan()?, retention, now)?;
            }
        }
        Ok(())
    }

    fn look(
        &mut self,
        book: Book,
        scan: &Scan,
        retention: Retention,
        now: Timestamp,
    ) -> Result<(), BackendError> {
        let sum = self.sums.of(book);
        let (mut keys, mut bytes) = (Vec::new(), 0);
        // A twentieth more than it must be: not every commit deletes.
        let room = retention.book_bytes() / 20 * 19;
        let full = sum.bytes > retention.book_bytes();
        let (mut oldest, total) = (now, sum.bytes);
        scan(&from(book, 0), &mut |key, value| {
            // A line that cannot be read says nothing to anybody, either.
            let at = read(value).map_or(Timestamp::MIN, |event| event.at);
            oldest = at;
            let too_much = full && total.saturating_sub(bytes) > room;
            if keys.len() == MAX_STRUCK || !(too_much || retention.is_over(at, now)) {
                return ControlFlow::Break(());
            }
            keys.push(key.to_vec());
            bytes += value.len() as u64;
            ControlFlow::Continue(())
        })?;
        if keys.is_empty() {
            // Not as old as it was thought to be.
            sum.oldest = sum.oldest.map(|_| oldest);
        } else {
            self.surplus.push(Surplus {
                book,
                keys,
                bytes,
                oldest,
            });
        }
        Ok(())
    }
}

impl Sheet {
    /// Writes an event down, if the audit keeps it.
    pub(super) fn write(&mut self, event: &Event) {
        let Some(book) = Book::of(&event.draft) else {
            return;
        };
        // What cannot be said in JSON fails as an event, in the same transaction.
        if let Ok(value) = serde_json::to_vec(event) {
            self.sums.of(book).add(event, value.len());
            self.put(key(book, event.seq), value);
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        let (table, value) = (Table::Audit, Some(value));
        self.rows.push(RawWrite { table, key, value });
    }

    /// The rows to write.
    pub(super) fn rows(&self) -> &[RawWrite] {
        &self.rows
    }
}

/// The audit as it was when it was asked for.
pub struct Audit(Scan);

/// Lines of the audit, in the order in which they were written.
#[derive(Debug, Default)]
pub struct AuditPage {
    /// The lines.
    pub events: Vec<Event>,
    /// Look on from this number, which was looked at, the way the page went; `None`: that is all.
    pub next: Option<u64>,
}

impl Audit {
    pub(super) fn new(scan: Scan) -> Self {
        Self(scan)
    }

    /// At most `limit` lines behind the number `after` that fit. There may be fewer also where there are more to look at.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn after(
        &self,
        after: u64,
        limit: usize,
        fits: &dyn Fn(&Event) -> bool,
    ) -> Result<AuditPage, BackendError> {
        let (mut events, mut seen) = (Vec::new(), u64::MAX);
        for book in Book::ALL {
            let span = from(book, after.saturating_add(1));
            let looked_at = self.gather(&span, limit, fits, &mut events)?;
            seen = seen.min(looked_at.unwrap_or(u64::MAX));
        }
        events.retain(|event| event.seq <= seen);
        events.sort_by_key(|event| event.seq);
        if events.len() > limit {
            events.truncate(limit);
            seen = events.last().map_or(seen, |event| event.seq);
        }
        let next = (seen < u64::MAX).then_some(seen);
        Ok(AuditPage { events, next })
    }

    /// At most `limit` of the newest lines before the number `before` that fit. There may be fewer also where there are more to look at.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn newest(
        &self,
        before: u64,
        limit: usize,
        fits: &dyn Fn(&Event) -> bool,
    ) -> Result<AuditPage, BackendError> {
        let (mut events, mut seen) = (Vec::new(), 0);
        for book in Book::ALL {
            let looked_at = self.gather(&down_from(book, before), limit, fits, &mut events)?;
            seen = seen.max(looked_at.unwrap_or(0));
        }
        events.retain(|event| event.seq >= seen);
        events.sort_by_key(|event| event.seq);
        let surplus = events.len().saturating_sub(limit);
        if surplus > 0 {
            events.drain(..surplus);
            seen = events.first().map_or(seen, |event| event.seq);
        }
        let next = (seen > 0).then_some(seen);
        Ok(AuditPage { events, next })
    }

    /// Adds what fits; the last number looked at where the span was not looked at to its end.
    fn gather(
        &self,
        span: &Span,
        limit: usize,
        fits: &dyn Fn(&Event) -> bool,
        found: &mut Vec<Event>,
    ) -> Result<Option<u64>, BackendError> {
        let (mut left, mut room) = (MAX_LOOKED_AT, limit.max(1));
        let mut end = Ok(None);
        (self.0)(span, &mut |_, value| {
            let event = match read(value) {
                Ok(event) => event,
                Err(error) => {
                    end = Err(BackendError::corrupt("the audit", error));
                    return ControlFlow::Break(());
                }
            };
            let seq = event.seq;
            left -= 1;
            if fits(&event) {
                found.push(event);
                room -= 1;
            }
            if left > 0 && room > 0 {
                return ControlFlow::Continue(());
            }
            end = Ok(Some(seq));
            ControlFlow::Break(())
        })?;
        end
    }
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}
