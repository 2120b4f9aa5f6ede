//! How many events a provider may cause: the record of events is bounded, and one liar must not push everybody else out of it.

use std::time::{Duration, Instant};

/// Events at once: a room that starts is told member by member.
const BURST: usize = 256;
/// One more after this time.
const EVERY: Duration = Duration::from_secs(1);

/// A bucket of events.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    left: usize,
    filled: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled: now,
        }
    }

    /// How many may be told now.
    pub(super) fn left(&mut self, now: Instant) -> usize {
        let more = now.saturating_duration_since(self.filled).as_secs() / EVERY.as_secs();
        self.filled += EVERY * u32::try_from(more).unwrap_or(u32::MAX);
        let more = usize::try_from(more).unwrap_or(usize::MAX);
        self.left = self.left.saturating_add(more).min(BURST);
        self.left
    }

    /// So many were told.
    pub(super) fn spend(&mut self, told: usize) {
        self.left = self.left.saturating_sub(told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_liar_tells_one_thing_a_second_once_the_burst_is_spent() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let mut budget = Budget::new(start);
        let mut told = 0;
        // It would tell a thousand things every second, for a minute.
        for second in 0..60 {
            let now = budget.left(at(second)).min(1000);
            budget.spend(now);
            told += now;
        }
        assert_eq!(told, BURST + 59);
        assert_eq!(budget.left(at(10_000)), BURST, "it does not save up");
    }
}
