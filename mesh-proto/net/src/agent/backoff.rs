//! How long to wait before the next round of dialling.

use std::time::Duration;

/// The first wait, at most.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait: a controller that comes back is found within this time, and a thousand agents that look for one
/// that is gone knock 200 times a second.
const LONGEST: Duration = Duration::from_secs(5);

/// Waits that double, each cut at random so that a room full of machines does not dial in step.
#[derive(Debug, Clone, Default)]
pub struct Backoff {
    rounds: u32,
}

impl Backoff {
    /// The next wait: between half of the round's time and all of it, as `random` says.
    pub fn next_wait(&mut self, random: u32) -> Duration {
        let whole = FIRST.saturating_mul(1 << self.rounds.min(16)).min(LONGEST);
        self.rounds = self.rounds.saturating_add(1);
        let half = whole / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }

    /// Starts again from the shortest wait.
    pub fn reset(&mut self) {
        self.rounds = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit_and_are_spread() {
        let mut most = Backoff::default();
        let waits: Vec<_> = (0..6)
            .map(|_| most.next_wait(u32::MAX).as_millis())
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 5000, 5000]);
        let mut least = Backoff::default();
        assert_eq!(least.next_wait(0), FIRST / 2);
        for _ in 0..100 {
            assert!(least.next_wait(7) <= LONGEST);
        }
        least.reset();
        assert_eq!(least.next_wait(u32::MAX), FIRST);
    }
}
