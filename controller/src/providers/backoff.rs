//! How long to wait before a provider that failed is asked again.

use std::time::Duration;

/// After the first failure: most are a restart.
const FIRST: Duration = Duration::from_secs(1);
/// And at most: a person who repaired it does not wait longer than this.
const LONGEST: Duration = Duration::from_secs(60);

/// Failures in a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Backoff(u32);

impl Backoff {
    /// It worked.
    pub(super) fn worked(&mut self) {
        self.0 = 0;
    }

    /// It failed once more; wait this long. `chance` (0 to 1) spreads controllers that lost one provider at the same moment: between
    /// three quarters of the time and all of it.
    pub(super) fn failed(&mut self, chance: f64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.0.min(10));
        self.0 = self.0.saturating_add(1);
        doubled
            .min(LONGEST)
            .mul_f64(0.75 + chance.clamp(0.0, 1.0) / 4.0)
    }

    /// How often it failed since it worked last.
    pub(super) fn failures(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute_and_start_again_when_it_worked() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..9).map(|_| backoff.failed(1.0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.failures(), 9);
        backoff.worked();
        assert_eq!(backoff.failed(0.0), Duration::from_millis(750));
        let mut ages = Backoff(u32::MAX);
        assert_eq!(ages.failed(1.0), LONGEST);
    }
}
