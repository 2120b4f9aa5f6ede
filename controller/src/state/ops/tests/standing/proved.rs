//! What is not for every machine: configs that demand a proved key, and disks of a machine that two claim to be.

use super::*;

fn secret(level: Level) -> BootConfig {
    let answers = BTreeMap::from([("secret.cfg".to_owned(), "for proved keys".to_owned())]);
    BootConfig {
        answers,
        level: Some(level),
        ..config("once")
    }
}

fn fetch(world: &mut World, armed: &Activation, asker: u8, is_its_address: bool) -> FetchAnswer {
    world.does(&BeginFetch {
        nonce: armed.nonce.clone(),
        name: "secret.cfg".to_owned(),
        session: None,
        asker: ip(asker),
        is_its_address,
    })
}

#[test]
fn a_config_that_demands_a_proved_key_waits_in_the_management_os_and_says_for_what() {
    let mut world = world();
    for (level, words) in [(Level::T1, "by itself"), (Level::T2, "pairing code")] {
        set(&mut world, secret(level));
        let armed = activate(&mut world, "once", Kind::OneShot).unwrap();
        let decision = world.asks(card(1), "a", Some(ip(1)));
        assert!(
            matches!(decision.plan, BootPlan::Management(_)),
            "{decision:?}"
        );
        let why = &decision.why[0].found;
        assert!(why.contains(words), "{why}");
        match fetch(&mut world, &armed, 1, true) {
            FetchAnswer::Refused(why) => assert!(why.contains(words), "{why}"),
            other => panic!("{other:?}"),
        }
        let end = Deactivate(MachineRef("web1".to_owned()));
        assert_eq!(world.does(&end).unwrap().stage, Stage::Expired);
    }
}

#[test]
fn it_goes_to_the_machine_once_its_key_is_proved_as_long_as_that_holds() {
    let mut world = world();
    set(&mut world, secret(Level::T1));
    let armed = activate(&mut world, "once", Kind::OneShot).unwrap();
    let key = world.joins(1);
    assert_eq!(boots(&mut world), "once");
    assert!(matches!(
        fetch(&mut world, &armed, 1, true),
        FetchAnswer::Answer(..)
    ));
    set(&mut world, secret(Level::T2));
    let end = Deactivate(MachineRef("web1".to_owned()));
    world.does(&end).unwrap();
    let armed = activate(&mut world, "once", Kind::OneShot).unwrap();
    let decision = world.asks(card(1), "t2", Some(ip(1)));
    let why = &decision.why[0].found;
    assert!(why.contains("its key is proved at t1"), "{why}");

    world.accepts("web1", key.code.as_deref()).unwrap();
    assert_eq!(boots(&mut world), "once");
    assert!(matches!(
        fetch(&mut world, &armed, 1, true),
        FetchAnswer::Answer(..)
    ));
    world.pass(25 * 3600);
    assert!(
        matches!(fetch(&mut world, &armed, 1, true), FetchAnswer::Refused(_)),
        "the key was for one boot"
    );
}

#[test]
fn it_goes_only_to_the_address_that_dhcp_knows_or_knew_when_it_asked() {
    let mut world = world();
    joins(&mut world);
    set(&mut world, secret(Level::T1));
    let armed = activate(&mut world, "once", Kind::OneShot).unwrap();
    let stranger = world.asks(card(1), "a", None);
    assert!(
        matches!(stranger.plan, BootPlan::LocalDisk(_)),
        "{stranger:?}"
    );
    assert!(
        stranger.why[0].found.contains("only to the address"),
        "{:?}",
        stranger.why
    );
    assert!(matches!(
        fetch(&mut world, &armed, 1, false),
        FetchAnswer::Refused(_)
    ));
    assert_eq!(boots(&mut world), "once");
    let later = "the script's address is remembered: an installer asks for its last file late";
    assert!(
        matches!(fetch(&mut world, &armed, 1, false), FetchAnswer::Answer(..)),
        "{later}"
    );
    assert!(matches!(
        fetch(&mut world, &armed, 2, false),
        FetchAnswer::Refused(_)
    ));
    let moved = "the installer got another address than the firmware";
    assert!(
        matches!(fetch(&mut world, &armed, 2, true), FetchAnswer::Answer(..)),
        "{moved}"
    );
    assert!(
        matches!(fetch(&mut world, &armed, 2, false), FetchAnswer::Answer(..)),
        "{moved}"
    );
}

#[test]
fn a_disputed_machine_begins_nothing_that_writes_to_its_disk() {
    let mut world = world();
    joins(&mut world);
    let installs = BootConfig {
        writes_disk: true,
        ..config("once")
    };
    set(&mut world, installs);
    activate(&mut world, "once", Kind::OneShot).unwrap();
    let mut machine = world.machine(1);
    machine.disputed = Some(crate::state::machine::Dispute {
        newcomer: Digest::of(b"another"),
        from: ip(9),
        why: "its uuid".to_owned(),
        identity: crate::state::matching::Identity::default(),
        at: world.now,
    });
    world.view.absorb(&Record::Machine(machine.into()).into());
    let decision = world.asks(card(1), "a", Some(ip(1)));
    assert!(
        !matches!(decision.plan, BootPlan::Config(_)),
        "{decision:?}"
    );
    assert!(
        decision.why[0].found.contains("resolve web1"),
        "{:?}",
        decision.why
    );
}
