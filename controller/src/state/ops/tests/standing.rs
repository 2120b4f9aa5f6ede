//! Which of several configs a machine gets: one-shot, its own standing one, those of selectors by priority. Who waits for a
//! better proved key, or for a person, is in `proved`.

mod proved;

use std::collections::BTreeMap;

use ipxe::BootPlan;
use mesh_proto::message::enrol::Level;

use super::*;
use crate::state::{
    activation::{Activation, Kind, Nonce, Stage},
    config::{Asset, BootConfig, Evidence, Program},
    policy::Discovery,
};

/// A world without discovery, with web1 (pool web, rack r3) and a config for each name.
fn world() -> World {
    let mut world = World::new();
    world.policy(|p| p.discovery = Discovery::Off);
    world.registered(1);
    label(&mut world, "web1", &[("pool", "web"), ("rack", "r3")]);
    for name in ["once", "own", "web", "rack"] {
        set(&mut world, config(name));
    }
    world
}

/// web1 boots the management OS, and its agent proves a key at T1.
fn joins(world: &mut World) {
    world.policy(|p| p.discovery = Discovery::Registered);
    world.joins(1);
    world.policy(|p| p.discovery = Discovery::Off);
}

fn config(name: &str) -> BootConfig {
    let program = Program::Kernel {
        kernel: Asset::kept("vmlinuz", &"ab".repeat(32), 7),
        initrds: Vec::new(),
        cmdline: format!("config={name}"),
    };
    let name = name.parse().unwrap();
    BootConfig::new(name, program, BTreeMap::new(), Evidence::Callback)
}

fn set(world: &mut World, config: BootConfig) {
    world.does(&SetConfig(config)).unwrap();
}

fn label(world: &mut World, machine: &str, labels: &[(&str, &str)]) {
    let text = |t: &str| t.parse().unwrap();
    let labels = labels.iter().map(|(k, v)| (text(k), Some(text(v))));
    let update = UpdateMachine {
        machine: MachineRef(machine.to_owned()),
        name: None,
        local_boot: None,
        owner: None,
        labels: labels.collect(),
    };
    world.does(&update).unwrap();
}

fn nonce(world: &mut World) -> Nonce {
    Nonce::from_random(world.fresh().into())
}

fn activate(world: &mut World, config: &str, kind: Kind) -> Result<Activation, ActivateError> {
    let activate = Activate {
        machine: MachineRef("web1".to_owned()),
        config: config.parse().unwrap(),
        kind,
        until: None,
        nonce: nonce(world),
    };
    world.does(&activate)
}

fn selected(
    world: &mut World,
    (selector, priority): (&str, i32),
    config: &str,
    kind: Kind,
) -> Result<Vec<ForMachine>, ActivateError> {
    let activate = ActivateSelected {
        selector: selector.parse().unwrap(),
        priority,
        config: config.parse().unwrap(),
        kind,
        until: None,
        by: "ann".to_owned(),
        nonces: (0..4).map(|_| nonce(world)).collect(),
    };
    world.does(&activate)
}

/// The config that the machine boots now, or `disk`.
#[track_caller]
fn boots(world: &mut World) -> String {
    let session = format!("s{}", world.fresh());
    match world.asks(card(1), &session, Some(ip(1))).plan {
        BootPlan::Config(ipxe::ConfigBoot::Kernel(kernel)) => {
            let (_, name) = kernel.cmdline.split_once("config=").unwrap();
            name.split(' ').next().unwrap().to_owned()
        }
        BootPlan::LocalDisk(_) => "disk".to_owned(),
        other => panic!("{other:?}"),
    }
}

fn done(nonce: &Nonce) -> Callback {
    Callback {
        nonce: nonce.clone(),
        failure: None,
    }
}

#[test]
fn a_one_shot_comes_first_then_its_own_standing_config_then_selectors_by_priority() {
    let mut world = world();
    selected(&mut world, ("pool=web", 1), "web", Kind::Standing).unwrap();
    selected(&mut world, ("rack=r3", 5), "rack", Kind::Standing).unwrap();
    assert_eq!(boots(&mut world), "rack", "the higher priority");
    let why = world.asks(card(1), "w", Some(ip(1))).why[0].found.clone();
    assert!(
        why.contains("standing for rack=r3 with priority 5"),
        "{why}"
    );
    activate(&mut world, "own", Kind::Standing).unwrap();
    assert_eq!(boots(&mut world), "own");
    let once = activate(&mut world, "once", Kind::OneShot).unwrap();
    assert_eq!(boots(&mut world), "once");

    assert_eq!(world.does(&done(&once.nonce)), CallbackAnswer::Closed);
    for _ in 0..30 {
        assert_eq!(boots(&mut world), "own", "standing has no cap");
    }
    let end = Deactivate(MachineRef("web1".to_owned()));
    assert_eq!(world.does(&end).unwrap().config.name.to_string(), "own");
    assert_eq!(boots(&mut world), "rack");
    let rack = DeactivateSelected {
        selector: "rack=r3".parse().unwrap(),
        within: None,
        by: "ann".to_owned(),
    };
    assert_eq!(world.does(&rack).unwrap().len(), 1);
    assert_eq!(boots(&mut world), "web");
    world.does(&end).unwrap();
    assert_eq!(boots(&mut world), "disk");
    assert!(matches!(
        world.does(&rack),
        Err(ActivateError::NotActive(_))
    ));
}

#[test]
fn of_equal_priorities_the_older_stays() {
    let mut world = world();
    selected(&mut world, ("rack=r3", 2), "rack", Kind::Standing).unwrap();
    selected(&mut world, ("pool=web", 2), "web", Kind::Standing).unwrap();
    assert_eq!(boots(&mut world), "rack");
}

