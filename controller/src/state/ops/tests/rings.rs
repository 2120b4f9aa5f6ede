//! The gossip key: first, rotated, dropped; a revocation in the middle.

use super::*;
use crate::state::trust::ring::RingStep;

fn add(world: &mut World, key: &str) {
    let reason = "test".to_owned();
    world.does(&RotateRing {
        key: Secret::new(key),
        reason,
    });
}

#[test]
fn a_rotation_adds_uses_and_drops() {
    let mut world = World::new();
    assert!(
        matches!(world.view.ring().next_step(), Some(RingStep::Add { .. })),
        "there is none yet"
    );
    add(&mut world, "k1");
    assert_eq!(
        (world.view.ring().current, world.view.ring().next_step()),
        (1, None)
    );
    add(&mut world, "k2");
    assert_eq!(world.view.ring().current, 1, "nobody can open it yet");
    assert_eq!(world.view.ring().on_the_wire().keys.len(), 2);
    assert_eq!(world.view.ring().next_step(), Some(RingStep::Use(2)));
    world.does(&UseRing(2));
    let drop_at = world.now + SignedDuration::from_secs(60);
    assert_eq!(
        world.view.ring().next_step(),
        Some(RingStep::DropAt(drop_at))
    );
    world.pass(59);
    assert_eq!(world.does(&DropRetired).keys.len(), 2);
    world.pass(1);
    assert_eq!(world.does(&DropRetired).keys.len(), 1);
    assert_eq!(world.view.ring().next_step(), None);
    world.does(&UseRing(1));
    world.does(&UseRing(9));
    assert_eq!(
        world.view.ring().current,
        2,
        "neither back nor to what is not there"
    );
}

#[test]
fn a_revocation_during_a_rotation_rotates_again() {
    let mut world = World::new();
    add(&mut world, "k1");
    add(&mut world, "k2");
    world.registered(1);
    world.joins(1);
    let revoke = RevokeKeys {
        machine: MachineRef("web1".into()),
        reason: "stolen".into(),
    };
    world.does(&revoke).unwrap();
    assert_eq!(world.view.ring().next_step(), Some(RingStep::Use(2)));
    world.does(&UseRing(2));
    assert!(matches!(
        world.view.ring().next_step(),
        Some(RingStep::Add { .. })
    ));
    add(&mut world, "k3");
    world.does(&UseRing(3));
    assert!(matches!(
        world.view.ring().next_step(),
        Some(RingStep::DropAt(_))
    ));
}
