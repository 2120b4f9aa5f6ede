//! A person fixes an address for a station.

use ipxe::MacAddr;

use super::Reservation;
use crate::state::{Changes, Key, Timestamp, Transition, View};

/// Fixes an address, in place of an earlier one of the same station. A station that has the address now keeps it until
/// its lease ends.
#[derive(Debug, Clone)]
pub struct Reserve(pub Reservation);

/// Why an address cannot be reserved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReservation {
    /// Outside of what we lend.
    #[error("this address is in none of the subnets that enforcer lends addresses on")]
    NoSubnet,
    /// A server's, or no station's address at all.
    #[error("this address belongs to the server, a router, a name server or the subnet itself")]
    NotLendable,
    /// Somebody else's.
    #[error("this address is reserved for {0}; delete that reservation first")]
    Taken(MacAddr),
}

impl Transition for Reserve {
    type Outcome = Result<(), BadReservation>;

    fn run(&self, view: &View, _now: Timestamp) -> (Changes, Self::Outcome) {
        if let Err(bad) = self.check(view) {
            return (Changes::none(), Err(bad));
        }
        let mut changes = Changes::none();
        changes.write(self.0.clone());
        (changes, Ok(()))
    }
}

impl Reserve {
    fn check(&self, view: &View) -> Result<(), BadReservation> {
        let Reservation { mac, ip, .. } = self.0;
        let mut subnets = view.policy.subnets.iter();
        let subnet = subnets
            .find(|s| s.contains(ip))
            .ok_or(BadReservation::NoSubnet)?;
        if !subnet.is_lendable(ip) || view.policy.own_addresses.contains(&ip) {
            return Err(BadReservation::NotLendable);
        }
        match view.reservation_on(ip) {
            Some(other) if other.mac != mac => Err(BadReservation::Taken(other.mac)),
            _ => Ok(()),
        }
    }
}

/// Ends the reservation of a station; tells whether there was one.
#[derive(Debug, Clone, Copy)]
pub struct Unreserve(pub MacAddr);

impl Transition for Unreserve {
    type Outcome = bool;

    fn run(&self, view: &View, _now: Timestamp) -> (Changes, bool) {
        let mut changes = Changes::none();
        let known = view.reservation(self.0).is_some();
        if known {
            changes.write(Key::Reservation(self.0));
        }
        (changes, known)
    }
}
