//! The time that certificates are issued by: a board without a clock wakes up in 1970, and must not issue certificates
//! that ended long ago; a clock that jumps ahead must not carry every later certificate with it.

use serde::{Deserialize, Serialize};

use crate::state::Timestamp;

/// A jump ahead of more than this is not believed for good before somebody confirms it.
pub const LARGEST_STEP: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// The newest time by which a certificate was issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Certificates are not issued by an earlier time.
    pub newest: Timestamp,
    /// A time more than [`LARGEST_STEP`] ahead that nobody confirmed yet; certificates are issued by the clock meanwhile.
    #[serde(default)]
    pub unconfirmed: Option<Timestamp>,
}

/// The time to issue by, and what to remember of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Issuing {
    /// The time to write into the certificate.
    pub at: Timestamp,
    /// The stamp to store, when it changed.
    pub stamp: Option<Stamp>,
    /// The clock jumped just now: tell a person.
    pub jumped: bool,
}

/// The time to issue a certificate by: the clock, but never earlier than the newest stamp.
#[must_use]
pub fn issuing_time(clock: Timestamp, known: Option<Stamp>) -> Issuing {
    let store = |at, stamp, jumped| Issuing {
        at,
        stamp: (Some(stamp) != known).then_some(stamp),
        jumped,
    };
    let settled = |newest| Stamp {
        newest,
        unconfirmed: None,
    };
    let Some(stamp) = known else {
        return store(clock, settled(clock), false);
    };
    let ahead = clock.duration_since(stamp.newest);
    if ahead <= jiff::SignedDuration::ZERO {
        store(stamp.newest, settled(stamp.newest), false)
    } else if ahead <= LARGEST_STEP {
        store(clock, settled(clock), false)
    } else {
        // The first sight of the jump is kept, so that it is told once.
        let first = stamp.unconfirmed.unwrap_or(clock);
        let held = Stamp {
            unconfirmed: Some(first),
            ..stamp
        };
        store(clock, held, stamp.unconfirmed.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(n: i64) -> Timestamp {
        Timestamp::from_second(n * 86_400).unwrap()
    }

    fn stamp(newest: i64, unconfirmed: Option<i64>) -> Stamp {
        Stamp {
            newest: day(newest),
            unconfirmed: unconfirmed.map(day),
        }
    }

    #[test]
    fn time_never_goes_back_and_a_jump_is_not_kept() {
        // (clock, known) -> (issued at, stored, jumped)
        let rows = [
            (10, None, 10, Some(stamp(10, None)), false),
            (11, Some(stamp(10, None)), 11, Some(stamp(11, None)), false),
            (0, Some(stamp(10, None)), 10, None, false),
            (10, Some(stamp(10, None)), 10, None, false),
            (
                400,
                Some(stamp(10, None)),
                400,
                Some(stamp(10, Some(400))),
                true,
            ),
            (401, Some(stamp(10, Some(400))), 401, None, false),
            // The clock was corrected: what it claimed is forgotten.
            (
                11,
                Some(stamp(10, Some(400))),
                11,
                Some(stamp(11, None)),
                false,
            ),
            (
                9,
                Some(stamp(10, Some(400))),
                10,
                Some(stamp(10, None)),
                false,
            ),
        ];
        for (clock, known, at, stored, jumped) in rows {
            let expected = Issuing {
                at: day(at),
                stamp: stored,
                jumped,
            };
            assert_eq!(
                issuing_time(day(clock), known),
                expected,
                "{clock} {known:?}"
            );
        }
    }
}
