//! What a person decides: accept, refuse, resolve, revoke.

use mesh_proto::message::RefusalCode;

use super::*;
use crate::state::trust::{
    admit::{Admission, admit, may_have_secrets},
    ring::RingStep,
};

#[test]
fn the_pairing_code_raises_a_live_key_and_a_wrong_one_does_not() {
    let mut world = World::new();
    world.registered(1);
    let key = world.joins(1);
    let machine = world.machine(1);
    let refusal = may_have_secrets(&machine, &key).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::LevelTooLow);
    let wrong = world.accepts("web1", Some("9999-9999"));
    assert!(matches!(wrong, Err(AcceptError::WrongCode(_))), "{wrong:?}");
    assert_eq!(standing_and_level(&world, 1).1, Some(Level::T1));
    assert!(world.last_told().starts_with("machine.code-refused"));
    let accepted = world.accepts("web1", key.code.as_deref()).unwrap();
    let raised = accepted.raised.unwrap();
    assert_eq!(
        (raised.level, raised.serial.clone()),
        (Level::T2, key.serial.clone())
    );
    assert!(may_have_secrets(&accepted.machine, &raised).is_ok());
    assert_eq!(world.view.member(&machine.id).unwrap().level, Level::T2);
}

#[test]
fn without_a_code_a_person_accepts_at_the_lower_level() {
    let mut world = World::new();
    let enrol = world.request(4, Claim::None);
    let pending = waits(world.does(&enrol));
    let name = card(4).hyphens();
    let accepted = world.accepts(&name, None).unwrap();
    assert_eq!(accepted.grant.unwrap().key.level, Level::T1);
    assert_eq!(
        standing_and_level(&world, 4),
        (Standing::Accepted, Some(Level::T1))
    );
    assert_eq!(accepted.machine.macs.len(), 2);
    assert_eq!(pending.machine, accepted.machine.id);
}

#[test]
fn of_several_keys_that_wait_the_code_says_which() {
    let mut world = World::new();
    world.registered(1);
    let (honest, stranger) = (world.request(1, Claim::None), world.request(1, Claim::None));
    waits(world.does(&stranger));
    let honest = waits(world.does(&honest));
    assert_eq!(
        world.accepts("web1", None),
        Err(AcceptError::Several("web1".into(), 2))
    );
    let accepted = world.accepts("web1", Some(&honest.code)).unwrap();
    assert_eq!(accepted.grant.unwrap().key.key, honest.key);
    assert_eq!(accepted.turned_away, [stranger.key]);
    assert_eq!(world.view.pending().count(), 0);
}

#[test]
fn a_refused_machine_loses_its_keys_and_the_gossip_key_changes() {
    let mut world = World::new();
    world.does(&RotateRing {
        key: Secret::new("k1"),
        reason: "first".into(),
    });
    world.registered(1);
    let key = world.joins(1);
    let waiting = world.request(1, Claim::None);
    world.silent(1);
    waits(world.does(&waiting));
    let refuse = RefuseMachine {
        machine: MachineRef("web1".into()),
        by: "ann".into(),
    };
    let refused = world.does(&refuse).unwrap();
    assert_eq!(
        (refused.revoked, refused.turned_away),
        (vec![key.serial.clone()], vec![waiting.key])
    );
    assert_eq!(world.machine(1).standing, Standing::Seen);
    let denied = admit(&world.view, &key.serial, &key.key, world.now).unwrap_err();
    assert_eq!(denied.code, RefusalCode::Revoked);
    let open = world.open(1, &key);
    assert_eq!(world.does(&open).unwrap_err().code, RefusalCode::Revoked);
    assert!(world.tells(&key, examples::facts(1)).is_err());
    assert!(
        matches!(world.view.ring().next_step(), Some(RingStep::Add { reason }) if reason.contains("web1"))
    );
}

#[test]
fn revoking_keys_keeps_the_machine() {
    let mut world = World::new();
    world.does(&RotateRing {
        key: Secret::new("k1"),
        reason: "first".into(),
    });
    world.registered(1);
    let key = world.joins(1);
    let revoke = RevokeKeys {
        machine: MachineRef("web1".into()),
        reason: "stolen".into(),
    };
    assert_eq!(
        world.does(&revoke).unwrap(),
        std::slice::from_ref(&key.serial)
    );
    assert_eq!(world.machine(1).standing, Standing::Accepted);
    let denied = admit(&world.view, &key.serial, &key.key, world.now).unwrap_err();
    assert!(denied.text.contains("stolen"), "{}", denied.text);
    let renew = RenewKey {
        serial: key.serial.clone(),
        shown: key.key,
        key: key.key,
        fresh: Serial::new("ffff"),
        boot_id: None,
    };
    assert_eq!(world.does(&renew).unwrap_err().code, RefusalCode::Revoked);
    assert!(world.view.ring().wanted.is_some());
}

/// A dispute about machine 1, whose agent lives; the newcomer has its cards and other hardware.
fn disputed() -> (World, EnrolledKey, Enrol) {
    let mut world = World::new();
    world.registered(1);
    let key = world.joins(1);
    let mut copy = world.request(2, Claim::None);
    copy.facts.nics = examples::facts(1).nics;
    refused(world.does(&copy), RefusalCode::Disputed);
    (world, key, copy)
}

