//! Bytes of strangers, and of members that lie: nothing panics, and what is not proved changes nothing.

use std::time::{Duration, Instant};

use mesh_proto::{
    codec::Datagram,
    identity::{Identity, NodeId, Role},
    membership::Membership,
    seal::{GossipKey, OpenError, Seal, SessionId, SiteTag},
};
use proptest::prelude::*;

#[expect(clippy::disallowed_methods, reason = "an arbitrary start of time")]
fn start() -> Instant {
    Instant::now()
}

fn seal(node: u64) -> Seal {
    let now = start();
    let mut seal = Seal::new(
        SiteTag::of("home"),
        NodeId(node),
        SessionId([node as u8; 16]),
    );
    let key = GossipKey::new([7; 32]);
    seal.ring
        .replace(now, &[(1, key)], 1)
        .expect("a ring of one key");
    seal
}

fn identity(node: u64) -> Identity {
    let addr = ([10, 0, 0, node as u8], 4849).into();
    Identity::new(NodeId(node), 1, addr, Role::Agent)
}

/// Two members that know each other, and some packets that passed between them.
fn pair() -> (Instant, Membership, Membership, Vec<Vec<u8>>) {
    let mut now = start();
    let mut packets = Vec::new();
    let mut alice = Membership::new(now, identity(1), [1; 32]);
    let mut bob = Membership::new(now, identity(2), [2; 32]);
    alice.join(now, &[identity(2)]);
    alice.announce_facts(now, [9; 16]);
    for _ in 0..20 {
        while let Some((_, packet)) = alice.poll_transmit() {
            bob.handle_datagram(now, &packet).expect("a good packet");
            packets.push(packet);
        }
        while let Some((_, packet)) = bob.poll_transmit() {
            alice.handle_datagram(now, &packet).expect("a good packet");
        }
        now += Duration::from_millis(300);
        alice.handle_timeout(now);
        bob.handle_timeout(now);
    }
    while alice.poll_transmit().is_some() || bob.poll_transmit().is_some() {}
    (now, alice, bob, packets)
}

proptest! {
    #[test]
    fn noise_opens_nothing_and_is_counted(noise in prop::collection::vec(any::<u8>(), 0..1400)) {
        let (mut alice, mut bob, now) = (seal(1), seal(2), start());
        prop_assert!(bob.open(now, &noise).is_err());
        let counters = bob.counters();
        prop_assert_eq!(counters.opened, 0);
        prop_assert_eq!(counters.length + counters.version + counters.site + counters.unknown_epoch + counters.forged, 1);
        let good = alice.seal(&Datagram::Knock).expect("a key");
        prop_assert!(bob.open(now, &good).is_ok());
    }

    #[test]
    fn a_changed_datagram_is_refused_and_the_true_one_still_taken(
        at in any::<prop::sample::Index>(), bit in 0u8..8, tail in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let (mut alice, mut bob, now) = (seal(1), seal(2), start());
        let good = alice.seal(&Datagram::Foca(vec![3; 100])).expect("a key");
        let mut changed = good.clone();
        changed[at.index(good.len())] ^= 1 << bit;
        changed.extend(&tail);
        prop_assert!(bob.open(now, &changed).is_err());
        let mut longer = good.clone();
        longer.extend(&tail);
        if !tail.is_empty() {
            prop_assert_eq!(bob.open(now, &longer), Err(OpenError::Forged));
        }
        prop_assert!(bob.open(now, &good).is_ok());
    }

    #[test]
    fn whatever_the_order_each_datagram_is_taken_once_and_none_within_the_window_is_lost(
        order in prop::collection::vec(0usize..1500, 1..400),
    ) {
        let (mut alice, mut bob, now) = (seal(1), seal(2), start());
        let sent: Vec<_> = (0..1500).map(|_| alice.seal(&Datagram::Knock).expect("a key")).collect();
        let (mut taken, mut highest) = (std::collections::HashSet::new(), 0);
        for counter in order {
            highest = highest.max(counter);
            let fresh = !taken.contains(&counter) && highest - counter < 1024;
            prop_assert_eq!(bob.open(now, &sent[counter]).is_ok(), fresh, "counter {} of {}", counter, highest);
            taken.insert(counter);
        }
    }

    #[test]
    fn noise_in_the_group_changes_no_view(noise in prop::collection::vec(any::<u8>(), 0..1400)) {
        let (now, mut alice, _, _) = pair();
        let before = (alice.state_digest(), alice.members(now));
        let _refused = alice.handle_datagram(now, &noise);
        prop_assert_eq!(before, (alice.state_digest(), alice.members(now)));
        prop_assert_eq!(alice.poll_transmit(), None);
    }

    #[test]
    fn a_member_that_lies_is_survived(
        lies in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let (mut now, _, mut bob, packets) = pair();
        for (which, at, value) in lies {
            let mut packet = which.get(&packets).clone();
            let at = at.index(packet.len());
            packet[at] = value;
            let _taken_or_not = bob.handle_datagram(now, &packet);
            now += Duration::from_millis(100);
            bob.handle_timeout(now);
            while let Some((_, packet)) = bob.poll_transmit() {
                prop_assert!(packet.len() <= mesh_proto::codec::MAX_PACKET);
            }
        }
        prop_assert!(bob.poll_timeout().expect("it goes on") > now);
        prop_assert_eq!(bob.counters().faults, 0);
    }
}
