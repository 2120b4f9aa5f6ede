//! What stations may rely on, told as stories at the desk.

mod sequences;

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use ipxe::{LeaseAnswer, LeaseAsk, LeaseVerb, MacAddr};
use tokio::task::JoinSet;

use super::LeaseDesk;
use crate::{
    state::{
        lease::{Reservation, Subnet},
        ops::{DeleteReservation, ReservationError, SetReservation},
        policy::Policy,
    },
    store::{ManualClock, Store, memory::Memory},
};

const HOUR: Duration = Duration::from_secs(3600);
const SERVED: &str = "10.0.0.0/24, 10.1.0.0/16";
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A desk on `10.0.0.0/24` that lends .1 to .8, of which .1 is the router and .2 the server; and on `10.1.0.0/16`.
struct Room {
    desk: LeaseDesk,
    store: Store,
    clock: ManualClock,
}

fn subnet(network: &str, prefix: u8, first: &str, last: &str) -> Subnet {
    Subnet {
        network: ip(network),
        prefix,
        pool: (ip(first), ip(last)),
        routers: vec![ip("10.0.0.1")],
        dns: vec![],
        domain: None,
        lease_s: 12 * 3600,
    }
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn mac(n: u16) -> MacAddr {
    let [high, low] = n.to_be_bytes();
    MacAddr([0x52, 0x54, 0, 0, high, low])
}

impl Room {
    fn new() -> Self {
        let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
        let policy = Policy {
            subnets: vec![
                subnet("10.0.0.0", 24, "10.0.0.1", "10.0.0.8"),
                subnet("10.1.0.0", 16, "10.1.0.0", "10.1.255.255"),
            ],
            own_addresses: vec![SERVER],
            ..Policy::default()
        };
        let store = Store::open(Memory::contended(1), policy, clock.clone()).unwrap();
        Self {
            desk: LeaseDesk::new(store.clone()),
            store,
            clock,
        }
    }

    async fn ask_from(&self, subnet: Ipv4Addr, n: u16, verb: LeaseVerb) -> LeaseAnswer {
        let ask = LeaseAsk {
            mac: mac(n),
            verb,
            subnet,
            hostname: None,
        };
        self.desk.lease(ask).await
    }

    /// The address granted to station `n`; `Err` says `refuse` or `silent`.
    async fn ask(&self, n: u16, verb: LeaseVerb) -> Result<Ipv4Addr, &'static str> {
        address(&self.ask_from(SERVER, n, verb).await)
    }

    async fn discover(&self, n: u16) -> Result<Ipv4Addr, &'static str> {
        self.ask(n, LeaseVerb::Discover(None)).await
    }

    /// The whole way to a lease.
    async fn boot(&self, n: u16) -> Result<Ipv4Addr, &'static str> {
        let offered = self.discover(n).await?;
        self.ask(n, LeaseVerb::Select(offered)).await
    }

    async fn reserve(&self, n: u16, address: &str) -> Result<(), ReservationError> {
        let reservation = Reservation {
            mac: mac(n),
            ip: ip(address),
            hostname: Some("fixed".to_owned()),
        };
        self.store
            .apply(SetReservation(reservation))
            .await
            .unwrap()
            .map(drop)
    }

    fn events(&self, kind: &str) -> usize {
        let view = self.store.view();
        view.events_after(0)
            .filter(|e| e.draft.kind == kind)
            .count()
    }
}

fn address(answer: &LeaseAnswer) -> Result<Ipv4Addr, &'static str> {
    match answer {
        LeaseAnswer::Grant(lease) => Ok(lease.ip),
        LeaseAnswer::Refuse => Err("refuse"),
        LeaseAnswer::Silent => Err("silent"),
    }
}

#[tokio::test]
async fn the_lowest_address_that_is_no_servers_is_lent_first() {
    let room = Room::new();
    assert_eq!(room.boot(1).await, Ok(ip("10.0.0.3")));
    assert_eq!(room.boot(2).await, Ok(ip("10.0.0.4")));
    let wish = LeaseVerb::Discover(Some(ip("10.0.0.7")));
    assert_eq!(room.ask(3, wish).await, Ok(ip("10.0.0.7")));
    let taken = LeaseVerb::Discover(Some(ip("10.0.0.3")));
    assert_eq!(room.ask(4, taken).await, Ok(ip("10.0.0.5")));
}

#[tokio::test]
async fn a_station_keeps_its_address_also_after_its_lease_ended() {
    let room = Room::new();
    room.boot(1).await.unwrap();
    let first = room.boot(2).await;
    room.clock.advance(13 * HOUR);
    assert_eq!(room.discover(2).await, first);
    assert_eq!(room.ask(2, LeaseVerb::Confirm(first.unwrap())).await, first);
}

