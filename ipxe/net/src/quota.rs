//! How often one asker may ask: a count per key and span of time, in a table that cannot grow without end.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// Keys remembered within a span; a flood of invented ones beyond that waits for the next one.
const KEYS: usize = 8192;
/// The usual span.
const SPAN: Duration = Duration::from_secs(1);

/// Counts of the running span.
#[derive(Debug)]
pub struct Quota<K> {
    limit: u32,
    span: Duration,
    since: Option<Instant>,
    counts: HashMap<K, u32>,
}

impl<K: Eq + Hash> Quota<K> {
    /// Admits `limit` questions per key and second.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self::per(limit, SPAN)
    }

    /// Admits `limit` questions per key and span.
    #[must_use]
    pub fn per(limit: u32, span: Duration) -> Self {
        Self {
            limit,
            span,
            since: None,
            counts: HashMap::new(),
        }
    }

    /// Counts a question of `key`; false when it is one too many.
    pub fn admit(&mut self, key: K, now: Instant) -> bool {
        self.turn(now);
        if self.counts.len() >= KEYS && !self.counts.contains_key(&key) {
            return false;
        }
        let count = self.counts.entry(key).or_default();
        *count += 1;
        *count <= self.limit
    }

    /// How long `key` has to wait that asked as often as it may; `None`: it may ask. Counts nothing.
    pub fn wait(&mut self, key: &K, now: Instant) -> Option<Duration> {
        self.turn(now);
        let spent = self.counts.get(key).is_some_and(|n| *n >= self.limit);
        let since = self.since.filter(|_| spent)?;
        Some(self.span.saturating_sub(now.duration_since(since)))
    }

    /// Begins a new span when the last one is over.
    fn turn(&mut self, now: Instant) {
        if self
            .since
            .is_none_or(|s| now.duration_since(s) >= self.span)
        {
            self.since = Some(now);
            self.counts.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_waits_for_the_next_second_and_others_do_not() {
        let mut quota = Quota::new(20);
        let now = Instant::now();
        assert_eq!((0..100).filter(|_| quota.admit("loud", now)).count(), 20);
        assert!(quota.admit("quiet", now));
        assert!(quota.admit("loud", now + SPAN));
    }

    #[test]
    fn who_failed_too_often_is_told_how_long_to_wait() {
        let mut quota = Quota::per(2, Duration::from_secs(60));
        let now = Instant::now();
        assert_eq!(quota.wait(&"loud", now), None);
        assert!(quota.admit("loud", now));
        assert_eq!(quota.wait(&"loud", now), None);
        assert!(quota.admit("loud", now));
        let later = now + Duration::from_secs(20);
        assert_eq!(quota.wait(&"loud", later), Some(Duration::from_secs(40)));
        assert_eq!(quota.wait(&"quiet", later), None);
        assert_eq!(quota.wait(&"loud", now + Duration::from_secs(60)), None);
    }

    #[test]
    fn invented_keys_do_not_grow_the_table_without_end() {
        let mut quota = Quota::new(20);
        let now = Instant::now();
        assert_eq!((0..10_000).filter(|n| quota.admit(*n, now)).count(), KEYS);
        assert_eq!(quota.counts.len(), KEYS);
    }
}
