//! How often one asker may ask: a count per key and second, in a table that cannot grow without end.

use std::{
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

/// Keys remembered within a second; a flood of invented ones beyond that waits for the next second.
const KEYS: usize = 8192;
/// The span that is counted.
const SPAN: Duration = Duration::from_secs(1);

/// Counts of the running second.
#[derive(Debug)]
pub(crate) struct Quota<K> {
    limit: u32,
    since: Option<Instant>,
    counts: HashMap<K, u32>,
}

impl<K: Eq + Hash> Quota<K> {
    /// Admits `limit` questions per key and second.
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            limit,
            since: None,
            counts: HashMap::new(),
        }
    }

    /// Counts a question of `key`; false when it is one too many.
    pub(crate) fn admit(&mut self, key: K, now: Instant) -> bool {
        if self.since.is_none_or(|s| now.duration_since(s) >= SPAN) {
            self.since = Some(now);
            self.counts.clear();
        }
        if self.counts.len() >= KEYS && !self.counts.contains_key(&key) {
            return false;
        }
        let count = self.counts.entry(key).or_default();
        *count += 1;
        *count <= self.limit
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
    fn invented_keys_do_not_grow_the_table_without_end() {
        let mut quota = Quota::new(20);
        let now = Instant::now();
        assert_eq!((0..10_000).filter(|n| quota.admit(*n, now)).count(), KEYS);
        assert_eq!(quota.counts.len(), KEYS);
    }
}
