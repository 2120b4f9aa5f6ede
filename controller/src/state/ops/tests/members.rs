//! Links, generations, verdicts, facts, renewal.

use mesh_proto::message::RefusalCode;

use super::*;
use crate::state::{
    member::MemberState,
    trust::admit::{Admission, admit},
};

#[test]
fn every_hello_gets_a_higher_generation() {
    let mut world = World::new();
    world.registered(1);
    let key = world.joins(1);
    let mut last = world.view.member(&key.machine).unwrap().generation;
    for remembered in [0, 3, 2, 40, 39, u32::MAX] {
        let mut open = world.open(1, &key);
        open.last_generation = remembered;
        let next = world.does(&open).unwrap().member.generation;
        assert!(next > last, "{next} after {last}");
        assert!(remembered == u32::MAX || next > remembered);
        last = next;
    }
    assert!(last < 100, "what an agent invents is not believed");
}

#[test]
fn verdicts_are_told_with_since_and_why_and_only_about_their_generation() {
    let mut world = World::new();
    world.registered(1);
    let key = world.joins(1);
    let member = |world: &World| (**world.view.member(&key.machine).unwrap()).clone();
    let verdict = |world: &mut World, generation, state, why: &str| {
        let verdict = LinkVerdict {
            machine: key.machine.clone(),
            generation,
            state,
            why: why.into(),
        };
        world.does(&verdict);
    };
    let generation = member(&world).generation;
    world.pass(10);
    verdict(
        &mut world,
        generation,
        MemberState::Unreachable,
        "silent for 6 s",
    );
    let now = member(&world);
    assert_eq!(
        (now.state, now.since, now.why.as_str()),
        (MemberState::Unreachable, world.now, "silent for 6 s")
    );
    world.pass(5);
    verdict(&mut world, generation, MemberState::Down, "silent for 11 s");
    assert_eq!(
        world.last_told(),
        "member.down: web1 is down: silent for 11 s"
    );
    let opened = world.links(1, &key);
    assert!(
        world.last_told().contains("is back, it was down"),
        "{}",
        world.last_told()
    );
    verdict(&mut world, generation, MemberState::Down, "late");
    assert_eq!(
        member(&world).state,
        MemberState::Alive,
        "a verdict about an earlier hello"
    );
    verdict(
        &mut world,
        opened.member.generation,
        MemberState::Left,
        "it said goodbye",
    );
    assert_eq!(member(&world).state, MemberState::Left);
    let told = world.told();
    assert!(
        told.ends_with(
            &[
                "member.unreachable",
                "member.down",
                "member.alive",
                "member.left"
            ]
            .map(String::from)
        ),
        "{told:?}"
    );
}

#[test]
fn a_boot_key_is_for_its_boot_and_a_day() {
    let mut world = World::new();
    world.registered(1);
    let key = world.joins(1);
    let mut other_boot = world.open(1, &key);
    other_boot.boot_id = "another".into();
    assert_eq!(
        world.does(&other_boot).unwrap_err().code,
        RefusalCode::WrongBoot
    );
    world.pass(24 * 3600);
    let denied = admit(&world.view, &key.serial, &key.key, world.now).unwrap_err();
    assert_eq!(denied.code, RefusalCode::Expired);
    let forged = admit(
        &world.view,
        &key.serial,
        &Digest::of(b"other key"),
        world.now,
    );
    assert_eq!(forged.unwrap_err().code, RefusalCode::Revoked);
}

/// Machine 1 with an installed agent.
fn installed() -> (World, EnrolledKey) {
    let mut world = World::new();
    world.registered(1);
    let (_, text) = world.token(None);
    let enrol = world.by_token(1, &text);
    let key = granted(world.does(&enrol)).key;
    world.links(1, &key);
    world.tells(&key, examples::facts(1)).unwrap();
    (world, key)
}

fn renewal(key: &EnrolledKey, to: Digest, fresh: &str) -> RenewKey {
    RenewKey {
        serial: key.serial.clone(),
        shown: key.key,
        key: to,
        fresh: Serial::new(fresh),
        boot_id: None,
    }
}

