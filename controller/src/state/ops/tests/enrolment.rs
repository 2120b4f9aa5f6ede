//! By a boot's secret, or by nothing; superseded, disputed, refused.

use mesh_proto::message::{
    RefusalCode,
    enrol::{KeyKind, Level},
};

use super::*;
use crate::state::{
    policy::{Accept, Discovery},
    trust::{
        admit::{Admission, admit},
        key::ProvedBy,
    },
};

#[test]
fn a_registered_machine_is_accepted_by_its_boots_secret() {
    let mut world = World::new();
    world.registered(1);
    let key = world.joins(1);
    assert_eq!(
        standing_and_level(&world, 1),
        (Standing::Accepted, Some(Level::T1))
    );
    assert_eq!(key.proved, ProvedBy::BootSecret);
    assert_eq!(key.expires, key.issued + SignedDuration::from_hours(24));
    let machine = world.machine(1);
    assert_eq!(machine.macs.len(), 2, "it has the cards it told of");
    assert!(machine.accepted.is_some());
    assert_eq!(
        world.told(),
        [
            "machine.registered",
            "key.enrolled",
            "member.joined",
            "machine.facts"
        ]
    );
}

#[test]
fn a_seen_machine_joins_and_stays_seen() {
    let mut world = World::new();
    world.policy(|p| p.discovery = Discovery::All);
    world.joins(1);
    assert_eq!(
        standing_and_level(&world, 1),
        (Standing::Seen, Some(Level::T1))
    );
}

#[test]
fn with_manual_acceptance_it_waits_until_a_person_says_so() {
    let mut world = World::new();
    world.policy(|p| p.accept = Accept::Manual);
    world.registered(1);
    let secret = world.boots(1);
    let enrol = world.by_secret(1, &secret);
    let pending = waits(world.does(&enrol));
    assert!(pending.why.contains("by hand"), "{}", pending.why);
    assert_eq!(world.view.pending_of(&world.machine(1).id).count(), 1);
    let accepted = world.accepts("web1", Some(&pending.code)).unwrap();
    let grant = accepted.grant.unwrap();
    assert_eq!(
        (grant.key.level, &grant.key.serial),
        (Level::T2, &pending.serial)
    );
    assert_eq!(world.view.pending().count(), 0);
    // An accepted machine does not wait again.
    world.links(1, &grant.key);
    world.silent(1);
    world.pass(24 * 3600);
    let secret = world.boots(1);
    let again = world.by_secret(1, &secret);
    assert_eq!(granted(world.does(&again)).key.level, Level::T1);
}

#[test]
fn three_boots_are_one_machine_without_a_dispute() {
    let mut world = World::new();
    world.registered(1);
    let mut last = None;
    for boot in 1..=3 {
        let secret = world.boots(1);
        let enrol = world.by_secret(1, &secret);
        let grant = granted(world.does(&enrol));
        assert_eq!(grant.superseded, last.iter().cloned().collect::<Vec<_>>());
        assert_eq!(world.links(1, &grant.key).member.generation, boot);
        last = Some(grant.key.serial);
        world.silent(1);
        world.pass(24 * 3600);
    }
    assert_eq!(world.view.machines().count(), 1);
    assert!(world.machine(1).disputed.is_none());
    assert_eq!(world.view.live_keys_of(&world.machine(1).id).count(), 1);
}

