//! How long somebody has to wait who was wrong too often: a pause that doubles, in a table that cannot grow without end.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// Keys remembered. Beyond that the one with the fewest misses is forgotten: a flood of invented ones forgets itself.
const KEYS: usize = 4_096;
/// After this long without a miss everything is forgiven. Longer than any pause.
const FORGIVEN_AFTER: Duration = Duration::from_secs(3_600);

/// How misses are answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// Misses without a pause.
    pub(super) free: u32,
    /// The longest pause.
    pub(super) most: Duration,
}

impl Rule {
    /// How long who missed so often has to wait: a second, two, four.
    fn pause(self, misses: u32) -> Duration {
        let Some(beyond) = misses.checked_sub(self.free).filter(|n| *n > 0) else {
            return Duration::ZERO;
        };
        let seconds = 1_u64.checked_shl(beyond - 1).unwrap_or(u64::MAX);
        Duration::from_secs(seconds).min(self.most)
    }
}

#[derive(Debug, Clone, Copy)]
struct Missed {
    count: u32,
    last: Instant,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Misses<K> {
    rule: Rule,
    of: HashMap<K, Missed>,
}

impl<K: Eq + Hash + Clone> Misses<K> {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule,
            of: HashMap::new(),
        }
    }

    /// How long `key` has still to wait; `None`: it may try.
    pub(super) fn wait(&self, key: &K, now: Instant) -> Option<Duration> {
        let missed = self.of.get(key)?;
        let over = missed.last + self.rule.pause(missed.count);
        let wait = over.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }

    /// Counts a try as a miss, before it is looked at: of many at once none is free.
    pub(super) fn begin(&mut self, key: &K, now: Instant) {
        let known = self.of.get(key).filter(|m| !is_forgiven(m, now));
        let count = known.map_or(0, |m| m.count).saturating_add(1);
        if !self.of.contains_key(key) {
            self.make_room(now);
        }
        self.of.insert(key.clone(), Missed { count, last: now });
    }

    /// The try was none.
    pub(super) fn take_back(&mut self, key: &K) {
        if let Some(missed) = self.of.get_mut(key) {
            missed.count = missed.count.saturating_sub(1);
        }
    }

    /// They were right: what was before does not count.
    pub(super) fn forgive(&mut self, key: &K) {
        self.of.remove(key);
    }

    fn make_room(&mut self, now: Instant) {
        if self.of.len() < KEYS {
            return;
        }
        self.of.retain(|_, missed| !is_forgiven(missed, now));
        if self.of.len() < KEYS {
            return;
        }
        let least = self.of.iter().min_by_key(|(_, m)| (m.count, m.last));
        if let Some(least) = least.map(|(key, _)| key.clone()) {
            self.of.remove(&least);
        }
    }
}

fn is_forgiven(missed: &Missed, now: Instant) -> bool {
    now.saturating_duration_since(missed.last) >= FORGIVEN_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        free: 3,
        most: Duration::from_secs(60),
    };

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_pause_doubles_until_it_is_the_longest_and_an_hour_forgives() {
        let (mut misses, mut now) = (Misses::new(RULE), Instant::now());
        for pause in [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(misses.wait(&"ann", now), None);
            misses.begin(&"ann", now);
            let expected = (pause > 0).then(|| seconds(pause));
            assert_eq!(misses.wait(&"ann", now), expected);
            now += seconds(pause);
        }
        assert_eq!(misses.wait(&"bob", now), None);
        now += FORGIVEN_AFTER;
        misses.begin(&"ann", now);
        assert_eq!(misses.wait(&"ann", now), None);
        assert_eq!(RULE.pause(u32::MAX), seconds(60));
    }

    #[test]
    fn who_was_right_begins_anew_and_a_try_that_was_none_does_not_count() {
        let (mut misses, now) = (Misses::new(RULE), Instant::now());
        (0..5).for_each(|_| misses.begin(&"ann", now));
        assert_eq!(misses.wait(&"ann", now), Some(seconds(2)));
        misses.take_back(&"ann");
        assert_eq!(misses.wait(&"ann", now), Some(seconds(1)));
        misses.forgive(&"ann");
        assert_eq!(misses.wait(&"ann", now), None);
    }

    #[test]
    fn invented_names_neither_grow_the_table_nor_push_out_who_is_guessed_at() {
        let (mut misses, now) = (Misses::new(RULE), Instant::now());
        (0..5).for_each(|_| misses.begin(&u32::MAX, now));
        (0..10_000).for_each(|n| misses.begin(&n, now));
        assert_eq!(misses.of.len(), KEYS);
        assert!(misses.wait(&u32::MAX, now).is_some());
        misses.begin(&(u32::MAX - 1), now + FORGIVEN_AFTER);
        assert_eq!(misses.of.len(), 1);
    }
}
