//! What the mesh changes about booting: the secret, the management OS that comes first, the agent's evidence.

use std::collections::BTreeMap;

use ipxe::BootPlan;

use super::*;
use crate::state::{
    activation::{Activation, Kind, Nonce, Stage},
    boot::next_boot_wanted,
    config::{BootConfig, Evidence, Program},
    policy::{Accept, Discovery},
};

pub(super) fn activate(world: &mut World, script: &str, evidence: Evidence) -> Activation {
    let program = Program::Ipxe {
        script: script.to_owned(),
        files: Vec::new(),
    };
    let name = "live".parse().unwrap();
    let config = BootConfig::new(name, program, BTreeMap::new(), evidence);
    world.does(&SetConfig(config)).unwrap();
    let activate = Activate {
        machine: MachineRef("web1".into()),
        config: "live".parse().unwrap(),
        kind: Kind::OneShot,
        until: None,
        nonce: Nonce::from_random(u128::from(world.fresh())),
    };
    world.does(&activate).unwrap()
}

fn cmdline(decision: &Decision) -> String {
    match &decision.plan {
        BootPlan::Management(kernel) => kernel.cmdline.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_secret_goes_to_the_address_that_dhcp_knows_and_to_nobody_else() {
    let mut world = World::new();
    world.registered(1);
    let stranger = world.asks(card(1), "a", None);
    assert!(matches!(stranger.plan, BootPlan::Management(_)) && stranger.secret.is_none());
    assert!(world.machine(1).discovery.is_none(), "and nothing changes");
    let first = world.asks(card(1), "b", Some(ip(1))).secret.unwrap();
    assert_eq!(
        world.asks(card(1), "b", Some(ip(1))).secret.as_ref(),
        Some(&first),
        "a retry"
    );
    assert!(world.asks(card(1), "b", None).secret.is_none());
    assert!(world.asks(card(1), "b", Some(ip(2))).secret.is_none());
    let still = world.by_secret(1, &first);
    granted(world.does(&still));
    assert!(
        world.asks(card(1), "b", Some(ip(1))).secret.is_none(),
        "it was used"
    );
    world.pass(24 * 3600);
    let next = world.asks(card(1), "c", Some(ip(1))).secret.unwrap();
    assert_ne!(next, first);
}

#[test]
fn the_management_os_is_told_where_its_controller_is() {
    let mut world = World::new();
    world.registered(1);
    let decision = world.asks(card(1), "0123abcd", Some(ip(1)));
    let line = cmdline(&decision);
    let ca = Digest::of(b"ca");
    for word in [
        "enforcer.controller=10.0.0.1:4848",
        "enforcer.site=home",
        &format!("enforcer.ca={ca}"),
        "enforcer.session=0123abcd",
        "enforcer.machine=web1",
    ] {
        assert!(line.split(' ').any(|w| w == word), "{word} in {line}");
    }
    assert!(
        !line.contains("secret"),
        "it is added to the script that is served only"
    );
    world.pass(24 * 3600);
    let nasty = world.asks(card(1), "a enforcer.site=evil", Some(ip(1)));
    assert!(!cmdline(&nasty).contains("evil"));
    world.policy(|p| p.mesh = None);
    world.pass(24 * 3600);
    let without = world.asks(card(1), "d", None);
    assert!(!cmdline(&without).contains("enforcer.controller") && without.secret.is_none());
    assert_eq!(
        world.machine(1).discovery.unwrap().session,
        "d",
        "the day's boot is counted as ever"
    );
}

#[test]
fn a_machine_whose_facts_are_known_is_not_discovered_again() {
    let mut world = World::new();
    world.registered(1);
    world.joins(1);
    world.pass(48 * 3600);
    for discovery in [Discovery::Registered, Discovery::All] {
        world.policy(|p| p.discovery = discovery);
        let decision = world.asks(card(1), "x", Some(ip(1)));
        assert!(
            matches!(decision.plan, BootPlan::LocalDisk(_)),
            "{decision:?}"
        );
        assert!(
            decision.why[1].found.contains("its hardware is known"),
            "{:?}",
            decision.why
        );
    }
}

#[test]
fn a_person_may_want_the_management_os_once_more() {
    let mut world = World::new();
    world.registered(1);
    for _ in 0..3 {
        let key = world.joins(1);
        world.silent(1);
        let decision = world.asks(card(1), "own", Some(ip(1)));
        assert!(
            matches!(decision.plan, BootPlan::LocalDisk(_)),
            "{decision:?}"
        );
        let inspect = InspectMachine(MachineRef("web1".into()));
        assert!(world.does(&inspect).unwrap().inspect.is_some());
        let before = world.view.keys().count();
        assert!(world.view.key(&key.serial).is_some() && before < 5);
    }
    world.pass(24 * 3600);
    let decision = world.asks(card(1), "late", Some(ip(1)));
    assert!(
        matches!(decision.plan, BootPlan::LocalDisk(_)),
        "a wish is forgotten after a day"
    );
}

#[test]
fn a_template_that_needs_facts_waits_for_them_and_then_goes_on() {
    let mut world = World::new();
    world.policy(|p| p.discovery = Discovery::Off);
    world.registered(1);
    let armed = activate(
        &mut world,
        "echo {{ machine.facts.disks[0].serial }}",
        Evidence::Callback,
    );
    // A boot that had its day's discovery is no reason to wait: a person wants this.
    for session in ["a", "b"] {
        let decision = world.asks(card(1), session, Some(ip(1)));
        assert!(
            matches!(decision.plan, BootPlan::Management(_)),
            "{decision:?}"
        );
        assert!(
            decision.why[0]
                .found
                .contains("live is due, but its template needs"),
            "{:?}",
            decision.why
        );
        assert!(
            decision.why[1].found.contains("it comes first"),
            "{:?}",
            decision.why
        );
    }
    assert_eq!(world.view.activation(armed.id).unwrap().stage, Stage::Armed);
    let secret = world.machine(1).discovery.unwrap().secret.unwrap().secret;
    let enrol = world.by_secret(1, &secret);
    let key = granted(world.does(&enrol)).key;
    world.links(1, &key);
    let id = world.machine(1).id;
    assert_eq!(
        next_boot_wanted(&world.view, &id, world.now),
        None,
        "nothing is known yet"
    );
    world.tells(&key, examples::facts(1)).unwrap();
    let why = next_boot_wanted(&world.view, &id, world.now).unwrap();
    assert_eq!(why, "live is due");
    let reboot = IssueCommand {
        machine: MachineRef("web1".into()),
        command: mesh_proto::message::command::Command::Reboot,
        ttl_ms: 1000,
        by: Giver::Controller("enforcer".into()),
    };
    world.does(&reboot).unwrap();
    assert_eq!(
        next_boot_wanted(&world.view, &id, world.now),
        None,
        "it was told"
    );
    let decision = world.asks(card(1), "c", Some(ip(1)));
    match decision.plan {
        BootPlan::Config(ipxe::ConfigBoot::Script(script)) => assert_eq!(script, "echo DISK-1"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn with_manual_acceptance_the_config_waits_for_a_person() {
    let mut world = World::new();
    world.policy(|p| (p.accept, p.discovery) = (Accept::Manual, Discovery::Off));
    world.registered(1);
    activate(&mut world, "echo {{ name }}", Evidence::Callback);
    let decision = world.asks(card(1), "a", Some(ip(1)));
    assert!(
        matches!(decision.plan, BootPlan::Management(_)),
        "{decision:?}"
    );
    assert!(
        decision.why[0]
            .found
            .contains("a person has to accept web1"),
        "{:?}",
        decision.why
    );
    let enrol = world.by_secret(1, &decision.secret.unwrap());
    let pending = waits(world.does(&enrol));
    let key = world
        .accepts("web1", Some(&pending.code))
        .unwrap()
        .grant
        .unwrap()
        .key;
    world.links(1, &key);
    let id = world.machine(1).id;
    assert!(next_boot_wanted(&world.view, &id, world.now).is_some());
    let decision = world.asks(card(1), "b", Some(ip(1)));
    assert!(matches!(decision.plan, BootPlan::Config(_)), "{decision:?}");
    world.silent(1);
    assert_eq!(
        next_boot_wanted(&world.view, &id, world.now),
        None,
        "nobody to tell"
    );
}

#[test]
fn without_a_management_os_what_waits_falls_to_the_disk_and_says_so() {
    let mut world = World::new();
    world.policy(|p| p.management.clear());
    world.registered(1);
    activate(
        &mut world,
        "echo {{ machine.facts.arch }}",
        Evidence::Callback,
    );
    let decision = world.asks(card(1), "a", Some(ip(1)));
    assert!(matches!(decision.plan, BootPlan::LocalDisk(_)));
    assert!(
        decision.why[1].found.contains("management-os build"),
        "{:?}",
        decision.why
    );
}

#[test]
fn only_the_machines_own_agent_closes_what_wants_its_report() {
    let mut world = World::new();
    world.registered(1);
    world.registered(2);
    let (own, other) = (world.joins(1), world.joins(2));
    let armed = activate(&mut world, "echo {{ nonce }}", Evidence::Agent);
    let callback = Callback {
        nonce: armed.nonce.clone(),
        failure: None,
    };
    assert_eq!(
        world.does(&callback),
        CallbackAnswer::Ignored,
        "anybody who saw the script could call"
    );
    let report = |key: &EnrolledKey| ReportBoot {
        serial: key.serial.clone(),
        nonce: armed.nonce.clone(),
        failure: None,
    };
    assert_eq!(world.does(&report(&other)), CallbackAnswer::Unknown);
    assert_eq!(world.view.activation(armed.id).unwrap().stage, Stage::Armed);
    assert_eq!(world.does(&report(&own)), CallbackAnswer::Closed);
    assert_eq!(
        world.view.activation(armed.id).unwrap().stage,
        Stage::Confirmed
    );
    assert_eq!(world.does(&report(&own)), CallbackAnswer::Ignored);
}
