//! Members of providers: hints that become machines, and what they may never do.

use mesh_proto::message::command::Command;

use super::*;
use crate::state::{
    command::CommandStage,
    member::MemberState,
    provider::{Heard, MAX_MEMBERS, NodeName, ProviderKind, ProviderMember, ProviderName, Tags},
};

/// Enough for every event of these tests.
const ALL: usize = 1000;

fn lab() -> ProviderName {
    "lab".parse().unwrap()
}

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

fn heard(name: &str, state: MemberState, tags: &[(&str, &str)]) -> Heard {
    let tags = tags.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    Heard {
        node: node(name),
        address: Some(ip(9)),
        state,
        why: format!("serf says: {}", state.word()),
        tags: Tags::of(tags),
    }
}

/// `n1` with this card.
fn with_card(name: &str, n: u8) -> Heard {
    heard(name, MemberState::Alive, &[("mac", &card(n).to_string())])
}

fn hears(world: &mut World, heard: Vec<Heard>) -> Taken {
    let fresh_ids = heard
        .iter()
        .map(|_| MachineId::from_random(5000 + world.fresh()))
        .collect();
    world.does(&HearProvider {
        provider: lab(),
        kind: ProviderKind::Serf,
        heard,
        fresh_ids,
        may_tell: ALL,
    })
}

fn member(world: &World, name: &str) -> ProviderMember {
    let found = world.view.provider_member(&lab(), &node(name));
    ProviderMember::clone(found.unwrap())
}

fn asks(world: &mut World, machine: &str, command: Command) -> Result<String, CommandError> {
    let query = IssueQuery {
        machine: MachineRef(machine.to_owned()),
        command,
        ttl_ms: 10_000,
        by: Giver::Person("ann".to_owned()),
    };
    world.does(&query).map(|(record, member)| {
        assert_eq!(record.stage, CommandStage::Issued);
        member.node.to_string()
    })
}

#[test]
fn a_member_whose_card_is_known_is_that_machine_and_changes_nothing_about_it() {
    let mut world = World::new();
    let web1 = world.registered(1);
    hears(&mut world, vec![with_card("n1", 1)]);
    assert_eq!(member(&world, "n1").machine, Some(web1.id.clone()));
    assert_eq!(**world.view.machine(&web1.id).unwrap(), web1);
    assert_eq!(
        world.last_told(),
        "member.joined: web1 (n1 of serf lab) joined"
    );
    assert_eq!(world.view.machines().count(), 1);
}

#[test]
fn a_member_of_an_unknown_card_is_a_machine_that_is_only_seen() {
    let mut world = World::new();
    hears(
        &mut world,
        vec![
            with_card("n1", 1),
            heard("n2", MemberState::Alive, &[("serial", "LAB-0002")]),
            heard("n3", MemberState::Alive, &[("role", "web")]),
        ],
    );
    let first = world.view.machine_by_mac(card(1)).unwrap();
    assert_eq!(first.standing, Standing::Seen);
    assert_eq!(member(&world, "n1").machine.as_ref(), Some(&first.id));
    let second = member(&world, "n2").machine.unwrap();
    let second = world.view.machine(&second).unwrap();
    assert_eq!(
        (second.serial.as_deref(), second.macs.len()),
        (Some("LAB-0002"), 0)
    );
    assert_eq!(
        member(&world, "n3").machine,
        None,
        "nothing tells it from others"
    );
    assert_eq!(world.view.machines().count(), 2);
}

#[test]
fn two_members_of_one_report_with_one_card_are_one_machine() {
    let mut world = World::new();
    hears(&mut world, vec![with_card("n1", 1), with_card("n2", 1)]);
    assert_eq!(world.view.machines().count(), 1);
    assert_eq!(member(&world, "n1").machine, member(&world, "n2").machine);
}

