//! How often somebody may enrol: a count for each asker and minute, in tables that cannot grow without end.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::Mutex,
    time::{Duration, Instant},
};

use mesh_proto::message::enrol::{Enrol, Proof};

use super::{ServerLimits, lock};
use crate::cert::unhex;

/// Askers remembered within a span; those beyond wait for the next one.
const ASKERS: usize = 8192;
/// What is counted in.
const SPAN: Duration = Duration::from_secs(60);

/// The network card that a machine names itself by; `None` when it names none that can be read.
type Card = Option<[u8; 6]>;

/// What is counted of one server.
#[derive(Debug)]
pub(super) struct Quotas {
    addresses: Mutex<Quota<IpAddr>>,
    machines: Mutex<Quota<(IpAddr, Card)>>,
    invitations: Mutex<Quota<IpAddr>>,
}

impl Quotas {
    pub(super) fn new(limits: &ServerLimits) -> Self {
        Self {
            addresses: Mutex::new(Quota::new(limits.enrols_per_address)),
            machines: Mutex::new(Quota::new(limits.enrols_per_minute)),
            invitations: Mutex::new(Quota::new(limits.enrols_per_minute)),
        }
    }

    /// Counts somebody at this address who has said nothing yet; false when it is one too many.
    pub(super) fn admit_address(&self, from: IpAddr, now: Instant) -> bool {
        lock(&self.addresses).admit(from.to_canonical(), now)
    }

    /// Counts the machine that this request names. A room behind one router, or one helper, shares an address: none of
    /// them waits because of the others.
    pub(super) fn admit_machine(&self, from: IpAddr, enrol: &Enrol, now: Instant) -> bool {
        lock(&self.machines).admit((from.to_canonical(), card(enrol)), now)
    }

    /// Counts somebody who shows an invitation to peers.
    pub(super) fn admit_invited(&self, from: IpAddr, now: Instant) -> bool {
        lock(&self.invitations).admit(from.to_canonical(), now)
    }
}

/// The card that booted; of who does not say, the first one by its address.
fn card(enrol: &Enrol) -> Card {
    match &enrol.proof {
        Proof::Boot { mac, .. } => octets(mac),
        Proof::Token { .. } | Proof::None => {
            let cards = enrol.facts.nics.iter();
            cards.filter_map(|nic| octets(nic.identity())).min()
        }
    }
}

/// Six octets, however they are written.
fn octets(mac: &str) -> Card {
    let digits: String = mac.chars().filter(char::is_ascii_hexdigit).collect();
    unhex(&digits)
}

#[derive(Debug)]
struct Quota<K> {
    limit: u32,
    since: Option<Instant>,
    counts: HashMap<K, u32>,
}

impl<K: Eq + Hash> Quota<K> {
    fn new(limit: u32) -> Self {
        Self {
            limit,
            since: None,
            counts: HashMap::new(),
        }
    }

    /// Counts one of `who`; false when it is one too many.
    fn admit(&mut self, who: K, now: Instant) -> bool {
        if self
            .since
            .is_none_or(|since| now.duration_since(since) >= SPAN)
        {
            self.since = Some(now);
            self.counts.clear();
        }
        if self.counts.len() >= ASKERS && !self.counts.contains_key(&who) {
            return false;
        }
        let count = self.counts.entry(who).or_default();
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
        assert_eq!(admitted.count(), ASKERS);
    }

    #[test]
    fn a_card_is_the_same_however_it_is_written_and_what_is_none_has_no_name() {
        let card = Some([0x52, 0x54, 0, 0xab, 0, 7]);
        for text in ["52:54:00:ab:00:07", "52-54-00-AB-00-07", "525400ab0007"] {
            assert_eq!(octets(text), card, "{text}");
        }
        for text in ["", "52:54:00:ab:00", "52:54:00:ab:00:07:08", "eth0"] {
            assert_eq!(octets(text), None, "{text}");
        }
    }
}
