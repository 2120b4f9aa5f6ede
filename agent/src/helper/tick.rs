//! The computer's two counts of time. Its clock can be wrong, and set; the count since its start is neither, and ends with it.

use std::time::{SystemTime, UNIX_EPOCH};

use mesh_proto::message::delegation::Moment;
use serde::{Deserialize, Serialize};

/// One moment by both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// By the clock: seconds since 1970.
    pub unix_s: i64,
    /// Which start of the computer.
    pub boot: String,
    /// Seconds since then, sleep included.
    pub up_s: i64,
}

impl Tick {
    /// Now, on this computer.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let up_s = crate::journal::uptime_ms() / 1000;
        Self {
            unix_s: i64::try_from(since.unwrap_or_default().as_secs()).unwrap_or(i64::MAX),
            boot: crate::boot_id(),
            up_s: i64::try_from(up_s).unwrap_or(i64::MAX),
        }
    }

    /// This moment, for what came at `then`.
    pub(super) fn since(&self, then: &Self) -> Moment {
        Moment {
            unix_s: self.unix_s,
            held_s: (self.boot == then.boot).then(|| self.up_s - then.up_s),
        }
    }
}
