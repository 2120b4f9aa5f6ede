//! The part of the view about addresses: leases, reservations, and addresses that turned out to be somebody else's.

use std::{net::Ipv4Addr, sync::Arc};

use imbl::{OrdMap, OrdSet};
use ipxe::MacAddr;

use super::{View, rows::Rows};
use crate::state::{
    Key, Record, Timestamp,
    lease::{Declined, LeaseRecord, Reservation},
};

/// The maps; private to the view.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct AddressesView {
    leases: OrdMap<MacAddr, Arc<LeaseRecord>>,
    lease_by_ip: OrdMap<Ipv4Addr, MacAddr>,
    lease_by_expiry: OrdSet<(Timestamp, MacAddr)>,
    reservations: Rows,
    reservation_by_ip: OrdMap<Ipv4Addr, MacAddr>,
    declined: Rows,
}

impl View {
    /// All leases, also expired ones, by hardware address.
    pub fn leases(&self) -> impl Iterator<Item = &Arc<LeaseRecord>> {
        self.addresses.leases.values()
    }

    /// The lease of a station.
    #[must_use]
    pub fn lease(&self, mac: MacAddr) -> Option<&Arc<LeaseRecord>> {
        self.addresses.leases.get(&mac)
    }

    /// The lease on an address.
    #[must_use]
    pub fn lease_on(&self, ip: Ipv4Addr) -> Option<&Arc<LeaseRecord>> {
        self.addresses
            .leases
            .get(self.addresses.lease_by_ip.get(&ip)?)
    }

    /// Leases that ended at `now` or before, the one that ended first first.
    pub fn leases_ended(&self, now: Timestamp) -> impl Iterator<Item = &Arc<LeaseRecord>> {
        self.addresses
            .lease_by_expiry
            .iter()
            .take_while(move |(expires, _)| *expires <= now)
            .filter_map(|(_, mac)| self.addresses.leases.get(mac))
    }

    /// All reservations, by hardware address.
    pub fn reservations(&self) -> impl Iterator<Item = &Arc<Reservation>> {
        self.addresses.reservations.all()
    }

    /// The reservation of a station.
    #[must_use]
    pub fn reservation(&self, mac: MacAddr) -> Option<&Arc<Reservation>> {
        self.addresses.reservations.get(&Key::Reservation(mac))
    }

    /// The reservation on an address.
    #[must_use]
    pub fn reservation_on(&self, ip: Ipv4Addr) -> Option<&Arc<Reservation>> {
        self.reservation(*self.addresses.reservation_by_ip.get(&ip)?)
    }

    /// Whether and until when an address is known to be somebody else's.
    #[must_use]
    pub fn declined(&self, ip: Ipv4Addr) -> Option<&Declined> {
        declined(self.addresses.declined.record(&Key::Declined(ip))?)
    }

    /// All addresses that were found to be somebody else's, also those that may be tried again.
    pub fn declined_addresses(&self) -> impl Iterator<Item = &Declined> {
        self.addresses.declined.records().filter_map(declined)
    }
}

impl AddressesView {
    pub(super) fn insert_lease(&mut self, lease: Arc<LeaseRecord>) {
        self.lease_by_ip.insert(lease.ip, lease.mac);
        self.lease_by_expiry.insert((lease.expires, lease.mac));
        self.leases.insert(lease.mac, lease);
    }

    pub(super) fn insert_reservation(&mut self, reservation: Arc<Reservation>) {
        let (mac, ip) = (reservation.mac, reservation.ip);
        self.reservation_by_ip.insert(ip, mac);
        self.reservations.put(Record::Reservation(reservation));
    }

    pub(super) fn insert_declined(&mut self, declined: Declined) {
        self.declined.put(Record::Declined(declined));
    }

    pub(super) fn forget_lease(&mut self, mac: MacAddr) {
        if let Some(old) = self.leases.remove(&mac) {
            remove_if(&mut self.lease_by_ip, old.ip, mac);
            self.lease_by_expiry.remove(&(old.expires, mac));
        }
    }

    pub(super) fn forget_reservation(&mut self, mac: MacAddr) {
        let old = self.reservations.remove(&Key::Reservation(mac));
        if let Some(Record::Reservation(old)) = old {
            remove_if(&mut self.reservation_by_ip, old.ip, mac);
        }
    }

    pub(super) fn forget_declined(&mut self, ip: Ipv4Addr) {
        self.declined.remove(&Key::Declined(ip));
    }
}

fn declined(record: &Record) -> Option<&Declined> {
    let Record::Declined(declined) = record else {
        return None;
    };
    Some(declined)
}

/// Drops an address from an index, unless it has meanwhile gone to another station.
fn remove_if(index: &mut OrdMap<Ipv4Addr, MacAddr>, ip: Ipv4Addr, mac: MacAddr) {
    if index.get(&ip) == Some(&mac) {
        index.remove(&ip);
    }
}
