//! What asking peers adds to a machine's wait, in virtual time: whole controllers with their stores, desks, boot HTTP and QUIC, each
//! other site at the end of a wire that is 100 ms long there and back.
//!
//! Tokio's clock stands still while something can go on, and jumps to the next timer when everything waits. The store commits on a
//! thread that this clock does not see: so sites get to know each other in real time, and what is measured waits for no commit.

use std::{net::SocketAddr, time::Duration};

use enforcer::{
    federation::lookup::DEADLINE,
    state::{
        ops::{JoinPeer, SiteCard, TakeMacs},
        peer::NamedMacs,
        trust::Digest,
    },
};
use ipxe::MacAddr;
use tokio::time::Instant;

use crate::{
    is_local,
    town::{MAC, Town, linked, named},
    wire::Wire,
};

const RTT: Duration = Duration::from_millis(100);
/// What all the rest of an answer may cost.
const REST: Duration = Duration::from_millis(5);
/// Nobody listens here (the discard port).
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// A machine that nobody has asked about yet: what was said of one is remembered for a moment.
fn machine(n: u8) -> MacAddr {
    MacAddr([0x52, 0x54, 0, 0, 1, n])
}

/// Another site, and the wire by which A reaches it.
struct Far {
    town: Town,
    wire: Wire,
}

impl Far {
    /// A and the site know each other; only A can dial.
    async fn from(a: &Town, name: &str) -> Self {
        let town = Town::start(name).await;
        let wire = Wire::to(town.links).await;
        for (knows, other, at) in [(&town, a, NOWHERE), (a, &town, wire.addr)] {
            let ca = other.mesh.ca();
            let card = SiteCard {
                site: other.name.clone(),
                ca: ca.pem().to_owned(),
                ca_sha256: Digest(ca.sha256()),
                addresses: vec![at],
            };
            let by = "ann".to_owned();
            let joined = knows.site.apply(JoinPeer { card, by }).await;
            joined.unwrap();
        }
        linked(a, &town.name).await;
        let told = |v: &enforcer::state::View| v.named_by(&town.name).is_some();
        a.until("it has named its machines", told).await;
        a.allow(&town, &[], &[], true).await;
        Self { town, wire }
    }

    /// A takes it that the site has something for these, though it has not.
    async fn is_believed_to_have(&self, a: &Town, machines: &[u8]) {
        let known = a.site.view();
        let before = known.named_by(&self.town.name).unwrap();
        let more = machines.iter().map(|n| machine(*n));
        let named = NamedMacs {
            site: self.town.name.clone(),
            macs: before.macs.iter().copied().chain(more).collect(),
        };
        assert!(a.site.apply(TakeMacs(named)).await);
    }
}

/// How long a machine waits for its script, from its connection to boot HTTP on.
async fn waits(a: &Town, n: u8) -> Duration {
    let begun = Instant::now();
    let script = a.site.script(machine(n), "s1").await;
    assert!(is_local(&script), "{script}");
    begun.elapsed()
}

#[track_caller]
fn check(what: &str, took: Duration, adds: Duration) {
    println!("{what}: {took:?}");
    assert!((adds..=adds + REST).contains(&took), "{what}: {took:?}");
}

#[tokio::test]
async fn peers_add_one_round_trip_to_the_whole_answer_and_not_five_milliseconds_more() {
    let a = Town::start("site-a").await;
    let b = Far::from(&a, "site-b").await;
    let c = Far::from(&a, "site-c").await;
    b.town.owns(MAC).await;
    b.town.allow(&a, &["pool=lab"], &[], false).await;
    b.town.arms("quiet").await;
    named(&a).await;
    b.is_believed_to_have(&a, &[2, 3, 4]).await;
    c.is_believed_to_have(&a, &[3, 4]).await;
    for far in [&b, &c] {
        far.wire.lengthen(RTT / 2);
    }

    tokio::time::pause();
    check("nobody is asked", waits(&a, 1).await, Duration::ZERO);
    check("one peer", waits(&a, 2).await, RTT);
    check("two peers", waits(&a, 3).await, RTT);
    check("again in the same boot", waits(&a, 3).await, Duration::ZERO);
    let begun = Instant::now();
    assert_eq!(a.explains().await.1, "site-b: offers live");
    check("a person asks", begun.elapsed(), RTT);
    c.wire.cut();
    check("one of two is silent", waits(&a, 4).await, DEADLINE);
}
