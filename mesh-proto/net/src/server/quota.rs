//! How often one address may enrol: a count per address and minute, in a table that cannot grow without end.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Addresses remembered within a span; those beyond wait for the next one.
const ADDRESSES: usize = 8192;
/// What is counted in.
const SPAN: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Quota {
    limit: u32,
    since: Option<Instant>,
    counts: HashMap<IpAddr, u32>,
}

impl Quota {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            limit,
            since: None,
            counts: HashMap::new(),
        }
    }

    /// Counts one of `from`; false when it is one too many.
    pub(super) fn admit(&mut self, from: IpAddr, now: Instant) -> bool {
        if self
            .since
            .is_none_or(|since| now.duration_since(since) >= SPAN)
        {
            self.since = Some(now);
            self.counts.clear();
        }
        let from = from.to_canonical();
        if self.counts.len() >= ADDRESSES && !self.counts.contains_key(&from) {
            return false;
        }
        let count = self.counts.entry(from).or_default();
        *count = count.saturating_add(1);
        *count <= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_enrols_too_often_waits_for_the_next_minute_and_others_do_not() {
        let (mut quota, now) = (Quota::new(5), Instant::now());
        let [loud, quiet] = [1, 2].map(|n| IpAddr::from([10, 0, 0, n]));
        assert_eq!((0..20).filter(|_| quota.admit(loud, now)).count(), 5);
        assert!(quota.admit(quiet, now));
        assert!(quota.admit(loud, now + SPAN));
    }

    #[test]
    fn invented_addresses_do_not_grow_the_table_without_end() {
        let (mut quota, now) = (Quota::new(5), Instant::now());
        let admitted = (0..10_000u32).filter(|n| quota.admit(IpAddr::from(n.to_be_bytes()), now));
        assert_eq!(admitted.count(), ADDRESSES);
    }
}