#[tokio::test]
async fn a_renewal_is_durable_and_told_only_once() {
    let room = Room::new();
    let got = room.boot(1).await.unwrap();
    room.clock.advance(6 * HOUR);
    assert_eq!(room.ask(1, LeaseVerb::Confirm(got)).await, Ok(got));
    let lease = room.store.view().lease(mac(1)).unwrap().clone();
    assert_eq!(lease.expires, room.store.now() + 12 * HOUR);
    assert_eq!(room.events("lease.granted"), 1);
}

#[tokio::test]
async fn a_discover_writes_nothing_and_holds_its_offer() {
    let room = Room::new();
    let first = room.discover(1).await.unwrap();
    assert_ne!(room.discover(2).await, Ok(first));
    assert_eq!(room.discover(1).await, Ok(first), "asked again");
    assert_eq!(room.store.stats().commits, 0);
    assert_eq!(room.ask(2, LeaseVerb::Select(first)).await, Err("refuse"));
    room.clock.advance(Duration::from_secs(31));
    assert_eq!(room.ask(2, LeaseVerb::Select(first)).await, Ok(first));
}

#[tokio::test]
async fn a_reservation_goes_first_and_keeps_others_away() {
    let room = Room::new();
    room.reserve(9, "10.0.0.3").await.unwrap();
    room.reserve(8, "10.0.0.200").await.unwrap();
    assert_eq!(room.boot(1).await, Ok(ip("10.0.0.4")), ".3 is reserved");
    assert_eq!(room.boot(9).await, Ok(ip("10.0.0.3")));
    assert_eq!(room.boot(8).await, Ok(ip("10.0.0.200")), "outside the pool");
    let answer = room.ask_from(SERVER, 8, LeaseVerb::Discover(None)).await;
    let LeaseAnswer::Grant(lease) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(lease.hostname.as_deref(), Some("fixed"));
    // Made while station 1 has another address: it is moved at its next renewal.
    room.reserve(1, "10.0.0.6").await.unwrap();
    let old = LeaseVerb::Confirm(ip("10.0.0.4"));
    assert_eq!(room.ask(1, old).await, Err("refuse"));
    assert_eq!(room.boot(1).await, Ok(ip("10.0.0.6")));
}

#[tokio::test]
async fn an_address_that_cannot_be_lent_cannot_be_reserved() {
    let room = Room::new();
    room.reserve(1, "10.0.0.100").await.unwrap();
    room.reserve(1, "10.0.0.101").await.unwrap();
    room.reserve(2, "10.0.0.100").await.unwrap();
    let cases = [
        (
            3,
            "10.0.0.101",
            ReservationError::Taken(ip("10.0.0.101"), mac(1)),
        ),
        (3, "10.0.0.1", ReservationError::NotLendable(ip("10.0.0.1"))),
        (3, "10.0.0.2", ReservationError::NotLendable(ip("10.0.0.2"))),
        (
            3,
            "10.0.0.255",
            ReservationError::NotLendable(ip("10.0.0.255")),
        ),
        (
            3,
            "192.168.0.9",
            ReservationError::Elsewhere(ip("192.168.0.9"), SERVED.to_owned()),
        ),
    ];
    for (n, address, expected) in cases {
        assert_eq!(room.reserve(n, address).await, Err(expected), "{address}");
    }
    let end = |n| room.store.apply(DeleteReservation(mac(n)));
    assert_eq!(end(1).await.unwrap(), Ok(()));
    assert_eq!(
        end(1).await.unwrap(),
        Err(ReservationError::NotFound(mac(1)))
    );
    room.reserve(3, "10.0.0.101").await.unwrap();
}

#[tokio::test]
async fn a_reservation_of_an_address_in_use_waits_for_its_end() {
    let room = Room::new();
    let used = room.boot(1).await.unwrap();
    room.reserve(2, &used.to_string()).await.unwrap();
    assert_eq!(
        room.boot(2).await,
        Ok(ip("10.0.0.4")),
        "not taken from station 1"
    );
    room.ask(1, LeaseVerb::Release(used)).await.unwrap_err();
    assert_eq!(room.boot(2).await, Ok(used));
}

#[tokio::test]
async fn only_addresses_of_our_pools_are_refused() {
    let room = Room::new();
    room.reserve(9, "10.0.0.200").await.unwrap();
    let cases = [
        ("10.0.0.5", Err("refuse")),    // in the pool, unknown to us
        ("10.0.0.2", Err("refuse")),    // in the pool, our own
        ("10.1.7.7", Err("refuse")),    // another pool of ours: it moved
        ("10.0.0.99", Err("silent")),   // on the subnet, not in the pool
        ("10.0.0.200", Err("silent")),  // somebody's reservation outside the pool
        ("192.168.1.7", Err("silent")), // foreign
    ];
    for (asked, expected) in cases {
        let got = room.ask(1, LeaseVerb::Confirm(ip(asked))).await;
        assert_eq!(got, expected, "confirm {asked}");
    }
    let foreign = ip("192.168.1.1");
    for verb in [
        LeaseVerb::Discover(None),
        LeaseVerb::Select(ip("10.0.0.5")),
        LeaseVerb::Confirm(ip("10.0.0.5")),
    ] {
        let answer = room.ask_from(foreign, 1, verb).await;
        assert_eq!(
            answer,
            LeaseAnswer::Silent,
            "from a subnet that is not ours: {verb:?}"
        );
    }
    assert_eq!(room.store.view().leases().count(), 0);
}

