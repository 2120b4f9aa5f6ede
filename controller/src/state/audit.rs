//! Which events the audit keeps, and for how long: longer than the record of events, and on disk alone.
//!
//! There are two books, each with half of the room: what was changed, and by whom; and what machines were told and callers
//! refused. Strangers can fill the second one as fast as they ask; nothing that they do displaces a line of the first.

use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    event::{Draft, Event},
};

/// A request that changed something of which no event tells.
pub const CHANGED: &str = "api.changed";
/// A request that was answered without a change of the record: an upload, a download of what is secret, a test.
pub const ANSWERED: &str = "api.answered";
/// A request that was refused.
pub const REFUSED: &str = "api.refused";
/// A request that failed.
pub const FAILED: &str = "api.failed";
/// A machine was told what to boot.
pub const TOLD: &str = "boot.told";
/// A key was not given, or not taken.
const NOT_ENROLLED: &str = "enrolment.refused";
/// Somebody signed in.
pub const SIGNED_IN: &str = "session.created";
/// Somebody did not sign in.
const NOT_SIGNED_IN: &str = "session.refused";

/// Where a line of the audit is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Book {
    /// What was changed.
    Changes,
    /// What machines were told, and what was refused.
    Answers,
}

impl Book {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Changes, Self::Answers];

    /// The book that keeps an event; `None`: the audit does not.
    #[must_use]
    pub fn of(draft: &Draft) -> Option<Self> {
        match draft.kind.as_str() {
            TOLD | REFUSED | FAILED | NOT_ENROLLED | NOT_SIGNED_IN => Some(Self::Answers),
            // Keys and acceptance decide who is believed, also where no person was asked.
            kind if kind.starts_with("key.") || kind == "machine.accepted" => Some(Self::Changes),
            _ => draft.origin.is_some().then_some(Self::Changes),
        }
    }
}

/// How a line of the audit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
    /// It was not refused and not done either.
    Failed,
    /// A machine was told something.
    Told,
}

impl Outcome {
    /// How an event of this kind ended.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        match kind {
            REFUSED | NOT_ENROLLED | NOT_SIGNED_IN => Self::Refused,
            FAILED => Self::Failed,
            TOLD => Self::Told,
            _ => Self::Done,
        }
    }
}

/// How much the audit keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Lines older than this are dropped, seconds; `None`: age does not matter.
    pub keep_s: Option<u32>,
    /// Bytes of both books together; the oldest lines of a book that is over its half are dropped.
    pub max_bytes: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            keep_s: Some(90 * 86_400),
            max_bytes: 128 << 20,
        }
    }
}

impl Retention {
    /// Bytes that one book may have.
    #[must_use]
    pub fn book_bytes(self) -> u64 {
        self.max_bytes / 2
    }

    /// Whether a line of this time is too old.
    #[must_use]
    pub fn is_over(self, at: Timestamp, now: Timestamp) -> bool {
        self.keep_s
            .is_some_and(|keep| now.duration_since(at).as_secs() > i64::from(keep))
    }
}

/// What a book holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sum {
    /// Lines.
    pub lines: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest was written, at the latest.
    pub oldest: Option<Timestamp>,
}

impl Sum {
    /// With this line.
    pub fn add(&mut self, event: &Event, bytes: usize) {
        self.lines += 1;
        self.bytes += bytes as u64;
        self.oldest.get_or_insert(event.at);
    }

    /// Without so many lines; the oldest that is left is no older than `oldest`.
    pub fn take(&mut self, lines: u64, bytes: u64, oldest: Timestamp) {
        self.lines = self.lines.saturating_sub(lines);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.oldest = (self.lines > 0).then_some(oldest);
    }

    /// Whether lines have to go.
    #[must_use]
    pub fn is_over(&self, retention: Retention, now: Timestamp) -> bool {
        self.bytes > retention.book_bytes()
            || self.oldest.is_some_and(|at| retention.is_over(at, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::event::Origin;

    #[test]
    fn strangers_write_into_another_book_than_who_changes_something() {
        let by_ann = |kind| {
            let mut draft = Draft::new(kind, "x");
            draft.asked_by(&Origin::default());
            Book::of(&draft)
        };
        for kind in ["machine.registered", CHANGED, ANSWERED] {
            assert_eq!(by_ann(kind), Some(Book::Changes), "{kind}");
        }
        for kind in [REFUSED, FAILED, TOLD, NOT_ENROLLED, NOT_SIGNED_IN] {
            assert_eq!(by_ann(kind), Some(Book::Answers), "{kind}");
        }
        let nobody = |kind| Book::of(&Draft::new(kind, "x"));
        assert_eq!(nobody(TOLD), Some(Book::Answers));
        assert_eq!(nobody("key.enrolled"), Some(Book::Changes));
        assert_eq!(nobody("boot.firmware-offered"), None);
    }

    #[test]
    fn a_book_is_over_by_its_bytes_or_by_its_age() {
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = |days: i64| at + jiff::SignedDuration::from_hours(24 * days);
        let retention = Retention {
            keep_s: Some(90 * 86_400),
            max_bytes: 2_000,
        };
        let mut sum = Sum::default();
        let draft = Draft::new(TOLD, "x");
        let event = Event { seq: 1, at, draft };
        sum.add(&event, 1_000);
        assert!(!sum.is_over(retention, later(90)));
        assert!(sum.is_over(retention, later(91)));
        sum.add(&event, 1);
        assert!(sum.is_over(retention, at));
        sum.take(1, 1_000, later(1));
        assert_eq!((sum.lines, sum.bytes, sum.oldest), (1, 1, Some(later(1))));
        sum.take(1, 1, later(2));
        assert_eq!(sum, Sum::default());
        let forever = Retention {
            keep_s: None,
            ..retention
        };
        assert!(!forever.is_over(at, later(100_000)));
    }
}
