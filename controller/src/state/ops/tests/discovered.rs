//! `discovery.boot`: a config that brings other people's agents, in place of the management OS.

use std::collections::BTreeMap;

use ipxe::{BootPlan, ConfigBoot};

use super::*;
use crate::state::{
    activation::{Activation, Kind, Stage},
    config::{BootConfig, Evidence, Program},
    policy::Discovery,
};

/// A world where discovery starts `serf`, whose script names its own activation.
fn world(discovery: Discovery) -> World {
    let mut world = World::new();
    let program = Program::Ipxe {
        script: "#!ipxe\n# {{ nonce }}\n".to_owned(),
        files: Vec::new(),
    };
    let name = "serf".parse().unwrap();
    let config = BootConfig::new(name, program, BTreeMap::new(), Evidence::Callback);
    world.does(&SetConfig(config)).unwrap();
    world.policy(|p| {
        p.discovery = discovery;
        p.discovery_boot = Some("serf".parse().unwrap());
    });
    world
}

fn script(decision: &Decision) -> String {
    match &decision.plan {
        BootPlan::Config(ConfigBoot::Script(script)) => script.clone(),
        other => panic!("{other:?} {:?}", decision.why),
    }
}

fn activations(world: &World) -> Vec<Activation> {
    let all = world.view.activations();
    all.map(|a| Activation::clone(a)).collect()
}

#[test]
fn an_unknown_machine_gets_the_config_of_discovery_once_a_day() {
    let mut world = world(Discovery::All);
    let served = script(&world.asks(card(1), "s1", None));
    let [armed] = &activations(&world)[..] else {
        panic!("one activation")
    };
    assert!(armed.discovery && armed.stage == Stage::Served);
    assert!(
        served.contains(&String::from(armed.nonce.clone())),
        "{served}"
    );
    assert_eq!(world.machine(1).standing, Standing::Seen);
    assert_eq!(script(&world.asks(card(1), "s1", None)), served, "a retry");
    let again = world.asks(card(1), "s2", None);
    assert!(matches!(again.plan, BootPlan::LocalDisk(_)), "{again:?}");
    world.pass(25 * 3600);
    let next_day = script(&world.asks(card(1), "s3", None));
    assert_ne!(next_day, served);
    assert_eq!(activations(&world).len(), 2);
}

#[test]
fn who_is_not_discovered_gets_nothing_of_it() {
    let mut registered_only = world(Discovery::Registered);
    let stranger = registered_only.asks(card(1), "s1", None);
    assert_eq!(stranger.plan, BootPlan::Silent);
    registered_only.registered(1);
    script(&registered_only.asks(card(1), "s2", None));
    let mut off = world(Discovery::Off);
    off.registered(1);
    let plan = off.asks(card(1), "s1", None).plan;
    assert!(matches!(plan, BootPlan::LocalDisk(_)), "{plan:?}");
    assert_eq!(activations(&off), []);
}

#[test]
fn what_a_person_armed_comes_before_what_discovery_armed() {
    let mut world = world(Discovery::All);
    world.registered(1);
    script(&world.asks(card(1), "s1", None));
    let mut mine = BootConfig::new(
        "mine".parse().unwrap(),
        Program::Ipxe {
            script: "#!ipxe\n# mine\n".to_owned(),
            files: Vec::new(),
        },
        BTreeMap::new(),
        Evidence::Callback,
    );
    mine.writes_disk = false;
    world.does(&SetConfig(mine)).unwrap();
    let activate = Activate {
        machine: MachineRef("web1".into()),
        config: "mine".parse().unwrap(),
        kind: Kind::OneShot,
        until: None,
        nonce: Nonce::from_random(77),
    };
    world.does(&activate).unwrap();
    assert!(script(&world.asks(card(1), "s2", None)).contains("# mine"));
}

#[test]
fn a_config_that_writes_disks_or_is_not_there_is_never_discoverys() {
    let mut world = world(Discovery::All);
    let mut config = BootConfig::clone(world.view.config(&"serf".parse().unwrap()).unwrap());
    config.writes_disk = true;
    world.does(&SetConfig(config)).unwrap();
    for name in ["serf", "missing"] {
        world.policy(|p| p.discovery_boot = Some(name.parse().unwrap()));
        let decision = world.asks(card(1), "s1", None);
        assert!(
            matches!(decision.plan, BootPlan::LocalDisk(_)),
            "{decision:?}"
        );
        let told = decision
            .why
            .iter()
            .any(|w| w.rule == "discovery-boot" && !w.decided);
        assert!(told, "{:?}", decision.why);
    }
    assert_eq!(activations(&world), []);
}