#[test]
fn no_tag_takes_a_card_from_a_machine_or_makes_it_accepted() {
    let mut world = World::new();
    let web1 = world.registered(1);
    world.joins(1);
    let before = world.view.machine(&web1.id).unwrap().clone();
    let liar = [
        ("mac", card(1).to_string()),
        ("uuid", "99999999-8888-7777-6666-555555555555".to_owned()),
        ("serial", "ANOTHER-1".to_owned()),
        ("standing", "accepted".to_owned()),
    ];
    let liar: Vec<_> = liar.iter().map(|(n, v)| (*n, v.as_str())).collect();
    hears(&mut world, vec![heard("liar", MemberState::Alive, &liar)]);
    assert_eq!(world.view.machine_by_mac(card(1)).unwrap().id, web1.id);
    assert_eq!(world.view.machine(&web1.id), Some(&before));
    assert_eq!(member(&world, "liar").machine, None);
}

#[test]
fn a_change_of_state_is_told_once_with_its_moment() {
    let mut world = World::new();
    hears(&mut world, vec![with_card("n1", 1)]);
    let (joined, count) = (world.now, world.told().len());
    world.pass(60);
    hears(&mut world, vec![with_card("n1", 1)]);
    assert_eq!(world.told().len(), count, "the same again is no news");
    assert_eq!(member(&world, "n1").since, joined);
    let mut down = with_card("n1", 1);
    (down.state, down.why) = (MemberState::Down, "serf says: failed".to_owned());
    hears(&mut world, vec![down]);
    assert!(
        world.last_told().starts_with("member.down: "),
        "{}",
        world.last_told()
    );
    assert_eq!(
        (member(&world, "n1").since, member(&world, "n1").joined),
        (world.now, joined)
    );
    hears(&mut world, vec![with_card("n1", 1)]);
    assert!(world.last_told().contains("is back, it was down"));
}

#[test]
fn members_that_are_no_longer_listed_are_forgotten_and_their_machines_stay() {
    let mut world = World::new();
    hears(&mut world, vec![with_card("n1", 1), with_card("n2", 2)]);
    let keep = KeepListed {
        provider: lab(),
        listed: [node("n2")].into(),
        may_tell: ALL,
    };
    assert_eq!(world.does(&keep), 1);
    assert!(
        world
            .last_told()
            .contains("n1 of serf lab) is no longer listed")
    );
    assert_eq!(world.view.provider_members().count(), 1);
    let machine = world.view.machine_by_mac(card(1)).unwrap().id.clone();
    assert_eq!(world.view.provider_members_of(&machine).count(), 0);
}

#[test]
fn members_of_a_provider_that_is_silent_are_not_heard_of() {
    let mut world = World::new();
    let mut down = with_card("n2", 2);
    down.state = MemberState::Down;
    hears(&mut world, vec![with_card("n1", 1), down]);
    let silent = ProviderSilent {
        provider: lab(),
        kind: ProviderKind::Serf,
        why: "serf lab does not answer: it closed the connection".to_owned(),
        tell: true,
    };
    world.pass(5);
    world.does(&silent);
    let n1 = member(&world, "n1");
    assert_eq!((n1.state, n1.since), (MemberState::Unreachable, world.now));
    assert_eq!(n1.why, silent.why);
    assert_eq!(
        member(&world, "n2").state,
        MemberState::Down,
        "the last word on it stands"
    );
    assert!(world.last_told().starts_with("provider.silent: serf lab"));
}

#[test]
fn a_provider_has_as_many_members_as_are_kept_and_no_more() {
    let mut world = World::new();
    let many =
        |from: usize| (from..from + 4100).map(|n| heard(&format!("n{n}"), MemberState::Alive, &[]));
    assert_eq!(hears(&mut world, many(0).collect()).refused, 0);
    let second = hears(&mut world, many(4100).collect());
    assert_eq!(second.refused, 8200 - MAX_MEMBERS);
    assert_eq!(world.view.provider_count(&lab()), MAX_MEMBERS);
    // Who is there is heard of all the same.
    assert_eq!(hears(&mut world, many(0).take(9).collect()).refused, 0);
}

