//! Gossip from the socket inwards: one live member between a stranger and a member that lies.

use std::time::{Duration, Instant};

use mesh_proto::{
    codec::{Datagram, MAX_PACKET},
    identity::{Identity, NodeId, Role},
    membership::{MAX_MEMBERS, Membership},
    seal::{GossipKey, MAX_SEALED, Seal, SessionId, SiteTag},
};

const US: u64 = 1;
const LIAR: u64 = 2;

/// The input is a list of steps: what, a length (two bytes, big-endian) and as many bytes. They come from a stranger, or
/// sealed from a member, or time passes.
pub fn fuzz_seal(data: &[u8]) {
    let mut now = Instant::now();
    let (mut ours, mut theirs) = (seal(now, US), seal(now, LIAR));
    let mut us = Membership::new(now, identity(US), [1; 32]);
    us.join(now, &[identity(LIAR)]);
    let mut rest = data;
    while let Some((&[what, high, low], after)) = rest.split_first_chunk::<3>() {
        let len = usize::from(u16::from_be_bytes([high, low]));
        let (bytes, after) = after.split_at(after.len().min(len));
        rest = after;
        match what % 4 {
            0 => assert!(ours.open(now, bytes).is_err(), "a stranger has no key"),
            1 | 2 => lie(now, &mut theirs, &mut ours, &mut us, bytes),
            _ => {
                now += Duration::from_millis(100 * u64::from(what / 4));
                us.handle_timeout(now);
            }
        }
        check(now, &mut us, &mut ours);
    }
}

fn lie(now: Instant, theirs: &mut Seal, ours: &mut Seal, us: &mut Membership, bytes: &[u8]) {
    let Ok(sealed) = theirs.seal(&Datagram::Foca(bytes.to_vec())) else {
        return assert!(bytes.len() > MAX_PACKET);
    };
    let opened = ours.open(now, &sealed).expect("sealed well");
    if let Datagram::Foca(packet) = opened.datagram {
        let _taken_or_not = us.handle_datagram(now, &packet);
    }
    assert!(ours.open(now, &sealed).is_err(), "taken once");
}

/// What every driver relies on.
fn check(now: Instant, us: &mut Membership, ours: &mut Seal) {
    while let Some((_, packet)) = us.poll_transmit() {
        let sealed = ours
            .seal(&Datagram::Foca(packet))
            .expect("our own packets fit");
        assert!(sealed.len() <= MAX_SEALED);
    }
    while us.poll_event().is_some() {}
    assert!(us.poll_timeout().is_some());
    assert!(us.members(now).len() <= MAX_MEMBERS);
    assert_eq!(us.identity().node, NodeId(US));
    assert_eq!(us.counters().faults, 0);
}

fn seal(now: Instant, node: u64) -> Seal {
    let session = SessionId([node as u8; 16]);
    let mut seal = Seal::new(SiteTag::of("home"), NodeId(node), session);
    seal.ring
        .replace(now, &[(1, GossipKey::new([7; 32]))], 1)
        .expect("a ring of one key");
    seal
}

fn identity(node: u64) -> Identity {
    let addr = ([10, 0, 0, node as u8], 4849).into();
    Identity::new(NodeId(node), 1, addr, Role::Agent)
}
