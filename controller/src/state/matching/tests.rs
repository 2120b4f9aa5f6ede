//! TRAPS 38 as a table: who is known, who is new, who is not clear.

use jiff::Timestamp;
use mesh_proto::facts::HardwareFacts;

use super::{
    Identity, Match,
    examples::{disk, facts, nameless, nic},
    find, same_board, same_hardware,
};
use crate::state::{
    Record, View, Write,
    facts::FactsRecord,
    machine::{Machine, MachineId, Standing},
};
use ipxe::MacAddr;

/// Knows machine `n`, by facts, or only by what its boot request said.
fn know(view: &mut View, n: u8, facts: &HardwareFacts, read: bool) {
    let who = Identity::of_facts(facts);
    let id = MachineId::from_random(n.into());
    let mut machine = Machine::seen(
        id.clone(),
        MacAddr([2, 0, 0, 0, 0, n]),
        Timestamp::UNIX_EPOCH,
    );
    machine.standing = Standing::Registered;
    machine.macs = who.macs;
    if !read {
        machine.macs = machine.macs.into_iter().take(1).collect();
        machine.uuid.clone_from(&facts.smbios.uuid);
        machine.serial.clone_from(&facts.smbios.serial);
    }
    view.absorb(&Write::Put(Record::Machine(machine.into())));
    if read {
        let record = FactsRecord {
            machine: id,
            facts: facts.clone(),
            digest: facts.digest(),
            boot_id: String::new(),
            at: Timestamp::UNIX_EPOCH,
            history: Vec::new(),
        };
        view.absorb(&Write::Put(Record::Facts(record.into())));
    }
}

/// The answer in short: `1` known, `-` new, `1|2` not clear.
fn answer(view: &View, facts: &HardwareFacts, booted: Option<&str>) -> String {
    let number = |id: &MachineId| id.node().0.to_string();
    let booted = booted.map(|mac| mac.parse().unwrap());
    match find(view, &Identity::of_facts(facts), booted) {
        Match::Known(c) => {
            assert!(!c.score.reasons.is_empty());
            number(&c.machine)
        }
        Match::New(_) => "-".to_owned(),
        Match::Ambiguous(all) => {
            let all: Vec<_> = all.iter().map(|c| number(&c.machine)).collect();
            all.join("|")
        }
    }
}

type Change = fn(&mut HardwareFacts);
const ROWS: [(&str, u8, Change, &str); 20] = [
    ("nothing changed", 1, |_| {}, "1"),
    ("another machine", 3, |_| {}, "-"),
    (
        "uuid zero now",
        1,
        |f| f.smbios.uuid = Some("00000000-0000-0000-0000-000000000000".into()),
        "1",
    ),
    (
        "uuid FF now",
        1,
        |f| f.smbios.uuid = Some("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF".into()),
        "1",
    ),
    (
        "uuid changes with a card (metal-hammer 52)",
        1,
        |f| f.smbios.uuid = Some("11111111-2222-3333-4444-555555555555".into()),
        "1",
    ),
    (
        "uuid in the other byte order",
        1,
        |f| f.smbios.uuid = Some("44454c4c-5100-1035-8052-b4c04f4a3101".into()),
        "1",
    ),
    (
        "serial became a placeholder",
        1,
        |f| f.smbios.serial = Some("To be filled by O.E.M.".into()),
        "1",
    ),
    (
        "firmware tells nothing any more",
        1,
        |f| f.smbios = mesh_proto::facts::Smbios::default(),
        "1",
    ),
    ("all cards replaced", 1, |f| f.nics = vec![nic(9, 1)], "1"),
    ("a card more", 1, |f| f.nics.push(nic(9, 1)), "1"),
    ("a card less", 1, |f| f.nics.truncate(1), "1"),
    (
        "all disks replaced",
        1,
        |f| f.disks = vec![disk("NEW-DISK")],
        "1",
    ),
    (
        "board replaced, card and disk carried over",
        1,
        |f| {
            f.smbios = facts(9).smbios;
            f.nics = vec![nic(9, 1), nic(1, 2)];
        },
        "-",
    ),
    (
        "a USB card of machine 2 in machine 1",
        1,
        |f| f.nics.push(nic(2, 2)),
        "1",
    ),
    (
        "a USB card of machine 2 in a new machine",
        3,
        |f| f.nics.push(nic(2, 2)),
        "-",
    ),
    (
        "both cards of machine 2 in a new machine",
        3,
        |f| f.nics = facts(2).nics,
        "-",
    ),
    (
        "the disk of machine 2 in machine 1",
        1,
        |f| f.disks = facts(2).disks,
        "1",
    ),
    (
        "the disk of machine 2 in a new machine",
        3,
        |f| f.disks = facts(2).disks,
        "-",
    ),
    (
        "the address of machine 2 copied (warewulf 1264)",
        3,
        |f| f.nics = vec![nic(2, 1)],
        "-",
    ),
    (
        "uuid and serial of a vendor's whole batch",
        3,
        |f| {
            f.smbios.uuid = facts(2).smbios.uuid;
            f.smbios.serial = facts(2).smbios.serial;
        },
        "-",
    ),
];