#[test]
fn wrong_old_spent_and_carried_off_secrets_are_refused() {
    let mut world = World::new();
    world.registered(1);
    let first = world.boots(1);
    world.pass(24 * 3600);
    let second = world.boots(1);
    let voided = world.by_secret(1, &first);
    refused(world.does(&voided), RefusalCode::BadProof);
    let guessed = world.by_secret(1, &Secret::new("guess"));
    refused(world.does(&guessed), RefusalCode::BadProof);
    let mut shows_none = world.by_secret(1, &second);
    shows_none.claim = Claim::Boot {
        mac: card(1),
        shown: None,
    };
    refused(world.does(&shows_none), RefusalCode::BadProof);
    let mut elsewhere = world.by_secret(1, &second);
    (elsewhere.from, elsewhere.known_as) = (ip(66), Some(card(66)));
    refused(world.does(&elsewhere), RefusalCode::WrongAddress);
    // DHCP gave the same machine another address meanwhile: that is no stranger.
    let mut moved = elsewhere.clone();
    moved.known_as = Some(card(1));
    granted(world.does(&moved));
    let spent = world.by_secret(1, &second);
    refused(world.does(&spent), RefusalCode::BadProof);
    assert_eq!(
        granted(world.does(&moved)).key.key,
        moved.key,
        "the answer got lost: the same key asks again"
    );

    world.pass(24 * 3600);
    let third = world.boots(1);
    world.pass(3600);
    let late = world.by_secret(1, &third);
    refused(world.does(&late), RefusalCode::Expired);
    assert!(
        world
            .told()
            .iter()
            .filter(|k| *k == "enrolment.refused")
            .count()
            >= 5
    );
    assert!(
        world.machine(1).disputed.is_none(),
        "a wrong secret claims nothing"
    );
}

#[test]
fn another_machine_with_its_card_is_refused_while_the_first_lives() {
    let mut world = World::new();
    world.registered(1);
    let first = world.joins(1);
    // The copy boots by the copied address: the script and its secret go to that address.
    world.pass(24 * 3600 - 10);
    let mut copy = world.request(2, Claim::None);
    copy.facts.nics = examples::facts(1).nics;
    let nothing = copy.clone();
    refused(world.does(&nothing), RefusalCode::Disputed);
    let dispute = world.machine(1).disputed.unwrap();
    assert_eq!((dispute.newcomer, dispute.from), (copy.key, ip(2)));
    assert!(
        world.last_told().contains("the first keeps its link"),
        "{}",
        world.last_told()
    );
    let events = world.told().len();
    refused(world.does(&copy), RefusalCode::Disputed);
    assert_eq!(world.told().len(), events, "told once");
    // The first keeps its link, and its key counts.
    assert_eq!(
        admit(&world.view, &first.serial, &first.key, world.now),
        Ok(Admission::Link)
    );
    assert_eq!(world.view.machines().count(), 1);
}

#[test]
fn a_live_secret_does_not_help_other_hardware_while_the_first_lives() {
    let mut world = World::new();
    world.policy(|p| p.discovery = Discovery::All);
    world.registered(1);
    world.joins(1);
    world
        .view
        .absorb(&crate::state::Key::Facts(world.machine(1).id).into());
    let machine = world.machine(1);
    let facts = crate::state::facts::FactsRecord {
        machine: machine.id.clone(),
        facts: examples::facts(1),
        digest: String::new(),
        boot_id: String::new(),
        at: world.now,
        history: Vec::new(),
    };
    // Its script is asked for again (as after a reset), and the copy shows the secret.
    world.pass(24 * 3600);
    let secret = world.boots(1);
    world.view.absorb(&Record::Facts(facts.into()).into());
    let mut copy = world.by_secret(1, &secret);
    copy.facts = HardwareFacts {
        nics: examples::facts(1).nics,
        ..examples::facts(2)
    };
    refused(world.does(&copy), RefusalCode::Disputed);
    // The same hardware, reset faster than its silence was noticed, is no rival.
    let reset = world.by_secret(1, &secret);
    let grant = granted(world.does(&reset));
    assert_eq!(grant.superseded.len(), 1);
    // And once the first is silent, the copy still is another machine: a person decides.
    world.silent(1);
    copy.claim = Claim::None;
    let pending = waits(world.does(&copy));
    assert_ne!(pending.machine, machine.id);
}

#[test]
fn a_card_carried_to_a_new_machine_does_not_make_it_the_old_one() {
    let mut world = World::new();
    world.policy(|p| p.discovery = Discovery::All);
    world.registered(1);
    let secret = world.boots(1);
    let enrol = world.by_secret(1, &secret);
    let key = granted(world.does(&enrol)).key;
    world.links(1, &key);
    world.silent(1);
    let id = world.machine(1).id;
    world.tells(&key, examples::facts(1)).unwrap();
    world.view.absorb(
        &Record::Facts({
            let mut facts = (**world.view.facts(&id).unwrap()).clone();
            facts.at = world.now;
            facts.into()
        })
        .into(),
    );
    // Its first card now is in machine 2, which boots by it.
    let discovery = world.asks(card(1), "usb", Some(ip(1)));
    assert!(
        discovery.secret.is_none(),
        "its hardware is known, so it is not discovered again"
    );
    let mut carried = world.request(2, Claim::None);
    carried.facts.nics = vec![examples::nic(1, 1), examples::nic(2, 1)];
    let pending = waits(world.does(&carried));
    assert_ne!(pending.machine, id);
    let other = world.view.machine(&pending.machine).unwrap();
    assert_eq!(
        other.macs.iter().copied().collect::<Vec<_>>(),
        [card(2)],
        "only the card that was nobody's"
    );
    assert_eq!(world.machine(1).id, id);
}

