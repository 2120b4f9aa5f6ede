//! Any sequence of questions: no address is ever lent twice.

use std::{net::Ipv4Addr, time::Duration};

use ipxe::{LeaseVerb, MacAddr};
use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::{HOUR, Room, SERVER, mac};
use crate::state::{Timestamp, lease::LeaseRecord};

/// One thing that happens in the room.
#[derive(Debug, Clone)]
enum Step {
    Ask(u16, LeaseVerb),
    Boot(u16),
    Reserve(u16, Ipv4Addr),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let address = (0..12_u8).prop_map(|n| Ipv4Addr::new(10, 0, 0, n));
    let verb = (address.clone(), 0..6_u8).prop_map(|(ip, kind)| match kind {
        0 => LeaseVerb::Discover(Some(ip)),
        1 => LeaseVerb::Select(ip),
        2 => LeaseVerb::Confirm(ip),
        3 => LeaseVerb::Release(ip),
        4 => LeaseVerb::Decline(ip),
        _ => LeaseVerb::Discover(None),
    });
    let step = prop_oneof![
        5 => (0..9_u16, verb).prop_map(|(n, verb)| Step::Ask(n, verb)),
        5 => (0..9_u16).prop_map(Step::Boot),
        1 => (0..9_u16, address).prop_map(|(n, ip)| Step::Reserve(n, ip)),
        2 => prop_oneof![Just(5), Just(40), Just(700), Just(40_000)].prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What stations believe to hold, from the grants they got.
#[derive(Default)]
struct Believed(Vec<LeaseRecord>);

impl Believed {
    fn granted(&mut self, mac: MacAddr, ip: Ipv4Addr, now: Timestamp) {
        self.0.retain(|l| l.mac != mac && l.expires > now);
        let other = self.0.iter().find(|l| l.ip == ip);
        assert!(
            other.is_none(),
            "{mac} was granted {ip}, which {other:?} has"
        );
        assert!(
            ip > SERVER && ip != Ipv4Addr::new(10, 0, 0, 0),
            "{ip} is a server's"
        );
        let expires = now + 12 * HOUR;
        let hostname = None;
        self.0.push(LeaseRecord {
            mac,
            ip,
            expires,
            hostname,
        });
    }

    fn gave_up(&mut self, mac: MacAddr, ip: Ipv4Addr) {
        self.0.retain(|l| l.mac != mac || l.ip != ip);
    }
}

async fn live(steps: Vec<Step>) {
    let (room, mut believed) = (Room::new(), Believed::default());
    for step in steps {
        match step {
            Step::Ask(n, verb) => {
                let got = room.ask(n, verb).await;
                match (verb, got) {
                    (LeaseVerb::Select(_) | LeaseVerb::Confirm(_), Ok(ip)) => {
                        believed.granted(mac(n), ip, room.store.now());
                    }
                    (LeaseVerb::Release(ip) | LeaseVerb::Decline(ip), _) => {
                        believed.gave_up(mac(n), ip);
                    }
                    _ => {}
                }
            }
            Step::Boot(n) => {
                if let Ok(offered) = room.discover(n).await {
                    let got = room.ask(n, LeaseVerb::Select(offered)).await;
                    assert_eq!(got, Ok(offered), "an offer is kept");
                    believed.granted(mac(n), offered, room.store.now());
                }
            }
            Step::Reserve(n, ip) => drop(room.reserve(n, &ip.to_string()).await),
            Step::Wait(s) => room.clock.advance(Duration::from_secs(s)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_sequence_of_asks_lends_an_address_twice(steps in steps()) {
        Runtime::new().unwrap().block_on(live(steps));
    }
}
