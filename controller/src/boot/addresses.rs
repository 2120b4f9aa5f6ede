//! Which machine uses which address, as its own DHCP requests said: TFTP and HTTP only know addresses.

use std::{collections::HashMap, net::IpAddr};

use ipxe::MacAddr;

use crate::state::Timestamp;

/// Addresses remembered; the oldest makes room.
const MAX: usize = 16_384;
/// An address is believed for this long, seconds: a boot takes minutes, and addresses are reused.
const FRESH_S: i64 = 15 * 60;

/// The memory.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: HashMap<IpAddr, (MacAddr, Timestamp)>,
}

impl Addresses {
    /// A station said that it uses this address.
    pub(super) fn learn(&mut self, ip: IpAddr, mac: MacAddr, now: Timestamp) {
        if self.known.len() >= MAX && !self.known.contains_key(&ip) {
            let oldest = self
                .known
                .iter()
                .min_by_key(|(_, (_, at))| *at)
                .map(|(ip, _)| *ip);
            oldest.map(|ip| self.known.remove(&ip));
        }
        self.known.insert(ip, (mac, now));
    }

    /// Whose address this is.
    pub(super) fn mac(&self, ip: IpAddr, now: Timestamp) -> Option<MacAddr> {
        let (mac, at) = self.known.get(&ip)?;
        (!super::older_than(*at, now, FRESH_S)).then_some(*mac)
    }
}