#[test]
fn a_disputed_machine_is_not_accepted_before_a_person_decided() {
    let (mut world, key, _) = disputed();
    assert!(matches!(
        world.accepts("web1", key.code.as_deref()),
        Err(AcceptError::Disputed(_))
    ));
    let machine = world.machine(1);
    assert_eq!(
        may_have_secrets(&machine, &key).unwrap_err().code,
        RefusalCode::Disputed
    );
    let resolve = |keep| ResolveDispute {
        machine: MachineRef("web1".into()),
        keep,
        by: "ann".into(),
    };
    assert_eq!(world.does(&resolve(Keep::Enrolled)).unwrap(), []);
    assert!(world.machine(1).disputed.is_none());
    assert_eq!(
        admit(&world.view, &key.serial, &key.key, world.now),
        Ok(Admission::Link)
    );
    assert!(matches!(
        world.does(&resolve(Keep::Enrolled)),
        Err(AcceptError::NotDisputed(_))
    ));
}

#[test]
fn what_a_person_decided_is_not_asked_again_for_the_same_key() {
    let (mut world, _, copy) = disputed();
    let keep = ResolveDispute {
        machine: MachineRef("web1".into()),
        keep: Keep::Enrolled,
        by: "ann".into(),
    };
    world.does(&keep).unwrap();
    // It asks again as long as it runs.
    refused(world.does(&copy), RefusalCode::Disputed);
    assert!(world.machine(1).disputed.is_none());
    // Booted once more it has another key: who knows what it is now.
    for n in 3..20 {
        let mut again = world.request(n, Claim::None);
        again.facts.nics = examples::facts(1).nics;
        refused(world.does(&again), RefusalCode::Disputed);
        assert!(world.machine(1).disputed.is_some());
        world.does(&keep).unwrap();
    }
    assert!(world.machine(1).turned_down.len() < 10, "bounded");
}

#[test]
fn a_newcomer_that_is_kept_becomes_the_machine() {
    let (mut world, key, copy) = disputed();
    let id = world.machine(1).id;
    let resolve = ResolveDispute {
        machine: MachineRef("web1".into()),
        keep: Keep::Newcomer,
        by: "ann".into(),
    };
    assert_eq!(
        world.does(&resolve).unwrap(),
        std::slice::from_ref(&key.serial)
    );
    assert!(admit(&world.view, &key.serial, &key.key, world.now).is_err());
    world.silent(1);
    let pending = waits(world.does(&copy));
    assert_eq!(pending.machine, id, "it is found by what it is made of");
    let grant = world
        .accepts("web1", Some(&pending.code))
        .unwrap()
        .grant
        .unwrap();
    assert_eq!(grant.key.key, copy.key);
}

#[test]
fn forgetting_a_machine_forgets_all_of_it() {
    let mut world = World::new();
    world.does(&RotateRing {
        key: Secret::new("k1"),
        reason: "first".into(),
    });
    world.registered(1);
    let key = world.joins(1);
    world
        .does(&DeleteMachine(MachineRef("web1".into())))
        .unwrap();
    let id = &key.machine;
    assert!(world.view.keys_of(id).next().is_none() && world.view.facts(id).is_none());
    assert!(world.view.member(id).is_none() && world.view.identity(id).is_none());
    assert!(admit(&world.view, &key.serial, &key.key, world.now).is_err());
    assert!(
        world.view.ring().wanted.is_some(),
        "what it knew must open nothing"
    );
}

#[test]
fn invented_addresses_make_room_before_a_machine_that_speaks() {
    let mut world = World::new();
    world.policy(|p| p.discovery = crate::state::policy::Discovery::All);
    let secret = world.boots(1);
    let enrol = world.by_secret(1, &secret);
    granted(world.does(&enrol));
    let waiting = world.request(2, Claim::None);
    waits(world.does(&waiting));
    for n in 0..4094_u64 {
        let [.., a, b] = n.to_be_bytes();
        let id = MachineId::from_random(20_000 + n);
        let later = world.now + SignedDuration::from_secs(1);
        let machine = Machine::seen(id, MacAddr([2, 9, 9, 9, a, b]), later);
        world.view.absorb(&Record::Machine(machine.into()).into());
    }
    let newest = Saw {
        mac: MacAddr([2, 8, 8, 8, 8, 8]),
        uuid: None,
        serial: None,
        firmware: None,
        guess: None,
        fresh_id: MachineId::from_random(50_000),
    };
    world.does(&newest);
    assert_eq!(world.view.machines().count(), 4096);
    assert!(world.view.machine_by_mac(card(1)).is_some(), "it has a key");
    assert!(
        world.view.machine_by_mac(card(2)).is_some(),
        "its key waits"
    );
}

#[test]
fn a_person_writes_labels_on_a_machine_and_takes_them_off() {
    let mut world = World::new();
    world.registered(1);
    let mut set = |name: &str, value: Option<&str>| {
        let value = value.map(|v| v.parse().unwrap());
        world.does(&UpdateMachine {
            machine: MachineRef("web1".into()),
            name: None,
            local_boot: None,
            owner: None,
            labels: [(name.parse().unwrap(), value)].into(),
        })
    };
    set("pool", Some("web")).unwrap();
    let machine = set("rack", Some("r1")).unwrap();
    assert_eq!(machine.labels.len(), 2);
    let selector: crate::state::label::Selector = "pool=web,rack".parse().unwrap();
    assert!(selector.fits(&machine.labels));
    assert!(!selector.fits(&set("rack", None).unwrap().labels));
    for n in 0..crate::state::label::MAX_LABELS {
        let _ = set(&format!("l{n}"), Some("x"));
    }
    assert_eq!(set("one-more", Some("x")), Err(MachineError::TooManyLabels));
}
