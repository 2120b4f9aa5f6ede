//! Boot helpers: whose agent may be one, and for how long.

use super::*;
use crate::state::{
    helper::{CannotHelp, may_help},
    member::Member,
};

pub(super) fn set(world: &mut World, role: Option<&[&str]>) -> Result<Machine, HelperError> {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    world.does(&SetHelper {
        machine: MachineRef("web1".into()),
        role: role.map(names),
        by: "ann".into(),
    })
}

/// Why not, in a word.
fn cannot(world: &mut World) -> CannotHelp {
    match set(world, Some(&[])) {
        Err(HelperError::Cannot(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// A machine whose agent could be a helper: an installed OS, proved by T2, that gossips.
pub(super) fn able() -> World {
    let mut world = World::new();
    world.registered(1);
    world.joins(1);
    member(&mut world, |member| {
        member.habitat = Habitat::InstalledOs;
        member.kind = KeyKind::Installed;
        member.gossip_port = Some(4849);
        member.abilities = Ability::OURS.to_vec();
    });
    key(&mut world, Level::T2);
    world
}

fn member(world: &mut World, change: impl FnOnce(&mut Member)) {
    let id = world.machine(1).id;
    let mut member = Member::clone(world.view.member(&id).unwrap());
    change(&mut member);
    world.view.absorb(&Record::Member(member.into()).into());
}

fn key(world: &mut World, level: Level) {
    let id = world.machine(1).id;
    let serial = world.view.member(&id).unwrap().serial.clone();
    let mut key = EnrolledKey::clone(world.view.key(&serial).unwrap());
    key.level = level;
    world.view.absorb(&Record::EnrolledKey(key.into()).into());
}

#[test]
fn a_role_is_given_once_changed_and_taken_away() {
    let mut world = able();
    let given = set(&mut world, Some(&[])).unwrap();
    assert_eq!(given.helper.as_ref().unwrap().by, "ann");
    assert_eq!(
        world.last_told(),
        "helper.on: ann made web1 a boot helper for its segments"
    );
    let told = world.told().len();
    world.pass(60);
    assert_eq!(set(&mut world, Some(&[])).unwrap(), given, "as it was");
    assert_eq!(world.told().len(), told, "nothing is told of it");
    let other = set(&mut world, Some(&["eth1", "br-lan.7"])).unwrap();
    assert_eq!(other.helper.unwrap().interfaces, ["eth1", "br-lan.7"]);
    for bad in ["", "eth1; reboot", "abcdefghijklmnop", "a/b"] {
        assert!(matches!(
            set(&mut world, Some(&[bad])),
            Err(HelperError::Interfaces)
        ));
    }
    assert_eq!(set(&mut world, None).unwrap().helper, None);
    assert_eq!(
        world.last_told(),
        "helper.off: ann ended web1's work as a boot helper"
    );
    let told = world.told().len();
    set(&mut world, None).unwrap();
    assert_eq!(world.told().len(), told);
}

#[test]
fn who_cannot_answer_for_others_is_told_why() {
    let mut world = World::new();
    world.registered(1);
    assert!(matches!(cannot(&mut world), CannotHelp::NotAccepted(_)));
    let mut t1 = able();
    key(&mut t1, Level::T1);
    assert!(matches!(cannot(&mut t1), CannotHelp::LevelTooLow(_)));
    let mut leaf = able();
    member(&mut leaf, |m| m.gossip_port = None);
    assert!(matches!(cannot(&mut leaf), CannotHelp::Leaf(_)));
    let mut management = able();
    member(&mut management, |m| m.habitat = Habitat::ManagementOs);
    assert!(matches!(cannot(&mut management), CannotHelp::Management(_)));
    let mut old = able();
    member(&mut old, |m| m.abilities = vec![Ability::OnePartition]);
    assert!(matches!(cannot(&mut old), CannotHelp::TooOld(_)));
    let text = cannot(&mut old).to_string();
    assert!(text.starts_with("web1's agent is too old"), "{text}");
}

#[test]
fn a_role_counts_only_while_its_machine_may_have_it() {
    let mut world = able();
    set(&mut world, Some(&[])).unwrap();
    let helps = |world: &World| may_help(&world.view, &world.machine(1)).is_ok();
    assert!(helps(&world));
    member(&mut world, |m| m.gossip_port = None);
    assert!(!helps(&world), "its agent came back as a leaf");
    member(&mut world, |m| m.gossip_port = Some(4849));
    key(&mut world, Level::T1);
    assert!(!helps(&world));
    key(&mut world, Level::T2);
    let revoke = RefuseMachine {
        machine: MachineRef("web1".into()),
        by: "ann".into(),
    };
    world.does(&revoke).unwrap();
    assert!(!helps(&world), "its key does not count any more");
    assert!(
        set(&mut world, None).is_ok(),
        "the role can always be taken away"
    );
}
