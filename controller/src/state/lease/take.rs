//! The transitions of a lease: a station takes or renews an address, gives it back, or found it in use.

use std::{net::Ipv4Addr, time::Duration};

use ipxe::{LeaseAnswer, LeaseAsk, LeaseVerb, MacAddr};

use super::{
    Declined, LeaseRecord, Subnet,
    pool::{is_free_for, is_ours, lease, reserved, subnet_of},
};
use crate::state::{Changes, Key, Timestamp, Transition, View, event::Draft};

/// How long a declined address is not lent again; whoever has it is looked for meanwhile.
const DECLINED_FOR: Duration = Duration::from_secs(600);
/// Ended declines that one decline clears away, so that they do not pile up.
const CLEAR_AT_ONCE: usize = 16;

/// A REQUEST: [`LeaseVerb::Select`] or [`LeaseVerb::Confirm`] of an address.
#[derive(Debug, Clone)]
pub struct Take {
    /// Who asks, and from where.
    pub ask: LeaseAsk,
    /// For which address.
    pub ip: Ipv4Addr,
}

impl Transition for Take {
    type Outcome = LeaseAnswer;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, LeaseAnswer) {
        let Some(subnet) = subnet_of(view, &self.ask) else {
            return (Changes::none(), LeaseAnswer::Silent);
        };
        if self.may_have(view, subnet, now) {
            let answer = lease(view, subnet, self.ask.mac, self.ip);
            (self.changes(view, subnet, now), LeaseAnswer::Grant(answer))
        } else if is_ours(view, self.ip) {
            (Changes::none(), LeaseAnswer::Refuse)
        } else {
            (Changes::none(), LeaseAnswer::Silent)
        }
    }
}

impl Take {
    fn may_have(&self, view: &View, subnet: &Subnet, now: Timestamp) -> bool {
        let mac = self.ask.mac;
        // A reservation made meanwhile: refused, the station asks again and gets that one.
        let reserved = reserved(view, subnet, &self.ask, now);
        let known = match self.ask.verb {
            LeaseVerb::Confirm(_) => {
                reserved == Some(self.ip) || view.lease(mac).is_some_and(|l| l.ip == self.ip)
            }
            _ => true,
        };
        known
            && reserved.is_none_or(|ip| ip == self.ip)
            && is_free_for(view, subnet, &self.ask, self.ip, now)
    }

    fn changes(&self, view: &View, subnet: &Subnet, now: Timestamp) -> Changes {
        let mac = self.ask.mac;
        let mut changes = Changes::none();
        if let Some(ended) = view.lease_on(self.ip).filter(|l| l.mac != mac) {
            changes.write(Key::Lease(ended.mac));
        }
        if view.declined(self.ip).is_some() {
            changes.write(Key::Declined(self.ip));
        }
        let before = view.lease(mac);
        let heard = self.ask.hostname.clone();
        changes.write(LeaseRecord {
            mac,
            ip: self.ip,
            expires: now + Duration::from_secs(subnet.lease_s.into()),
            hostname: heard.or_else(|| before.and_then(|l| l.hostname.clone())),
        });
        if before.is_none_or(|l| l.ip != self.ip || l.expires <= now) {
            let text = format!("{mac} got the address {}", self.ip);
            changes.event(about(view, mac, self.ip, "lease.granted", text));
        }
        changes
    }
}

/// A RELEASE. The record stays, ended, so that the station gets the same address when it comes back in time.
#[derive(Debug, Clone, Copy)]
pub struct Release {
    /// Who.
    pub mac: MacAddr,
    /// What.
    pub ip: Ipv4Addr,
}

impl Transition for Release {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        if let Some(lease) = view.lease(self.mac)
            && lease.ip == self.ip
            && now < lease.expires
        {
            changes.write(LeaseRecord {
                expires: now,
                ..LeaseRecord::clone(lease)
            });
            let text = format!("{} gave the address {} back", self.mac, self.ip);
            changes.event(about(view, self.mac, self.ip, "lease.released", text));
        }
        (changes, ())
    }
}

/// A DECLINE. Only of the station's own address: a stranger must not empty the pool.
#[derive(Debug, Clone, Copy)]
pub struct Decline {
    /// Who.
    pub mac: MacAddr,
    /// What.
    pub ip: Ipv4Addr,
    /// Whether it was offered this address a moment ago.
    pub offered: bool,
}

impl Transition for Decline {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        let leased = view.lease(self.mac).is_some_and(|l| l.ip == self.ip);
        if !(leased || self.offered) {
            return (changes, ());
        }
        if leased {
            changes.write(Key::Lease(self.mac));
        }
        let ended = view.declined_addresses().filter(|d| d.until <= now);
        for old in ended.take(CLEAR_AT_ONCE) {
            changes.write(Key::Declined(old.ip));
        }
        changes.write(Declined {
            ip: self.ip,
            until: now + DECLINED_FOR,
        });
        let text = format!(
            "{} found the address {} in use by somebody else; it is not lent for 10 minutes",
            self.mac, self.ip
        );
        changes.event(about(view, self.mac, self.ip, "lease.declined", text));
        (changes, ())
    }
}

fn about(view: &View, mac: MacAddr, ip: Ipv4Addr, kind: &str, text: String) -> Draft {
    let draft = Draft::new(kind, text).mac(mac).field("ip", ip.to_string());
    match view.machine_by_mac(mac) {
        Some(machine) => draft.machine(&machine.id),
        None => draft,
    }
}