#[test]
fn an_installed_key_renews_also_after_a_year_and_the_old_one_ends_when_the_new_is_used() {
    let (mut world, key) = installed();
    world.pass(365 * 24 * 3600);
    assert_eq!(
        admit(&world.view, &key.serial, &key.key, world.now),
        Ok(Admission::RenewalOnly)
    );
    let open = world.open(1, &key);
    assert_eq!(world.does(&open).unwrap_err().code, RefusalCode::Expired);
    let grant = world.does(&renewal(&key, key.key, "aaaa")).unwrap();
    assert!(grant.key.expires > world.now && grant.key.level == key.level);
    // The answer got lost: it may ask again by the old one.
    let again = world.does(&renewal(&key, key.key, "bbbb")).unwrap().key;
    let opened = world.links(1, &again);
    assert_eq!(opened.superseded.len(), 2);
    assert!(admit(&world.view, &key.serial, &key.key, world.now).is_err());
    // A new key (rotate-keys) inherits the level, not the code.
    let rotated = world
        .does(&renewal(&again, Digest::of(b"new"), "cccc"))
        .unwrap()
        .key;
    assert_eq!((rotated.level, rotated.code), (Level::T2, None));
}

#[test]
fn renewals_that_are_never_used_are_bounded() {
    let (mut world, key) = installed();
    let mut granted = 0;
    for n in 0..50 {
        granted += u32::from(
            world
                .does(&renewal(&key, key.key, &format!("{n:08x}")))
                .is_ok(),
        );
    }
    assert!(granted < 10, "{granted}");
}

#[test]
fn facts_are_kept_with_what_changed() {
    let (mut world, key) = installed();
    assert!(!world.links(1, &key).facts_wanted);
    let mut facts = examples::facts(1);
    facts.memory.bytes = 16 << 30;
    assert_eq!(
        world.tells(&key, facts.clone()),
        Ok(vec!["memory 8 GiB -> 16 GiB".to_owned()])
    );
    assert_eq!(
        world.last_told(),
        "machine.hardware-changed: web1 changed: memory 8 GiB -> 16 GiB"
    );
    assert!(
        world.links(1, &key).facts_wanted,
        "the agent has others than we"
    );
    for n in 0..40 {
        facts.memory.bytes += 1 << 30;
        world.pass(n);
        world.tells(&key, facts.clone()).unwrap();
    }
    let record = world.view.facts(&key.machine).unwrap();
    assert_eq!(record.history.len(), 20);
    assert_eq!(
        record.history.last().unwrap().what,
        ["memory 55 GiB -> 56 GiB"]
    );
    let commits = world.told().len();
    assert_eq!(world.tells(&key, facts), Ok(Vec::new()), "nothing new");
    assert_eq!(world.told().len(), commits);
}

#[test]
fn a_card_that_was_taken_out_is_free_for_another_machine() {
    let (mut world, key) = installed();
    let mut facts = examples::facts(1);
    let moved = facts.nics.pop().unwrap();
    world.tells(&key, facts).unwrap();
    assert_eq!(world.machine(1).macs.len(), 1);
    let (_, text) = world.token(None);
    let mut other = world.by_token(2, &text);
    other.facts.nics.push(moved.clone());
    let grant = granted(world.does(&other));
    assert!(grant.machine.macs.contains(&moved.mac.parse().unwrap()));
    assert_ne!(grant.machine.id, key.machine);
}

#[test]
fn an_installed_key_on_another_board_is_refused_there() {
    let (mut world, key) = installed();
    let before = world.view.facts(&key.machine).unwrap().clone();
    let clone = HardwareFacts {
        disks: examples::facts(1).disks,
        ..examples::facts(7)
    };
    assert_eq!(
        world.tells(&key, clone).unwrap_err().code,
        RefusalCode::WrongHardware
    );
    assert!(world.last_told().starts_with("machine.cloned"));
    assert_eq!(
        world.view.facts(&key.machine),
        Some(&before),
        "what is known of the machine stays"
    );
    assert_eq!(
        admit(&world.view, &key.serial, &key.key, world.now),
        Ok(Admission::Link)
    );
}

#[test]
fn a_clock_that_jumps_is_told_once_and_not_carried_on() {
    let (mut world, key) = installed();
    let stamp = world.view.stamp().unwrap().newest;
    world.pass(400 * 24 * 3600);
    world.does(&renewal(&key, key.key, "aaaa")).unwrap();
    world.does(&renewal(&key, key.key, "bbbb")).unwrap();
    assert_eq!(world.view.stamp().unwrap().newest, stamp);
    assert_eq!(
        world.told().iter().filter(|k| *k == "clock.jumped").count(),
        1
    );
    assert!(world.does(&ConfirmClock));
    assert_eq!(world.view.stamp().unwrap().newest, world.now);
    // 1970: certificates go on from where time was.
    world.now = Timestamp::UNIX_EPOCH;
    let key = world.does(&renewal(&key, key.key, "cccc")).unwrap().key;
    assert!(key.issued > stamp);
}
