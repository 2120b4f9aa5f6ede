//! Which machine uses which address, as its own DHCP requests said: TFTP and HTTP only know addresses.

use std::net::IpAddr;

use ipxe::MacAddr;

use super::recent::Recent;
use crate::state::Timestamp;

/// An address is believed for this long, seconds: a boot takes minutes, and addresses are reused.
const FRESH_S: i64 = 15 * 60;

/// An address that a station requested by DHCP counts as its own for this long, seconds: from its request to its agent's
/// first words (DESIGN §7).
const REQUESTED_S: i64 = 5 * 60;

/// The memory.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: Recent<IpAddr, (MacAddr, Timestamp)>,
    /// Only what stations requested by DHCP: a script can be asked for in anybody's name.
    requested: Recent<MacAddr, (IpAddr, Timestamp)>,
}

impl Addresses {
    /// A station said that it uses this address.
    pub(super) fn learn(&mut self, ip: IpAddr, mac: MacAddr, now: Timestamp) {
        self.known.insert(ip, (mac, now));
    }

    /// A station requested this address from a DHCP server.
    pub(super) fn requested(&mut self, mac: MacAddr, ip: IpAddr, now: Timestamp) {
        self.requested.insert(mac, (ip, now));
        self.learn(ip, mac, now);
    }

    /// Whether this station requested this address lately, and no other since.
    pub(super) fn is_requested(&self, mac: MacAddr, ip: IpAddr, now: Timestamp) -> bool {
        let last = self.requested.get(&mac);
        last.is_some_and(|(its, at)| *its == ip && !super::older_than(*at, now, REQUESTED_S))
    }

    /// Whose address this is.
    pub(super) fn mac(&self, ip: IpAddr, now: Timestamp) -> Option<MacAddr> {
        let (mac, at) = self.known.get(&ip)?;
        (!super::older_than(*at, now, FRESH_S)).then_some(*mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_stations_own_for_five_minutes_after_its_last_request() {
        let (mac, other) = (MacAddr([2, 0, 0, 0, 0, 1]), MacAddr([2, 0, 0, 0, 0, 2]));
        let (first, second) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let mut memory = Addresses::default();
        memory.learn(first, mac, at(0));
        assert!(
            !memory.is_requested(mac, first, at(0)),
            "a script's word is not enough"
        );
        memory.requested(mac, first, at(0));
        assert!(memory.is_requested(mac, first, at(300)));
        assert!(!memory.is_requested(mac, first, at(301)));
        assert!(!memory.is_requested(other, first, at(0)));
        memory.requested(mac, second, at(10));
        assert!(!memory.is_requested(mac, first, at(10)), "it moved");
        assert!(memory.is_requested(mac, second, at(10)));
        assert_eq!(memory.mac(second, at(10)), Some(mac));
    }
}
