//! A person fixes addresses for stations.

use std::net::Ipv4Addr;

use ipxe::MacAddr;

use crate::state::{
    Changes, Key, Timestamp, Transition, View, event::Draft, lease::Reservation, policy::Policy,
};

/// Why an address cannot be reserved so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReservationError {
    /// Nothing to end.
    #[error("{0} has no reservation; `enforcer reservations list` shows the known ones")]
    NotFound(MacAddr),
    /// Another station's.
    #[error("{0} is reserved for {1}; delete that reservation first or choose another address")]
    Taken(Ipv4Addr, MacAddr),
    /// A multicast, broadcast or zero address.
    #[error("{0} is no address of a single network card")]
    NotAStation(MacAddr),
    /// On no subnet that we serve.
    #[error("{0} is on none of the subnets that Enforcer serves ({1})")]
    Elsewhere(Ipv4Addr, String),
    /// Not a host's.
    #[error("{0} cannot be a host's address")]
    NotAHost(Ipv4Addr),
    /// A server's.
    #[error(
        "{0} belongs to the server, a router, a name server or the subnet itself; choose another address"
    )]
    NotLendable(Ipv4Addr),
    /// Would end up in a DHCP option.
    #[error("'{0}' cannot be a host name; use letters, digits, hyphens and dots, 63 at most")]
    BadHostname(String),
}

/// A person fixes an address for a station; replaces the one it had.
#[derive(Debug, Clone)]
pub struct SetReservation(pub Reservation);

impl Transition for SetReservation {
    type Outcome = Result<Reservation, ReservationError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let wanted = &self.0;
        if let Err(e) = check(wanted, view) {
            return (Changes::none(), Err(e));
        }
        let mut changes = Changes::none();
        if view
            .reservation(wanted.mac)
            .is_none_or(|old| **old != *wanted)
        {
            let text = format!("{} is reserved for {}", wanted.ip, wanted.mac);
            changes.event(about("reservation.set", wanted.mac, text, view));
            changes.write(wanted.clone());
        }
        (changes, Ok(wanted.clone()))
    }
}

fn check(wanted: &Reservation, view: &View) -> Result<(), ReservationError> {
    if !wanted.mac.is_station() {
        return Err(ReservationError::NotAStation(wanted.mac));
    }
    if wanted.ip.is_unspecified() || wanted.ip.is_broadcast() || wanted.ip.is_multicast() {
        return Err(ReservationError::NotAHost(wanted.ip));
    }
    if let Some(name) = wanted.hostname.as_ref().filter(|n| !is_hostname(n)) {
        return Err(ReservationError::BadHostname(
            name.chars().take(80).collect(),
        ));
    }
    if let Some(other) = view
        .reservation_on(wanted.ip)
        .filter(|r| r.mac != wanted.mac)
    {
        return Err(ReservationError::Taken(wanted.ip, other.mac));
    }
    lendable(wanted.ip, &view.policy)
}

fn is_hostname(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
}

/// Whether we could lend the address. Without subnets (not in server mode) nothing is known to be wrong.
fn lendable(ip: Ipv4Addr, policy: &Policy) -> Result<(), ReservationError> {
    if policy.subnets.is_empty() {
        return Ok(());
    }
    let Some(subnet) = policy.subnets.iter().find(|s| s.contains(ip)) else {
        let served = policy
            .subnets
            .iter()
            .map(|s| format!("{}/{}", s.network, s.prefix));
        return Err(ReservationError::Elsewhere(
            ip,
            served.collect::<Vec<_>>().join(", "),
        ));
    };
    if !subnet.is_lendable(ip) || policy.own_addresses.contains(&ip) {
        return Err(ReservationError::NotLendable(ip));
    }
    Ok(())
}

/// A person ends a reservation; a lease on the address runs on.
#[derive(Debug, Clone, Copy)]
pub struct DeleteReservation(pub MacAddr);

impl Transition for DeleteReservation {
    type Outcome = Result<(), ReservationError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let Some(old) = view.reservation(self.0) else {
            return (Changes::none(), Err(ReservationError::NotFound(self.0)));
        };
        let mut changes = Changes::none();
        let text = format!("{} is no longer reserved for {}", old.ip, old.mac);
        changes.event(about("reservation.deleted", self.0, text, view));
        changes.write(Key::Reservation(self.0));
        (changes, Ok(()))
    }
}

fn about(kind: &str, mac: MacAddr, text: String, view: &View) -> Draft {
    let draft = Draft::new(kind, text).mac(mac);
    match view.machine_by_mac(mac) {
        Some(machine) => draft.machine(&machine.id),
        None => draft,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::state::{Record, Write, policy::Policy};

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);

    fn reservation(mac: MacAddr, ip: [u8; 4]) -> Reservation {
        Reservation {
            mac,
            ip: ip.into(),
            hostname: None,
        }
    }

    fn view() -> View {
        let subnet = crate::state::lease::Subnet {
            network: [10, 0, 0, 0].into(),
            prefix: 24,
            pool: ([10, 0, 0, 10].into(), [10, 0, 0, 20].into()),
            routers: vec![],
            dns: vec![],
            domain: None,
            lease_s: 600,
        };
        let policy = Policy {
            subnets: vec![subnet],
            ..Policy::default()
        };
        let mut view = View::default();
        view.policy = Arc::new(policy);
        view
    }

    fn set(view: &View, wanted: Reservation) -> Result<Reservation, ReservationError> {
        SetReservation(wanted).run(view, Timestamp::UNIX_EPOCH).1
    }

    #[test]
    fn an_address_belongs_to_one_station() {
        let mut view = view();
        view.absorb(&Write::Put(Record::Reservation(Arc::new(reservation(
            MAC,
            [10, 0, 0, 5],
        )))));
        let other = MacAddr([0x52, 0x54, 0, 0, 0, 2]);
        assert_eq!(
            set(&view, reservation(other, [10, 0, 0, 5])),
            Err(ReservationError::Taken([10, 0, 0, 5].into(), MAC))
        );
        assert!(set(&view, reservation(MAC, [10, 0, 0, 6])).is_ok());
    }

    #[test]
    fn an_address_must_be_on_a_subnet_that_is_served() {
        assert!(set(&view(), reservation(MAC, [10, 0, 0, 250])).is_ok());
        assert!(matches!(
            set(&view(), reservation(MAC, [10, 0, 1, 5])),
            Err(ReservationError::Elsewhere(..))
        ));
        assert!(set(&View::default(), reservation(MAC, [10, 0, 1, 5])).is_ok());
    }

    #[test]
    fn host_names_are_plain() {
        let named = |name: &str| Reservation {
            hostname: Some(name.to_owned()),
            ..reservation(MAC, [10, 0, 0, 5])
        };
        assert!(set(&view(), named("node-1.rack")).is_ok());
        for bad in ["", "a b", "-a", "a\n", "ä"] {
            assert!(set(&view(), named(bad)).is_err(), "{bad:?}");
        }
    }
}