#[tokio::test]
async fn a_relayed_station_gets_an_address_of_its_own_subnet() {
    let room = Room::new();
    let relay = ip("10.1.0.1");
    let offer = room.ask_from(relay, 1, LeaseVerb::Discover(None)).await;
    assert_eq!(
        address(&offer),
        Ok(ip("10.1.0.2")),
        "neither network nor relay"
    );
    let got = room
        .ask_from(relay, 1, LeaseVerb::Select(ip("10.1.0.2")))
        .await;
    assert_eq!(address(&got), Ok(ip("10.1.0.2")));
    // Carried over to the other room, it asks for the old one.
    let old = LeaseVerb::Confirm(ip("10.1.0.2"));
    assert_eq!(room.ask(1, old).await, Err("refuse"));
    assert_eq!(room.boot(1).await, Ok(ip("10.0.0.3")));
    assert_eq!(room.store.view().leases().count(), 1);
}

#[tokio::test]
async fn a_declined_address_rests_for_ten_minutes() {
    let room = Room::new();
    let got = room.boot(1).await.unwrap();
    let other = room.discover(2).await.unwrap();
    room.ask(2, LeaseVerb::Decline(got)).await.unwrap_err();
    assert!(
        room.store.view().lease(mac(1)).is_some(),
        "not station 2's to decline"
    );
    room.ask(2, LeaseVerb::Decline(other)).await.unwrap_err();
    room.ask(1, LeaseVerb::Decline(got)).await.unwrap_err();
    assert_eq!(room.events("lease.declined"), 2);
    assert_eq!(room.discover(1).await, Ok(ip("10.0.0.5")));
    room.clock.advance(Duration::from_secs(601));
    let wish = LeaseVerb::Discover(Some(got));
    assert_eq!(room.ask(3, wish).await, Ok(got));
    assert_eq!(room.ask(3, LeaseVerb::Select(got)).await, Ok(got));
    assert!(room.store.view().declined(got).is_none());
}

#[tokio::test]
async fn a_full_pool_is_silent_tells_once_and_lends_the_oldest_ended_lease() {
    let room = Room::new();
    for n in 1..=6 {
        room.boot(n).await.unwrap();
        room.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(room.boot(7).await, Err("silent"));
    assert_eq!(room.boot(8).await, Err("silent"));
    room.store.flush().await.unwrap();
    assert_eq!(room.events("lease.pool-full"), 1);
    let mut renewed = room.store.view().lease(mac(1)).unwrap().ip;
    renewed = room.ask(1, LeaseVerb::Confirm(renewed)).await.unwrap();
    room.clock.advance(12 * HOUR - Duration::from_secs(3));
    assert_eq!(
        room.boot(7).await,
        Ok(ip("10.0.0.4")),
        "station 1 renewed {renewed}"
    );
    assert!(room.store.view().lease(mac(2)).is_none());
}

#[tokio::test]
async fn a_released_address_is_lent_again_but_remembered() {
    let room = Room::new();
    let got = room.boot(1).await.unwrap();
    room.ask(2, LeaseVerb::Release(got)).await.unwrap_err();
    assert_eq!(room.events("lease.released"), 0, "not station 2's");
    room.ask(1, LeaseVerb::Release(got)).await.unwrap_err();
    assert_eq!(room.events("lease.released"), 1);
    assert_eq!(room.discover(1).await, Ok(got));
}

#[tokio::test]
async fn an_inform_leases_nothing() {
    let room = Room::new();
    let inside = LeaseVerb::Inform(ip("10.0.0.77"));
    assert_eq!(room.ask(1, inside).await, Ok(ip("10.0.0.77")));
    let foreign = LeaseVerb::Inform(ip("172.16.0.1"));
    assert_eq!(room.ask(1, foreign).await, Err("silent"));
    assert_eq!(room.store.stats().commits, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_machines_at_once_get_a_thousand_addresses() {
    let room = std::sync::Arc::new(Room::new());
    let mut stations = JoinSet::new();
    for n in 0..1_000 {
        let room = room.clone();
        stations.spawn(async move {
            let relay = ip("10.1.0.1");
            let offer = room.ask_from(relay, n, LeaseVerb::Discover(None)).await;
            let offered = address(&offer).unwrap();
            address(&room.ask_from(relay, n, LeaseVerb::Select(offered)).await).unwrap()
        });
    }
    let got: BTreeSet<Ipv4Addr> = stations.join_all().await.into_iter().collect();
    assert_eq!(got.len(), 1_000);
    assert_eq!(room.store.view().leases().count(), 1_000);
}