/// Two machines are known by their facts; how is a changed machine 1 (or a third one) taken?
#[test]
fn a_machine_is_known_by_most_of_what_it_is_made_of() {
    let mut view = View::default();
    know(&mut view, 1, &facts(1), true);
    know(&mut view, 2, &facts(2), true);
    for (what, n, change, expected) in ROWS {
        let mut newcomer = facts(n);
        change(&mut newcomer);
        assert_eq!(answer(&view, &newcomer, None), expected, "{what}");
    }
}

#[test]
fn a_machine_that_tells_nothing_is_known_by_its_cards() {
    let mut view = View::default();
    know(&mut view, 1, &nameless(1), true);
    know(&mut view, 2, &nameless(2), true);
    let with = |change: fn(&mut HardwareFacts)| {
        let mut newcomer = nameless(1);
        change(&mut newcomer);
        answer(&view, &newcomer, None)
    };
    assert_eq!(with(|_| {}), "1");
    assert_eq!(with(|f| f.nics.truncate(1)), "1", "a card less");
    assert_eq!(with(|f| f.nics.push(nic(9, 1))), "1", "a card more");
    assert_eq!(
        with(|f| f.nics = vec![nic(9, 1), nic(2, 2)]),
        "-",
        "one card came from machine 2"
    );
    let torn = with(|f| f.nics = vec![nic(1, 1), nic(2, 2)]);
    assert_eq!(torn, "-", "a card of each is neither");
}

#[test]
fn a_draw_is_settled_by_the_card_that_booted() {
    let mut view = View::default();
    for (n, card) in [(1, nic(1, 1)), (2, nic(1, 2))] {
        let half = HardwareFacts {
            nics: vec![card],
            ..nameless(n)
        };
        know(&mut view, n, &half, false);
    }
    assert_eq!(answer(&view, &nameless(1), None), "1|2");
    let by_the_second = Some("52:54:00:00:01:02");
    assert_eq!(answer(&view, &nameless(1), by_the_second), "2");
}

#[test]
fn a_machine_registered_by_one_card_is_known_when_it_tells_the_rest() {
    let mut view = View::default();
    know(&mut view, 1, &facts(1), false);
    know(&mut view, 2, &nameless(2), false);
    assert_eq!(answer(&view, &facts(1), None), "1");
    assert_eq!(answer(&view, &nameless(2), None), "2");
}

#[test]
fn values_that_several_machines_have_count_for_none() {
    let mut view = View::default();
    let twin = |n: u8| HardwareFacts {
        smbios: facts(1).smbios,
        ..facts(n)
    };
    for n in [1, 2] {
        know(&mut view, n, &twin(n), true);
    }
    assert_eq!(answer(&view, &twin(1), None), "1");
    assert_eq!(answer(&view, &twin(2), None), "2");
    assert_eq!(answer(&view, &twin(3), None), "-");
    let mut bare = twin(4);
    (bare.nics, bare.disks) = (Vec::new(), Vec::new());
    assert_eq!(answer(&view, &bare, None), "-", "only what both have");
}

#[test]
fn a_copied_disk_is_not_the_board() {
    let known = Identity::of_facts(&facts(1));
    let same = |change: fn(&mut HardwareFacts)| {
        let mut now = facts(1);
        change(&mut now);
        same_board(&known, &Identity::of_facts(&now))
    };
    assert!(same(|_| {}));
    assert!(
        same(|f| f.disks = vec![disk("NEW-DISK")]),
        "the disk was replaced"
    );
    assert!(same(|f| f.nics.truncate(1)));
    assert!(
        !same(|f| *f = HardwareFacts {
            disks: facts(1).disks,
            ..facts(2)
        }),
        "the disk was carried over"
    );
    assert!(!same(|f| *f = facts(2)), "the disk was copied");
    assert!(!same(|f| *f = nameless(2)));
}

#[test]
fn the_same_hardware_is_more_than_a_card() {
    let known = Identity::of_facts(&facts(1));
    let same = |now: &HardwareFacts| same_hardware(&known, &Identity::of_facts(now));
    assert!(same(&facts(1)));
    let copied = HardwareFacts {
        nics: facts(1).nics,
        ..facts(2)
    };
    assert!(!same(&copied), "the address was copied");
    assert!(
        !same(&HardwareFacts {
            nics: facts(1).nics,
            ..nameless(2)
        }),
        "it tells nothing"
    );
    let silent = Identity::of_facts(&nameless(1));
    assert!(
        !same_hardware(&silent, &silent),
        "addresses alone prove nothing"
    );
}