#[test]
fn a_spent_config_is_armed_again_by_activating_it_again() {
    let mut world = world();
    let first = activate(&mut world, "once", Kind::OneShot).unwrap();
    let again = activate(&mut world, "once", Kind::OneShot);
    assert!(matches!(again, Err(ActivateError::AlreadyActive { .. })));
    world.does(&done(&first.nonce));
    assert_eq!(boots(&mut world), "disk", "it is spent");
    let second = activate(&mut world, "once", Kind::OneShot).unwrap();
    assert_ne!(first.nonce, second.nonce);
    assert_eq!(boots(&mut world), "once");
    world.does(&done(&first.nonce));
    assert_eq!(
        boots(&mut world),
        "once",
        "a late word about the first says nothing about the second"
    );
}

#[test]
fn a_selector_makes_one_activation_for_each_machine_it_means_and_tells_who_cannot_have_it() {
    let mut world = world();
    world.registered(2);
    world.registered(3);
    label(&mut world, "web2", &[("pool", "web")]);
    activate(&mut world, "own", Kind::OneShot).unwrap();

    let all = selected(&mut world, ("pool=web", 0), "once", Kind::OneShot).unwrap();
    let told: Vec<_> = all.iter().map(|(n, a)| (n.as_str(), a.is_ok())).collect();
    assert_eq!(
        told,
        [("web1", false), ("web2", true)],
        "web1 has another one, web3 is not meant"
    );
    label(&mut world, "web3", &[("pool", "web")]);
    let all = selected(&mut world, ("pool=web,!rack", 0), "once", Kind::OneShot).unwrap();
    let told: Vec<_> = all.iter().map(|(n, a)| (n.as_str(), a.is_ok())).collect();
    assert_eq!(told, [("web2", false), ("web3", true)], "what is due stays");
    let ids: Vec<_> = world.view.activations().map(|a| a.id).collect();
    assert_eq!(ids.len(), 3, "each has a number of its own");
    let nobody = selected(&mut world, ("pool=mail", 0), "once", Kind::OneShot);
    assert!(matches!(nobody, Err(ActivateError::NobodySelected(_))));
}

#[test]
fn what_a_selector_made_due_stays_due_where_somebody_else_has_the_machine() {
    let mut world = world();
    world.registered(2);
    label(&mut world, "web2", &[("pool", "web")]);
    selected(&mut world, ("pool=web", 0), "web", Kind::Standing).unwrap();
    world.reserves("local:root", "carl", 2).unwrap();
    let end = DeactivateSelected {
        selector: "pool=web".parse().unwrap(),
        within: None,
        by: "ann".to_owned(),
    };
    let closed = world.does(&end).unwrap();
    let of: Vec<_> = closed.iter().map(|a| a.machine.clone()).collect();
    assert_eq!(of, [world.machine(2).id]);
    assert_eq!(boots(&mut world), "web", "carl has web1");
    assert!(matches!(world.does(&end), Err(ActivateError::Held(_))));
    let carls = DeactivateSelected {
        by: "carl".to_owned(),
        ..end
    };
    assert_eq!(world.does(&carls).unwrap().len(), 1);
}

#[test]
fn what_writes_to_a_disk_is_never_standing() {
    let mut world = world();
    let installs = BootConfig {
        writes_disk: true,
        ..config("once")
    };
    set(&mut world, installs);
    let refused = Err(ActivateError::WritesDisk("once".parse().unwrap()));
    assert_eq!(activate(&mut world, "once", Kind::Standing), refused);
    let all = selected(&mut world, ("pool=web", 0), "once", Kind::Standing);
    assert!(matches!(all, Err(ActivateError::WritesDisk(_))));
    activate(&mut world, "once", Kind::OneShot).unwrap();
}

#[test]
fn what_a_person_says_to_write_to_a_disk_goes_to_accepted_machines_only() {
    for writes_disk in [false, true] {
        let mut world = world();
        let program = Program::Ipxe {
            script: "kernel {{ file('vmlinuz') }} config=once\nboot".to_owned(),
            files: vec![Asset::kept("vmlinuz", &"ab".repeat(32), 7)],
        };
        for by_hand in [
            config("once"),
            BootConfig {
                program,
                ..config("once")
            },
        ] {
            let by_hand = BootConfig {
                writes_disk,
                ..by_hand
            };
            set(&mut world, by_hand);
            activate(&mut world, "once", Kind::OneShot).unwrap();
            let session = format!("s{}", world.fresh());
            let first = world.asks(card(1), &session, Some(ip(1)));
            let is_config = matches!(first.plan, BootPlan::Config(_));
            let accepted = world.machine(1).standing == Standing::Accepted;
            assert_eq!(is_config, accepted || !writes_disk, "{first:?}");
            if !is_config {
                let why = &first.why[0].found;
                assert!(
                    why.contains("writes to a disk, and web1 is not accepted"),
                    "{why}"
                );
                // The management OS comes first, is accepted by its secret, and goes on by itself.
                world.joins(1);
                assert_eq!(boots(&mut world), "once");
            }
            world
                .does(&Deactivate(MachineRef("web1".to_owned())))
                .unwrap();
        }
    }
}

#[test]
fn a_kernel_whose_evidence_is_the_agents_word_is_told_which_boot_to_report() {
    let mut world = world();
    let reported = BootConfig {
        evidence: Evidence::Agent,
        ..config("once")
    };
    set(&mut world, reported);
    let armed = activate(&mut world, "once", Kind::OneShot).unwrap();
    match world.asks(card(1), "a", Some(ip(1))).plan {
        BootPlan::Config(ipxe::ConfigBoot::Kernel(kernel)) => assert_eq!(
            kernel.cmdline,
            format!("config=once enforcer.nonce={}", armed.nonce)
        ),
        other => panic!("{other:?}"),
    }
}
