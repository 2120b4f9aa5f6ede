//! DISCOVER, answered from memory: an offer is held for its station for some seconds, so that a room that powers on at
//! once gets distinct offers, and nothing is written until a station takes one.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::Ipv4Addr,
    time::Duration,
};

use ipxe::{Lease, LeaseAnswer, LeaseAsk, MacAddr};

use super::{
    Subnet,
    pool::{is_free_for, lease, reserved, subnet_of},
};
use crate::state::{Timestamp, View};

/// How long an offer is kept for its station. PXE firmware takes its pick within 10 s, also when it waits for other offers.
const HOLD: Duration = Duration::from_secs(30);
/// Offers held at once: four rooms of 1,000. More are a flood, which must not grow without bound.
const MAX_HOLDS: usize = 4_096;
/// How long a pool without a free address is not searched again; the search is linear in the pool.
const FULL_FOR: Duration = Duration::from_secs(1);
/// A full pool is reported this often.
const TELL_FULL_EVERY: Duration = Duration::from_secs(60);

/// Addresses offered but not yet taken. Not stored: after a restart stations ask again.
#[derive(Debug, Default)]
pub struct Holds {
    by_mac: HashMap<MacAddr, (Ipv4Addr, Timestamp)>,
    by_ip: HashMap<Ipv4Addr, MacAddr>,
    /// What is remembered of each pool, by its first address.
    searches: HashMap<Ipv4Addr, Search>,
}

/// Where the last search of a pool ended. Searching goes on there, so that filling a pool costs one pass, not one each.
#[derive(Debug, Default, Clone, Copy)]
struct Search {
    cursor: u32,
    full_until: Option<Timestamp>,
    told_full: Option<Timestamp>,
}

/// The answer to a DISCOVER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offer {
    /// Offer this; it is held.
    Lease(Lease),
    /// Nothing is left to lend; `tell` once a minute.
    Full {
        /// The first address of the pool.
        pool: Ipv4Addr,
        /// Whether it is time for an event.
        tell: bool,
    },
    /// Not a subnet that we lend on.
    NotOurs,
}

impl Holds {
    /// Who was offered `ip` and may still take it.
    #[must_use]
    pub fn holder(&self, ip: Ipv4Addr, now: Timestamp) -> Option<MacAddr> {
        let mac = *self.by_ip.get(&ip)?;
        let (_, until) = self.by_mac.get(&mac)?;
        (now < *until).then_some(mac)
    }

    /// Whether nobody else was offered `ip`.
    #[must_use]
    pub fn is_free_for(&self, mac: MacAddr, ip: Ipv4Addr, now: Timestamp) -> bool {
        self.holder(ip, now).is_none_or(|holder| holder == mac)
    }

    /// What `mac` was offered and may still take.
    #[must_use]
    pub fn held_by(&self, mac: MacAddr, now: Timestamp) -> Option<Ipv4Addr> {
        let (ip, until) = self.by_mac.get(&mac)?;
        (now < *until).then_some(*ip)
    }

    /// Holds `ip` for `mac`, instead of what it was offered before. False: it is another's, or there are too many.
    pub fn hold(&mut self, mac: MacAddr, ip: Ipv4Addr, now: Timestamp) -> bool {
        if !self.is_free_for(mac, ip, now) {
            return false;
        }
        self.let_go(mac);
        if let Some(ended) = self.by_ip.get(&ip).copied() {
            self.let_go(ended);
        }
        if self.by_mac.len() >= MAX_HOLDS {
            self.forget_ended(now);
        }
        if self.by_mac.len() >= MAX_HOLDS {
            return false;
        }
        self.by_mac.insert(mac, (ip, now + HOLD));
        self.by_ip.insert(ip, mac);
        true
    }

    /// Ends the hold of `mac`: its lease is durable now, or it will not come.
    pub fn let_go(&mut self, mac: MacAddr) {
        if let Some((ip, _)) = self.by_mac.remove(&mac)
            && let Entry::Occupied(holder) = self.by_ip.entry(ip)
            && *holder.get() == mac
        {
            holder.remove();
        }
    }

    fn forget_ended(&mut self, now: Timestamp) {
        self.by_mac.retain(|_, (_, until)| now < *until);
        let by_mac = &self.by_mac;
        self.by_ip.retain(|_, mac| by_mac.contains_key(mac));
    }
}

/// What to offer, and holds it: the reserved address, what was offered or lent to the station before, what it asks for, a
/// never lent address, the one whose lease ended first.
pub fn discover(
    view: &View,
    holds: &mut Holds,
    ask: &LeaseAsk,
    wish: Option<Ipv4Addr>,
    now: Timestamp,
) -> Offer {
    let Some(subnet) = subnet_of(view, ask) else {
        return Offer::NotOurs;
    };
    let reserved = reserved(view, subnet, ask, now);
    if let Some(holder) = reserved.and_then(|ip| holds.holder(ip, now)) {
        // Offered to another before it was reserved; that station is refused when it comes to take it.
        holds.let_go(holder);
    }
    let familiar = [
        reserved,
        holds.held_by(ask.mac, now),
        view.lease(ask.mac).map(|l| l.ip),
        wish,
    ];
    let can_have = |holds: &Holds, ip: Ipv4Addr| {
        is_free_for(view, subnet, ask, ip, now) && holds.is_free_for(ask.mac, ip, now)
    };
    let ip = familiar
        .into_iter()
        .flatten()
        .find(|ip| can_have(holds, *ip))
        .or_else(|| never_lent(view, holds, subnet, now, can_have))
        .or_else(|| {
            let mut ended = view.leases_ended(now).map(|l| l.ip);
            ended.find(|ip| can_have(holds, *ip))
        });
    match ip {
        Some(ip) if holds.hold(ask.mac, ip, now) => Offer::Lease(lease(view, subnet, ask.mac, ip)),
        _ => full(holds, subnet, now),
    }
}

fn never_lent(
    view: &View,
    holds: &mut Holds,
    subnet: &Subnet,
    now: Timestamp,
    can_have: impl Fn(&Holds, Ipv4Addr) -> bool,
) -> Option<Ipv4Addr> {
    let mut search = holds
        .searches
        .get(&subnet.pool.0)
        .copied()
        .unwrap_or_default();
    if search.full_until.is_some_and(|until| now < until) {
        return None;
    }
    let (first, last) = subnet.pool_numbers().into_inner();
    let start = search.cursor.clamp(first, last.max(first));
    let found = (start..=last)
        .chain(first..start)
        .find(|n| view.lease_on((*n).into()).is_none() && can_have(holds, (*n).into()));
    match found {
        Some(n) => search.cursor = n,
        None => search.full_until = Some(now + FULL_FOR),
    }
    holds.searches.insert(subnet.pool.0, search);
    found.map(Ipv4Addr::from)
}

fn full(holds: &mut Holds, subnet: &Subnet, now: Timestamp) -> Offer {
    let pool = subnet.pool.0;
    let search = holds.searches.entry(pool).or_default();
    let tell = search
        .told_full
        .is_none_or(|told| now >= told + TELL_FULL_EVERY);
    if tell {
        search.told_full = Some(now);
    }
    Offer::Full { pool, tell }
}

/// INFORM: the settings of the station's subnet, without an address.
#[must_use]
pub fn settings(view: &View, ask: &LeaseAsk, ip: Ipv4Addr) -> LeaseAnswer {
    match subnet_of(view, ask) {
        Some(subnet) if subnet.contains(ip) => LeaseAnswer::Grant(lease(view, subnet, ask.mac, ip)),
        _ => LeaseAnswer::Silent,
    }
}
