//! How often one station may ask.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use ipxe::MacAddr;

/// Requests of one station within a second. A ROM sends one every few seconds; a helper's or relay's stations count
/// each for themselves.
const PER_MAC: u32 = 20;
/// Stations remembered within a second; a flood of invented addresses beyond that waits for the next second.
const STATIONS: usize = 8192;
/// The span that is counted.
const SPAN: Duration = Duration::from_secs(1);

/// Counts of the running second.
#[derive(Debug, Default)]
pub(super) struct Quota {
    since: Option<Instant>,
    counts: HashMap<MacAddr, u32>,
}

impl Quota {
    /// Counts a request of `mac`; false when it is one too many.
    pub(super) fn admit(&mut self, mac: MacAddr, now: Instant) -> bool {
        if self.since.is_none_or(|s| now.duration_since(s) >= SPAN) {
            self.since = Some(now);
            self.counts.clear();
        }
        if self.counts.len() >= STATIONS && !self.counts.contains_key(&mac) {
            return false;
        }
        let count = self.counts.entry(mac).or_default();
        *count += 1;
        *count <= PER_MAC
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_station_that_asks_too_often_waits_for_the_next_second_and_others_do_not() {
        let mut quota = Quota::default();
        let (now, loud, quiet) = (Instant::now(), MacAddr([2; 6]), MacAddr([4; 6]));
        let admitted = (0..100).filter(|_| quota.admit(loud, now)).count();
        assert_eq!(admitted, 20);
        assert!(quota.admit(quiet, now));
        assert!(quota.admit(loud, now + SPAN));
    }

    #[test]
    fn invented_stations_do_not_grow_the_table_without_end() {
        let mut quota = Quota::default();
        let now = Instant::now();
        let macs = (0..10_000_u32).map(|n| {
            let [_, _, a, b] = n.to_be_bytes();
            MacAddr([2, 0, 0, 0, a, b])
        });
        assert_eq!(macs.filter(|m| quota.admit(*m, now)).count(), STATIONS);
        assert_eq!(quota.counts.len(), STATIONS);
    }
}
