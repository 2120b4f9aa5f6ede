//! How many connections may be open: in all, and of one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections at once; a further one waits in the listen queue.
const MAX_CONNECTIONS: usize = 2048;
/// Of one address: a room behind one NAT fits, and a host that only opens connections leaves half the places to others.
const MAX_PER_ADDRESS: usize = MAX_CONNECTIONS / 2;

/// The places.
#[derive(Clone)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place that is given back when this is dropped.
pub(super) struct Place {
    from: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            taken: Arc::default(),
        }
    }

    /// Waits until there is a place for somebody. `None` never happens: the semaphore is never closed.
    pub(super) async fn free(&self) -> Option<OwnedSemaphorePermit> {
        self.all.clone().acquire_owned().await.ok()
    }

    /// Gives the place to `from`, unless that address has its share.
    pub(super) fn take(&self, from: IpAddr, place: OwnedSemaphorePermit) -> Option<Place> {
        let mut taken = lock(&self.taken);
        let count = taken.entry(from).or_default();
        if *count >= MAX_PER_ADDRESS {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place {
            from,
            taken: Arc::clone(&self.taken),
            _place: place,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.from);
            }
        }
    }
}

/// The counts; a thread that panicked between two of these lines is not possible.
fn lock(taken: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn one_address_never_holds_all_places() {
        let (places, greedy) = (Places::new(), IpAddr::V4(Ipv4Addr::LOCALHOST));
        let mut held = Vec::new();
        for _ in 0..MAX_PER_ADDRESS {
            let place = places.free().await.unwrap();
            held.push(places.take(greedy, place).unwrap());
        }
        let place = places.free().await.unwrap();
        assert!(places.take(greedy, place).is_none());
        let place = places.free().await.unwrap();
        assert!(
            places
                .take(Ipv4Addr::new(10, 0, 0, 1).into(), place)
                .is_some()
        );
        held.pop();
        let place = places.free().await.unwrap();
        assert!(places.take(greedy, place).is_some());
        held.clear();
        assert!(lock(&places.taken).is_empty());
    }
}
