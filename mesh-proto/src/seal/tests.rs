//! Sealed datagrams: what opens, what is refused, and that nothing is taken twice.

use std::time::{Duration, Instant};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[expect(clippy::disallowed_methods, reason = "an arbitrary start of time")]
fn start() -> Instant {
    Instant::now()
}

fn seal(node: u64) -> Seal {
    let session = SessionId([node as u8; 16]);
    let mut seal = Seal::new(SiteTag::of("home"), NodeId(node), session);
    install(&mut seal, start(), 1);
    seal.ring.use_epoch(start(), 1).expect("just installed");
    seal
}

fn install(seal: &mut Seal, now: Instant, epoch: u32) {
    let key = GossipKey::new([epoch as u8; 32]);
    seal.ring.install(now, epoch, &key).expect("room");
}

fn packet() -> Datagram {
    Datagram::Foca(b"a packet".to_vec())
}

#[test]
fn what_is_sealed_is_opened_and_only_once() {
    let (mut alice, mut bob) = (seal(1), seal(2));
    for datagram in [
        packet(),
        Datagram::Knock,
        Datagram::Foca(vec![7; MAX_PACKET]),
    ] {
        let bytes = alice.seal(&datagram).expect("a key");
        assert!(bytes.len() <= MAX_SEALED);
        let opened = bob.open(start(), &bytes).expect("good");
        assert_eq!((opened.sender, opened.datagram), (NodeId(1), datagram));
        assert_eq!(bob.open(start(), &bytes), Err(OpenError::Replayed));
    }
    let counters = bob.counters();
    assert_eq!((counters.opened, counters.replayed), (3, 3));
}

#[test]
fn every_single_byte_counts() {
    let (mut alice, mut bob) = (seal(1), seal(2));
    let bytes = alice.seal(&packet()).expect("a key");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let error = bob.open(start(), &damaged).expect_err("damaged");
        let expected = match at {
            0 => OpenError::Version,
            1..5 => OpenError::Site,
            5..9 => error, // some other epoch
            _ => OpenError::Forged,
        };
        assert_eq!(error, expected, "byte {at}");
    }
    for len in 0..bytes.len() {
        assert!(
            bob.open(start(), &bytes[..len]).is_err(),
            "first {len} bytes"
        );
    }
    assert!(
        bob.open(start(), &bytes).is_ok(),
        "nothing of that was remembered"
    );
}

#[test]
fn a_forged_counter_does_not_move_the_window() {
    let (mut alice, mut bob) = (seal(1), seal(2));
    let first = alice.seal(&packet()).expect("a key");
    let mut forged = first.clone();
    forged[33] = 0x7f; // a counter far ahead
    assert_eq!(bob.open(start(), &forged), Err(OpenError::Forged));
    assert!(bob.open(start(), &first).is_ok());
}

#[test]
fn other_sites_and_our_own_datagrams_are_told_apart() {
    let mut alice = seal(1);
    let bytes = alice.seal(&packet()).expect("a key");
    assert_eq!(alice.open(start(), &bytes), Err(OpenError::Ours));
    let mut away = Seal::new(SiteTag::of("away"), NodeId(3), SessionId([3; 16]));
    assert_eq!(away.open(start(), &bytes), Err(OpenError::Site));
    let mut keyless = Seal::new(SiteTag::of("home"), NodeId(3), SessionId([3; 16]));
    assert_eq!(
        keyless.open(start(), &bytes),
        Err(OpenError::UnknownEpoch(1))
    );
    assert_eq!(keyless.seal(&packet()), Err(SealError::NoKey));
}

#[test]
fn a_rotation_loses_nothing_and_ends_the_old_key_after_a_minute() {
    let (mut alice, mut bob, now) = (seal(1), seal(2), start());
    install(&mut alice, now, 2);
    install(&mut bob, now, 2);
    let early = alice.seal(&packet()).expect("the old key still seals");
    alice.ring.use_epoch(now, 2).expect("installed");
    bob.ring.use_epoch(now, 2).expect("installed");
    assert!(bob.open(now + 59 * SECOND, &early).is_ok());
    let news = alice.seal(&packet()).expect("the new key");
    assert!(bob.open(now, &news).is_ok());

    let mut straggler = seal(3);
    let late = straggler.seal(&packet()).expect("the old key");
    assert_eq!(bob.ring.next_drop(), Some(now + OLD_KEY_OPENS));
    assert_eq!(
        bob.open(now + OLD_KEY_OPENS, &late),
        Err(OpenError::UnknownEpoch(1))
    );
    bob.ring.drop_old(now + OLD_KEY_OPENS);
    assert_eq!(bob.ring.next_drop(), None);
}

#[test]
fn a_ring_is_bounded_and_takes_one_key_an_epoch() {
    let (now, mut ring) = (start(), KeyRing::default());
    let key = GossipKey::new([1; 32]);
    for epoch in 0..MAX_KEYS as u32 {
        ring.install(now, epoch, &key).expect("room");
        ring.install(now, epoch, &key).expect("the same again");
    }
    assert_eq!(ring.install(now, 9, &key), Err(RingError::Full));
    let other = GossipKey::new([2; 32]);
    assert_eq!(ring.install(now, 1, &other), Err(RingError::Taken(1)));
    assert_eq!(ring.use_epoch(now, 9), Err(RingError::Unknown(9)));
    assert_eq!(
        ring.replace(now, &[(9, other)], 8),
        Err(RingError::Unknown(8))
    );
    ring.use_epoch(now, 3)
        .expect("a ring that was not replaced");
    ring.install(now + OLD_KEY_OPENS, 9, &key)
        .expect("the old ones ran out");
}

#[test]
fn a_hellos_ring_replaces_what_was_there_at_once() {
    let (mut alice, mut bob, now) = (seal(1), seal(2), start());
    let old = alice.seal(&packet()).expect("a key");
    let fresh = GossipKey::new([9; 32]);
    bob.ring
        .replace(now, &[(9, fresh)], 9)
        .expect("a good ring");
    assert_eq!(bob.open(now, &old), Err(OpenError::UnknownEpoch(1)));
    assert_eq!(bob.ring.epoch(), Some(9));
}

#[test]
fn keys_do_not_print() {
    let key = GossipKey::new([0xab; 32]);
    let shown = format!("{key:?} {:?}", seal(1).ring);
    assert_eq!(
        shown,
        "GossipKey(..) KeyRing { epochs: [1], current: Some(1) }"
    );
}

#[test]
fn a_packet_that_is_too_long_is_not_sealed() {
    let long = Datagram::Foca(vec![0; MAX_PACKET + 1]);
    assert_eq!(seal(1).seal(&long), Err(SealError::TooLong));
}
