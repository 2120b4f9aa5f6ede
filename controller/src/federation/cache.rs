//! What peers said a moment ago: a script that is asked for again in the same boot does not ask them again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use ipxe::MacAddr;

use crate::state::peer::PeerAnswer;

/// How long a "nothing" counts: the two tries of one boot's script, and not the next boot.
const LIVES: Duration = Duration::from_secs(4);
/// Machines remembered; past that the memory starts anew.
const MAX: usize = 1024;

/// The memory.
#[derive(Debug, Default)]
pub(super) struct Cache(HashMap<MacAddr, (Instant, Vec<PeerAnswer>)>);

impl Cache {
    /// What was said, when that is not long ago.
    pub(super) fn said(&self, mac: MacAddr, now: Instant) -> Option<Vec<PeerAnswer>> {
        let (at, said) = self.0.get(&mac)?;
        (now.saturating_duration_since(*at) < LIVES).then(|| said.clone())
    }

    /// Nobody had anything.
    pub(super) fn nothing(&mut self, mac: MacAddr, said: Vec<PeerAnswer>, now: Instant) {
        if self.0.len() >= MAX {
            self.0.clear();
        }
        self.0.insert(mac, (now, said));
    }

    /// A peer has something new: what was said counts no more.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nothing_is_remembered_for_one_boot_and_no_longer() {
        let (mut cache, now, mac) = (Cache::default(), Instant::now(), MacAddr([2; 6]));
        assert_eq!(cache.said(mac, now), None);
        cache.nothing(mac, Vec::new(), now);
        assert_eq!(
            cache.said(mac, now + Duration::from_secs(3)),
            Some(Vec::new())
        );
        assert_eq!(cache.said(mac, now + LIVES), None);
        cache.forget();
        assert_eq!(cache.said(mac, now), None);
        for n in 0..5000u32 {
            let [a, b, c, d] = n.to_be_bytes();
            cache.nothing(MacAddr([2, 0, a, b, c, d]), Vec::new(), now);
        }
        assert!(cache.0.len() <= MAX);
    }
}
