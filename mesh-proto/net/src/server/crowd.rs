//! Who is proving itself just now, counted by address, so that one host cannot hold every place.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
};

use super::lock;

/// An address, and whether it is known to be its speaker's own (QUIC's Retry): somebody who writes others' addresses on
/// first packets must not use up the places of those who do live there.
type Speaker = (IpAddr, bool);

/// Places taken, by speaker.
#[derive(Debug, Default)]
pub(super) struct Crowd(Mutex<HashMap<Speaker, usize>>);

/// One place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    speaker: Speaker,
}

impl Crowd {
    /// A place, unless `most` of them are taken. There are never more entries than places of all addresses together.
    pub(super) fn enter(
        self: &Arc<Self>,
        from: IpAddr,
        proven: bool,
        most: usize,
    ) -> Option<Place> {
        let speaker = (from.to_canonical(), proven);
        let mut taken = lock(&self.0);
        let count = taken.get(&speaker).copied().unwrap_or_default();
        if count >= most {
            return None;
        }
        taken.insert(speaker, count + 1);
        let crowd = Arc::clone(self);
        Some(Place { crowd, speaker })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.crowd.0);
        match taken.get_mut(&self.speaker) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.remove(&self.speaker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_gets_so_many_places_and_others_theirs() {
        let crowd = Arc::new(Crowd::default());
        let [loud, quiet] = [1, 2].map(|n| IpAddr::from([10, 0, 0, n]));
        let held: Vec<_> = (0..3).map(|_| crowd.enter(loud, true, 2)).collect();
        assert_eq!(held.iter().flatten().count(), 2);
        assert!(crowd.enter(quiet, true, 2).is_some());
        let mapped = IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0x0a00, 1]);
        assert!(crowd.enter(mapped, true, 2).is_none(), "the same host");
        drop(held);
        assert!(crowd.enter(loud, true, 2).is_some(), "places come back");
        assert!(
            lock(&crowd.0).is_empty(),
            "nobody is remembered for nothing"
        );
    }

    #[test]
    fn an_address_that_others_write_on_their_packets_keeps_its_own_places() {
        let crowd = Arc::new(Crowd::default());
        let victim = IpAddr::from([10, 0, 0, 1]);
        let forged: Vec<_> = (0..9).map(|_| crowd.enter(victim, false, 2)).collect();
        assert_eq!(forged.iter().flatten().count(), 2);
        assert!(crowd.enter(victim, true, 2).is_some());
    }
}
