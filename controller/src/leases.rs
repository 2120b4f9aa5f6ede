//! The lease desk: answers what DHCP asks about addresses, from the view and the store.
//!
//! The lock is only held to look and to hold an address, never across a commit. An address that is being taken stays held
//! until its lease is in the view, and a DISCOVER looks at holds and view under the lock: so no address is offered twice.

#[cfg(test)]
mod tests;

use std::{
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use ipxe::{LeaseAnswer, LeaseAsk, LeaseVerb};
use tracing::warn;

use crate::{
    state::{
        event::Draft,
        lease::{Decline, Holds, Offer, Release, Take, discover, is_ours, settings},
    },
    store::{Store, StoreError},
};

/// See the module.
#[derive(Debug)]
pub struct LeaseDesk {
    store: Store,
    holds: Mutex<Holds>,
}

impl LeaseDesk {
    /// A desk; one per store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            holds: Mutex::default(),
        }
    }

    /// Answers; a grant is durable when this returns. Without a store that keeps it there is no grant: silence.
    pub async fn lease(&self, ask: LeaseAsk) -> LeaseAnswer {
        let mac = ask.mac;
        let answer = match ask.verb {
            LeaseVerb::Discover(wish) => Ok(self.discover(&ask, wish)),
            LeaseVerb::Select(ip) | LeaseVerb::Confirm(ip) => self.take(ask, ip).await,
            LeaseVerb::Inform(ip) => Ok(settings(&self.store.view(), &ask, ip)),
            LeaseVerb::Release(ip) => {
                self.holds().let_go(mac);
                let gone = self.store.apply(Release { mac, ip }).await;
                gone.map(|()| LeaseAnswer::Silent)
            }
            LeaseVerb::Decline(ip) => {
                let offered = self.was_offered(&ask, ip);
                let gone = self.store.apply(Decline { mac, ip, offered }).await;
                if offered {
                    self.holds().let_go(mac);
                }
                gone.map(|()| LeaseAnswer::Silent)
            }
        };
        answer.unwrap_or_else(|error: StoreError| {
            warn!(%mac, %error, "no address: the lease cannot be kept");
            LeaseAnswer::Silent
        })
    }

    fn holds(&self) -> MutexGuard<'_, Holds> {
        // Holds are a hint to the transitions, which check again: also a half-made change of them is good enough.
        self.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn discover(&self, ask: &LeaseAsk, wish: Option<Ipv4Addr>) -> LeaseAnswer {
        let now = self.store.now();
        let offer = {
            let mut holds = self.holds();
            discover(&self.store.view(), &mut holds, ask, wish, now)
        };
        match offer {
            Offer::Lease(lease) => LeaseAnswer::Grant(lease),
            Offer::NotOurs => LeaseAnswer::Silent,
            Offer::Full { pool, tell } => {
                if tell {
                    let text = format!(
                        "no address is left in the pool that starts at {pool}; enlarge it, or shorten its lease time"
                    );
                    let event = Draft::new("lease.pool-full", text).mac(ask.mac);
                    self.store.note(event.field("pool", pool.to_string()));
                }
                LeaseAnswer::Silent
            }
        }
    }

    async fn take(&self, ask: LeaseAsk, ip: Ipv4Addr) -> Result<LeaseAnswer, StoreError> {
        let (mac, now) = (ask.mac, self.store.now());
        {
            let mut holds = self.holds();
            if !holds.is_free_for(mac, ip, now) {
                return Ok(if is_ours(&self.store.view(), ip) {
                    LeaseAnswer::Refuse
                } else {
                    LeaseAnswer::Silent
                });
            }
            // When too many are held the transition alone decides; it is never wrong, only later.
            holds.hold(mac, ip, now);
        }
        let answer = self.store.apply(Take { ask, ip }).await;
        self.holds().let_go(mac);
        answer
    }

    fn was_offered(&self, ask: &LeaseAsk, ip: Ipv4Addr) -> bool {
        self.holds().held_by(ask.mac, self.store.now()) == Some(ip)
    }
}