#[test]
fn events_beyond_what_a_provider_may_tell_are_one_number() {
    let mut world = World::new();
    let hear = HearProvider {
        provider: lab(),
        kind: ProviderKind::Serf,
        heard: (0..10)
            .map(|n| heard(&format!("n{n}"), MemberState::Alive, &[]))
            .collect(),
        fresh_ids: (0..10).map(MachineId::from_random).collect(),
        may_tell: 3,
    };
    assert_eq!(world.does(&hear).told, 3);
    assert_eq!(world.told().len(), 4);
    assert_eq!(
        world.last_told(),
        "provider.members: 7 more members of serf lab changed"
    );
    let silenced = HearProvider {
        heard: (20..30)
            .map(|n| heard(&format!("n{n}"), MemberState::Alive, &[]))
            .collect(),
        may_tell: 0,
        ..hear
    };
    assert_eq!((world.does(&silenced).told, world.told().len()), (0, 4));
}

#[test]
fn members_do_not_push_out_machines_that_asked_to_boot() {
    let mut world = World::new();
    world.does(&Saw {
        mac: card(1),
        uuid: None,
        serial: None,
        firmware: None,
        guess: None,
        fresh_id: MachineId::from_random(1),
    });
    world.pass(60);
    for start in (0..4200u32).step_by(700) {
        let many = (start..start + 700).map(|n| {
            let [_, a, b, c] = n.to_be_bytes();
            let mac = MacAddr([2, 0xaa, 0, a, b, c]);
            heard(
                &format!("n{n}"),
                MemberState::Alive,
                &[("mac", &mac.to_string())],
            )
        });
        hears(&mut world, many.collect());
    }
    assert!(world.view.machine_by_mac(card(1)).is_some());
    assert_eq!(world.view.seen_count(), 4096);
    assert_eq!(world.view.provider_members().count(), 4200);
}

#[test]
fn only_a_machine_that_a_person_said_is_ours_is_asked_to_restart() {
    let mut world = World::new();
    hears(&mut world, vec![with_card("n1", 1)]);
    let mac = card(1).to_string();
    let seen = asks(&mut world, &mac, Command::Reboot);
    assert!(
        matches!(seen, Err(CommandError::NotRegistered(_))),
        "{seen:?}"
    );
    world.registered(1);
    let stop = asks(&mut world, "web1", Command::Stop);
    assert!(
        matches!(stop, Err(CommandError::OnlyReboot(..))),
        "{stop:?}"
    );
    assert_eq!(
        asks(&mut world, "web1", Command::Reboot).as_deref(),
        Ok("n1")
    );
    assert_eq!(world.view.open_commands().count(), 1);
}

#[test]
fn a_member_that_is_down_doubled_or_of_consul_is_not_asked() {
    let mut world = World::new();
    world.registered(1);
    let none = asks(&mut world, "web1", Command::Reboot);
    assert!(
        matches!(none, Err(CommandError::CannotBeAsked(_))),
        "{none:?}"
    );
    let mut down = with_card("n1", 1);
    down.state = MemberState::Down;
    hears(&mut world, vec![down]);
    let late = asks(&mut world, "web1", Command::Reboot);
    assert!(
        matches!(late, Err(CommandError::NotAlive { .. })),
        "{late:?}"
    );
    hears(&mut world, vec![with_card("n1", 1), with_card("n2", 1)]);
    let both = asks(&mut world, "web1", Command::Reboot);
    assert!(
        matches!(both, Err(CommandError::TwoMembers(..))),
        "{both:?}"
    );
    assert_eq!(world.view.open_commands().count(), 0);
}

#[test]
fn an_agent_of_ours_is_asked_before_a_provider() {
    let mut world = World::new();
    let web1 = world.registered(1);
    let by_provider =
        |world: &World| speaks_by_provider(&world.view, world.view.machine(&web1.id).unwrap());
    assert!(!by_provider(&world), "nobody speaks for it");
    hears(&mut world, vec![with_card("n1", 1)]);
    assert!(by_provider(&world));
    world.joins(1);
    assert!(!by_provider(&world));
}

#[test]
fn providers_that_nobody_configured_any_more_are_forgotten() {
    let mut world = World::new();
    hears(&mut world, vec![with_card("n1", 1)]);
    world.does(&ForgetProviders {
        keep: [lab()].into(),
    });
    assert_eq!(world.view.provider_members().count(), 1);
    world.does(&ForgetProviders {
        keep: Default::default(),
    });
    assert_eq!(world.view.provider_members().count(), 0);
}
