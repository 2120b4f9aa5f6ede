//! What is lent to a helper is served once, by it alone, whatever crashes, is lost or takes too long.

mod play;

use std::collections::BTreeMap;

use mesh_proto::message::delegation::{Delegation, LIVES_S, MARGIN_S};

use super::{
    helpers::{able, set},
    *,
};
use crate::state::{
    activation::{Activation, Kind, Stage},
    config::{Asset, BootConfig, Evidence, Program},
    policy::Discovery,
};

/// A config whose one file is its evidence.
fn config(world: &mut World, evidence: Evidence) {
    let program = Program::Kernel {
        kernel: Asset::kept("vmlinuz", &"ab".repeat(32), 4),
        initrds: Vec::new(),
        cmdline: String::new(),
    };
    let name = "live".parse().unwrap();
    let config = BootConfig::new(name, program, BTreeMap::new(), evidence);
    world.does(&SetConfig(config)).unwrap();
}

fn activate(world: &mut World) -> Activate {
    Activate {
        machine: MachineRef("web2".into()),
        config: "live".parse().unwrap(),
        kind: Kind::OneShot,
        until: None,
        nonce: Nonce::from_random(world.fresh().into()),
    }
}

fn lend(world: &mut World, activate: Activate) -> Result<Activation, ActivateError> {
    let helper = MachineRef("web1".into());
    world.does(&ActivateLent { activate, helper })
}

/// web1 is a helper, web2 a machine that has what is due.
fn room() -> World {
    let mut world = able();
    world.policy(|p| p.discovery = Discovery::Off);
    set(&mut world, Some(&[])).unwrap();
    world.registered(2);
    config(&mut world, Evidence::Fetched);
    world
}

fn lent(world: &mut World) -> Activation {
    let activate = activate(world);
    lend(world, activate).unwrap()
}

fn delegation(world: &mut World) -> Delegation {
    let helper = world.machine(1).id;
    let programs = BTreeMap::new();
    world.does(&Delegate { helper, programs })
}

fn is_served(decision: &Decision) -> bool {
    matches!(decision.plan, BootPlan::Config(_))
}

fn stage(world: &World, id: crate::state::activation::ActivationId) -> Stage {
    world.view.activation(id).unwrap().stage
}

#[test]
fn it_is_ours_until_it_is_delegated_then_its_holders_alone_and_after_its_time_a_persons() {
    let mut world = room();
    let lent = lent(&mut world);
    let all = delegation(&mut world);
    let boot = all.boots().next().unwrap();
    assert_eq!(boot.nonce, lent.nonce.to_string());
    assert!(boot.script.contains("http://helper.invalid/boot/n/"));
    assert_eq!((boot.lives_s, all.lives_s), (LIVES_S, LIVES_S));
    assert!(!is_served(&world.asks(card(2), "s1", None)));
    let fetch = BeginFetch {
        nonce: lent.nonce.clone(),
        name: "vmlinuz".into(),
        session: Some("s1".into()),
        asker: ip(2),
        is_its_address: true,
    };
    assert!(matches!(world.does(&fetch), FetchAnswer::Refused(_)));
    // Asked again within minutes it is the same, and nothing is written.
    world.pass(60);
    let told = world.told().len();
    let again = delegation(&mut world);
    assert_eq!(again.boots().next().unwrap().lives_s, LIVES_S - 60);
    world.pass(3600);
    let later = delegation(&mut world);
    assert_eq!(later.boots().next().unwrap().lives_s, LIVES_S, "moved on");
    assert_eq!(world.told().len(), told);
    world.pass(LIVES_S + MARGIN_S - 1);
    world.does(&ExpireOverdue);
    assert_eq!(stage(&world, lent.id), Stage::Armed);
    world.pass(1);
    assert!(
        !is_served(&world.asks(card(2), "s2", None)),
        "also before that is written"
    );
    world.does(&ExpireOverdue);
    assert_eq!(stage(&world, lent.id), Stage::Expired);
    assert!(
        world.last_told().contains("lent to web1"),
        "{}",
        world.last_told()
    );
    assert!(delegation(&mut world).boots().next().is_none());
}

#[test]
fn what_we_began_to_serve_stays_ours_and_what_a_helper_cannot_end_is_not_lent() {
    let mut world = room();
    lent(&mut world);
    assert!(is_served(&world.asks(card(2), "s1", None)));
    assert!(delegation(&mut world).boots().next().is_none());
    assert!(is_served(&world.asks(card(2), "s2", None)));

    let why = |world: &mut World, change: fn(&mut Activate)| {
        let mut wish = activate(world);
        change(&mut wish);
        lend(world, wish).unwrap_err().to_string()
    };
    let mut world = room();
    config(&mut world, Evidence::Agent);
    assert!(why(&mut world, |_| {}).contains("an agent's report"));
    config(&mut world, Evidence::Fetched);
    assert!(why(&mut world, |a| a.kind = Kind::Standing).contains("standing"));
    set(&mut world, None).unwrap();
    assert!(why(&mut world, |_| {}).contains("is no boot helper"));
    assert_eq!(world.view.activations().count(), 0, "nothing was armed");
}

#[test]
fn a_helper_is_told_of_the_machines_that_it_hears_and_of_no_others() {
    let mut world = room();
    world.registered(3);
    let (mac, first) = (card(2), world.machine(1).id);
    let hear = |world: &mut World, helper| world.does(&HeardBy { mac, helper });
    hear(&mut world, first.clone());
    hear(&mut world, first.clone());
    // One that is no helper any more makes room, and counts for nobody's place.
    hear(&mut world, MachineId::from_random(77));
    assert_eq!(world.machine(2).heard_by.len(), 2);
    let all = delegation(&mut world);
    let names: Vec<_> = all.machines.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["web2"]);
    assert_eq!((all.machines[0].rank, &all.machines[0].boot), (0, &None));
    let helper = MachineId::from_random(77);
    let programs = BTreeMap::new();
    let other = world.does(&Delegate { helper, programs });
    assert!(other.machines.is_empty(), "it has no role");

    let standing = Activate {
        kind: Kind::Standing,
        ..activate(&mut world)
    };
    world.does(&standing).unwrap();
    let all = delegation(&mut world);
    let boot = all.machines[0].boot.as_ref().unwrap();
    assert!(boot.once.is_none() && boot.script.contains("vmlinuz"));
    assert!(is_served(&world.asks(card(2), "s1", None)), "and by us");
}

#[test]
fn who_has_what_is_lent_comes_first_and_the_others_after_it_in_their_order() {
    let mut world = room();
    let role = world.machine(1).helper.clone();
    let mac = card(2);
    for n in [3, 4] {
        world.registered(n);
        let mut other = world.machine(n);
        other.helper = role.clone();
        world.view.absorb(&Record::Machine(other.into()).into());
    }
    let ids = [3, 4, 1].map(|n| world.machine(n).id);
    for helper in ids.clone() {
        world.does(&HeardBy { mac, helper });
    }
    let ranks = |world: &mut World| {
        ids.clone().map(|helper| {
            let programs = BTreeMap::new();
            let all = world.does(&Delegate { helper, programs });
            all.machines[0].rank
        })
    };
    assert_eq!(ranks(&mut world), [0, 1, 2], "as they were heard");
    // The others are asked before the holder has it, and after.
    lent(&mut world);
    for _ in 0..2 {
        assert_eq!(ranks(&mut world), [1, 2, 0]);
    }
}
