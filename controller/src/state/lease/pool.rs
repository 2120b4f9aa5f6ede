//! Which addresses a subnet may lend, and to whom.

use std::{net::Ipv4Addr, ops::RangeInclusive};

use ipxe::{Lease, LeaseAsk, MacAddr};

use super::Subnet;
use crate::state::{Timestamp, View, machine::Standing};

impl Subnet {
    fn mask(&self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix.min(32)))
            .unwrap_or(0)
    }

    /// Whether `ip` is on this subnet.
    #[must_use]
    pub fn contains(&self, ip: Ipv4Addr) -> bool {
        u32::from(ip) & self.mask() == u32::from(self.network) & self.mask()
    }

    /// Whether `ip` is in the pool's range.
    #[must_use]
    pub fn in_pool(&self, ip: Ipv4Addr) -> bool {
        (self.pool.0..=self.pool.1).contains(&ip)
    }

    /// The pool's addresses as numbers.
    pub(super) fn pool_numbers(&self) -> RangeInclusive<u32> {
        self.pool.0.into()..=self.pool.1.into()
    }

    /// Whether a station can have `ip` at all: not the subnet's own two addresses (a /31 has none), nor one that we tell
    /// stations is a router or a name server.
    #[must_use]
    pub fn is_lendable(&self, ip: Ipv4Addr) -> bool {
        let host = u32::from(ip) & !self.mask();
        let ends = self.prefix < 31 && (host == 0 || host == !self.mask());
        self.contains(ip) && !ends && !self.routers.contains(&ip) && !self.dns.contains(&ip)
    }
}

/// The subnet that the asking station is on, when we lend addresses there.
pub(super) fn subnet_of<'a>(view: &'a View, ask: &LeaseAsk) -> Option<&'a Subnet> {
    view.policy.subnets.iter().find(|s| s.contains(ask.subnet))
}

/// Whether `ip` is in one of our pools: only such addresses are ever refused (NAK).
#[must_use]
pub fn is_ours(view: &View, ip: Ipv4Addr) -> bool {
    view.policy.subnets.iter().any(|s| s.in_pool(ip))
}

/// Whether the asking station may have `ip` on `subnet`, as far as the durable records say.
pub(super) fn is_free_for(
    view: &View,
    subnet: &Subnet,
    ask: &LeaseAsk,
    ip: Ipv4Addr,
    now: Timestamp,
) -> bool {
    // `ask.subnet` is our interface's own address, or the relay's.
    let taken_by_servers = ip == ask.subnet || view.policy.own_addresses.contains(&ip);
    let meant_for_it = match view.reservation_on(ip) {
        Some(reservation) => reservation.mac == ask.mac,
        None => subnet.in_pool(ip),
    };
    let declined = view.declined(ip).is_some_and(|d| now < d.until);
    let lent = view
        .lease_on(ip)
        .is_some_and(|l| l.mac != ask.mac && now < l.expires);
    subnet.is_lendable(ip) && !taken_by_servers && meant_for_it && !declined && !lent
}

/// The address reserved for the asking station on `subnet`, when it can have it now.
pub(super) fn reserved(
    view: &View,
    subnet: &Subnet,
    ask: &LeaseAsk,
    now: Timestamp,
) -> Option<Ipv4Addr> {
    let ip = view.reservation(ask.mac)?.ip;
    is_free_for(view, subnet, ask, ip, now).then_some(ip)
}

/// What the station is told with its address.
pub(super) fn lease(view: &View, subnet: &Subnet, mac: MacAddr, ip: Ipv4Addr) -> Lease {
    Lease {
        ip,
        prefix: subnet.prefix,
        routers: subnet.routers.clone(),
        dns: subnet.dns.clone(),
        domain: subnet.domain.clone(),
        hostname: hostname(view, mac),
        seconds: subnet.lease_s,
    }
}

/// The name a person gave: with the reservation, else to the machine.
fn hostname(view: &View, mac: MacAddr) -> Option<String> {
    let reserved = view.reservation(mac).and_then(|r| r.hostname.clone());
    reserved.or_else(|| {
        let machine = view.machine_by_mac(mac)?;
        match machine.standing {
            Standing::Seen => None,
            Standing::Registered | Standing::Accepted => Some(machine.name.as_str().to_owned()),
        }
    })
}
