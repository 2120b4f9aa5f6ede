//! When to swap state: often enough that nobody stays ignorant, rarely enough that a thousand members cost a controller
//! nothing.

use std::time::{Duration, Instant};

use rand_gossip::{RngExt, SeedableRng, rngs::SmallRng};

/// The second swap of a link: whoever joined together with us has told its news by then.
const SECOND: Duration = Duration::from_secs(3);
/// Between two later swaps.
const PERIOD: Duration = Duration::from_secs(15);
/// How far a period may be off, either way, in ms: a room that was switched on at once must not ask at once for ever.
const JITTER_MS: u64 = 3_000;

/// An agent's swaps on one link: when it begins, after 3 s, then every 15 s, give or take.
#[derive(Debug)]
pub struct SwapClock {
    done: u32,
    next: Instant,
    rng: SmallRng,
}

impl SwapClock {
    /// A link begins; the first swap is due at once.
    #[must_use]
    pub fn new(now: Instant, seed: [u8; 32]) -> Self {
        Self {
            done: 0,
            next: now,
            rng: SmallRng::from_seed(seed),
        }
    }

    /// When the next swap is due.
    #[must_use]
    pub fn next(&self) -> Instant {
        self.next
    }

    /// A swap was done, or failed: sets the next.
    pub fn done(&mut self, now: Instant) {
        self.done = self.done.saturating_add(1);
        let off = Duration::from_millis(self.rng.random_range(0..=2 * JITTER_MS));
        self.next = match self.done {
            1 => now + SECOND,
            _ => now + PERIOD - Duration::from_millis(JITTER_MS) + off,
        };
    }

    /// The controller has too much to do and said when to ask again.
    pub fn later(&mut self, now: Instant, after: Duration) {
        self.next = now + after.min(PERIOD);
    }
}

/// Between two full swaps: five a second.
const SPACING: Duration = Duration::from_millis(200);
/// How much of a quiet time is made up for: five at once.
const BURST: Duration = Duration::from_secs(1);
/// What routine leaves over for those who join: two.
const RESERVE: Duration = Duration::from_millis(400);

/// A controller's full swaps, at most five a second over all links: each carries the whole list, both ways.
#[derive(Debug, Default)]
pub struct SwapBudget {
    /// The time that the swaps so far have used up.
    spent: Option<Instant>,
    /// The latest time that somebody was told to come again.
    told: Option<Instant>,
}

impl SwapBudget {
    /// Whether a full swap may be done now. Most who are refused find the digests equal when they ask again: a rumour was
    /// still under way.
    ///
    /// # Errors
    /// After which time to ask again. Each is told a later time than the one before, so that they do not come together.
    pub fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        self.spend(now, RESERVE)
    }

    /// The same, for the first swap of a link: who joins knows almost nobody, and does not wait behind routine.
    ///
    /// # Errors
    /// As [`SwapBudget::admit`].
    pub fn admit_joining(&mut self, now: Instant) -> Result<(), Duration> {
        self.spend(now, Duration::ZERO)
    }

    fn spend(&mut self, now: Instant, left_over: Duration) -> Result<(), Duration> {
        let floor = now.checked_sub(BURST).unwrap_or(now);
        let spent = self.spent.map_or(floor, |spent| spent.max(floor)) + SPACING;
        let free_at = spent + left_over;
        if free_at <= now {
            self.spent = Some(spent);
            return Ok(());
        }
        let told = self.told.map_or(free_at, |told| told.max(free_at)) + SPACING;
        let after = (told - now).min(PERIOD);
        self.told = Some(now + after);
        Err(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an arbitrary start of time")]
    fn start() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn a_thousand_askers_get_five_swaps_a_second_and_all_get_theirs() {
        let mut budget = SwapBudget::default();
        let mut asking: Vec<_> = (0..1_000).map(|_| start()).collect();
        let mut done = Vec::new();
        while let Some(at) = asking.iter().min().copied() {
            let asker = asking
                .iter()
                .position(|&next| next == at)
                .expect("the first");
            match budget.admit(at) {
                Ok(()) => done.push(asking.swap_remove(asker)),
                Err(after) => {
                    assert!(after > Duration::ZERO);
                    asking[asker] += after;
                }
            }
        }
        let ten = Duration::from_secs(10);
        let within = |from: Instant| {
            done.iter()
                .filter(|at| (from..from + ten).contains(at))
                .count()
        };
        let most = done.iter().map(|from| within(*from)).max();
        assert!(most <= Some(56), "{most:?} in ten seconds");
        let last = done
            .iter()
            .max()
            .expect("some")
            .saturating_duration_since(start());
        assert!(last < Duration::from_secs(400), "the last waits {last:?}");
    }

    #[test]
    fn who_joins_does_not_wait_behind_routine() {
        let (mut budget, mut waited) = (SwapBudget::default(), 0);
        for step in 0..1_000 {
            let now = start() + Duration::from_millis(10 * step);
            waited += u32::from(budget.admit(now).is_err());
            if step % 50 == 0 {
                assert_eq!(budget.admit_joining(now), Ok(()), "step {step}");
            }
        }
        assert!(waited > 900, "routine took all");
    }

    #[test]
    fn an_agent_swaps_at_once_then_after_three_seconds_then_every_fifteen() {
        let mut clock = SwapClock::new(start(), [1; 32]);
        let mut now = clock.next();
        let mut pauses = Vec::new();
        for _ in 0..100 {
            clock.done(now);
            pauses.push((clock.next() - now).as_millis());
            now = clock.next();
        }
        assert_eq!(pauses[0], 3_000);
        assert!(pauses[1..].iter().all(|ms| (12_000..=18_000).contains(ms)));
        assert!(pauses[1..].iter().any(|ms| *ms != pauses[1]), "{pauses:?}");
    }
}