#[test]
fn the_queue_is_bounded_per_machine_and_in_all() {
    use crate::state::trust::pending::MAX_PENDING_OF_ONE;
    let mut world = World::new();
    world.registered(1);
    let mut first = None;
    for _ in 0..=MAX_PENDING_OF_ONE {
        let enrol = world.request(1, Claim::None);
        first.get_or_insert(enrol.key);
        waits(world.does(&enrol));
        world.pass(1);
    }
    let id = world.machine(1).id;
    assert_eq!(world.view.pending_of(&id).count(), MAX_PENDING_OF_ONE);
    assert!(
        world.view.pending_key(&first.unwrap()).is_none(),
        "the one silent for longest made room"
    );
    // Asking again keeps a place and its time.
    let key = world.view.pending_of(&id).next().unwrap().key;
    let since = world.view.pending_key(&key).unwrap().since;
    let mut again = world.request(1, Claim::None);
    again.key = key;
    let events = world.told().len();
    assert_eq!(waits(world.does(&again)).since, since);
    assert_eq!(world.told().len(), events);
    world.does(&Withdraw(key));
    assert!(world.view.pending_key(&key).is_none());
}

#[test]
fn a_nameless_machine_that_only_asked_becomes_part_of_the_real_one() {
    let mut world = World::new();
    world.policy(|p| p.discovery = Discovery::All);
    world.registered(1);
    let key = world.joins(1);
    world.silent(1);
    // Its second card is lost to it, then boots by itself: a machine that was only seen.
    let mut machine = world.machine(1);
    let second: MacAddr = examples::nic(1, 2).mac.parse().unwrap();
    machine.macs.remove(&second);
    world.view.absorb(&Record::Machine(machine.into()).into());
    let decision = world.asks(second, "s", Some(ip(1)));
    let secret = decision.secret.unwrap();
    assert_eq!(world.view.machines().count(), 2);
    let mut enrol = world.by_secret(1, &secret);
    enrol.claim = Claim::Boot {
        mac: second,
        shown: Some(secret),
    };
    let grant = granted(world.does(&enrol));
    assert_eq!(world.view.machines().count(), 1);
    assert_eq!(grant.superseded, [key.serial]);
    assert_eq!(world.machine(1).macs.len(), 2);
    let spent = world.machine(1).discovery.unwrap().secret.unwrap();
    assert!(
        spent.used || spent.secret != enrol_secret(&enrol),
        "no second use"
    );
}

fn enrol_secret(enrol: &Enrol) -> Secret {
    match &enrol.claim {
        Claim::Boot {
            shown: Some(secret),
            ..
        } => secret.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_secret_is_in_any_event() {
    let mut world = World::new();
    world.registered(1);
    let secret = world.boots(1);
    let enrol = world.by_secret(1, &secret);
    world.does(&enrol);
    let (_, text) = world.token(None);
    let installed = world.by_token(1, &text);
    world.does(&installed);
    world.does(&RotateRing {
        key: Secret::new("ring-secret"),
        reason: "test".into(),
    });
    let token_secret = text.expose().split('-').nth(2).unwrap();
    for event in world.view.events_after(0) {
        let all = format!("{event:?}");
        for hidden in [secret.expose(), token_secret, "ring-secret"] {
            assert!(!all.contains(hidden), "{all}");
        }
    }
    assert!(
        !format!("{:?}", world.view).contains(secret.expose()),
        "nor in any Debug"
    );
    assert_eq!(installed.kind, KeyKind::Installed);
}
