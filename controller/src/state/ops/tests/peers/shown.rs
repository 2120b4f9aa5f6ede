//! What people of another site see: by the permission, and nothing that is not meant for them.

use mesh_proto::message::peer::{MAX_EVENTS, MachineRow};

use super::*;
use crate::state::{
    event::Draft,
    image::{Content, Image, ImageName, Origin, Version, VersionId, Visibility},
    peer::Peer,
    shown::{given_image, heard, rows, told},
};

/// B with three machines, of which A's people may see two.
fn watched() -> World {
    let mut b = world_of("site-b");
    for n in 1..=3 {
        b.registered(n);
    }
    b.labelled(1, "pool", "lab");
    b.labelled(3, "pool", "lab");
    b.joins_site("site-a");
    b
}

impl World {
    fn peer(&self) -> Peer {
        Peer::clone(self.view.peer(&site("site-a")).unwrap())
    }

    fn rows(&self, after: Option<&str>, limit: usize) -> (Vec<MachineRow>, bool) {
        rows(&self.view, &self.peer(), (after, limit), self.now)
    }

    fn notes(&mut self, kind: &str, n: u8) -> u64 {
        let seq = self.view.next_event();
        let event = Event {
            seq,
            at: self.now,
            draft: Draft::new(kind, format!("{kind} of web{n}\n"))
                .machine(&self.machine(n).id)
                .field("secret", "do not tell"),
        };
        self.view.absorb(&Record::Event(event.into()).into());
        seq
    }
}

fn names(rows: &[MachineRow]) -> Vec<&str> {
    rows.iter().map(|r| r.name.as_str()).collect()
}

#[test]
fn rows_are_those_that_the_permission_names_page_by_page_and_of_no_revoked_site() {
    let mut b = watched();
    assert_eq!(b.rows(None, 10).0, [], "nothing is shown unasked");
    b.shows("site-a", &["pool=lab"], false);
    b.pass(90);
    let (all, more) = b.rows(None, 10);
    assert_eq!((names(&all), more), (vec!["web1", "web3"], false));
    assert_eq!(all[0].seen_s, 90);
    assert_eq!(
        (all[0].state.as_str(), &all[0].member),
        ("registered", &None)
    );
    let (first, more) = b.rows(None, 1);
    assert_eq!((names(&first), more), (vec!["web1"], true));
    let (rest, more) = b.rows(Some("web1"), 1);
    assert_eq!((names(&rest), more), (vec!["web3"], false));
    // As they are read elsewhere.
    let seen = heard::machines(&all, (None, 10), b.now).unwrap();
    assert_eq!(seen[0].last_seen, b.machine(1).last_seen);
    assert_eq!(seen[0].macs, [card(1)]);
    b.does(&RevokePeer {
        site: site("site-a"),
        by: "ann".to_owned(),
    })
    .unwrap();
    assert_eq!(b.rows(None, 10).0, []);
}

#[test]
fn rows_that_cannot_be_are_not_believed() {
    let mut b = watched();
    b.shows("site-a", &["pool=lab"], false);
    let good = b.rows(None, 10).0;
    let parsed = |rows: &[MachineRow], after, limit| heard::machines(rows, (after, limit), b.now);
    assert!(parsed(&good, None, 2).is_some());
    assert!(parsed(&good, None, 1).is_none(), "more than asked for");
    assert!(parsed(&good, Some("web1"), 10).is_none(), "shown before");
    let turned: Vec<_> = good.iter().rev().cloned().collect();
    assert!(parsed(&turned, None, 10).is_none());
    type Lie = fn(&mut MachineRow);
    let lies: [Lie; 5] = [
        |r| r.name = "web1\n".to_owned(),
        |r| r.state = "seen".to_owned(),
        |r| r.macs = vec!["evil".to_owned()],
        |r| r.macs = vec!["525400000001".to_owned(); 5],
        |r| r.active = Some("a b".to_owned()),
    ];
    for (n, lie) in lies.into_iter().enumerate() {
        let mut rows = good.clone();
        lie(&mut rows[0]);
        assert!(parsed(&rows, None, 10).is_none(), "lie {n}");
    }
    let mut odd = good;
    odd[0].member = Some("newer-word".to_owned());
    odd[0].firmware = Some("x\u{1b}[2J".repeat(1000));
    odd[0].seen_s = u64::MAX;
    let seen = &parsed(&odd, None, 10).unwrap()[0];
    assert_eq!(seen.member, None);
    assert!(seen.firmware.as_ref().unwrap().len() <= 200);
    assert!(!seen.firmware.as_ref().unwrap().contains('\u{1b}'));
}

#[test]
fn events_are_those_of_shown_machines_without_fields_and_go_on_by_their_number() {
    let mut b = watched();
    b.shows("site-a", &["pool=lab"], false);
    let start = b.view.next_event() - 1;
    let first = b.notes("member.alive", 1);
    b.notes("member.alive", 2);
    b.notes("key.enrolled", 1);
    b.notes("boot.without-secret", 1);
    b.notes("machine.disputed", 1);
    let last = b.notes("deployment.online", 3);
    let heard = told(&b.view, &b.peer(), start);
    let seqs: Vec<u64> = heard.events.iter().map(|e| e.seq).collect();
    assert_eq!(
        (seqs, heard.seen, heard.lost),
        (vec![first, last], last, false)
    );
    assert_eq!(heard.events[0].text, "member.alive of web1");
    let all = format!("{heard:?}");
    assert!(!all.contains("do not tell"), "{all}");
    assert_eq!(told(&b.view, &b.peer(), last).events, []);
    // Its number is from a record that is gone.
    let reset = told(&b.view, &b.peer(), last + 5);
    assert_eq!((reset.lost, reset.seen), (true, last));
    for _ in 0..100 {
        b.notes("member.alive", 1);
    }
    let part = told(&b.view, &b.peer(), last);
    assert_eq!((part.events.len(), part.seen), (MAX_EVENTS, last + 32));
    b.shows("site-a", &[], false);
    let none = told(&b.view, &b.peer(), last);
    assert_eq!(
        (none.events.len(), none.seen),
        (0, b.view.next_event() - 1),
        "it passes what it hides"
    );
}

fn content(bytes: &[u8]) -> Content {
    Content {
        manifest: ::image::ChunkId::of(bytes),
        size: 512,
        sector_size: 512,
        chunk_size: 1 << 20,
        data_bytes: 512,
        new_bytes: 0,
    }
}

#[test]
fn only_public_images_are_given_and_only_to_whom_they_may() {
    let mut b = watched();
    let name: ImageName = "debian".parse().unwrap();
    let mut image = Image {
        name: name.clone(),
        owner: None,
        visibility: Visibility::Public,
        versions: vec![Version {
            number: 3,
            content: content(b"x"),
            created: b.now,
            origin: Origin::Upload {
                by: "ann".to_owned(),
                id: None,
            },
            note: None,
        }],
        next: 4,
        created: b.now,
    };
    b.view.absorb(&Record::Image(image.clone().into()).into());
    let given = |b: &World, name: &str, number| {
        let found = given_image(&b.view, &b.peer(), name, number);
        found.map(|(_, version)| version.number)
    };
    assert!(
        given(&b, "debian", None)
            .unwrap_err()
            .contains("may have no images")
    );
    b.shows("site-a", &[], true);
    assert_eq!(given(&b, "debian", None), Ok(3));
    assert_eq!(given(&b, "debian", Some(3)), Ok(3));
    assert!(given(&b, "debian", Some(2)).is_err());
    let unknown = given(&b, "fedora", None)
        .unwrap_err()
        .replace("fedora", "debian");
    image.visibility = Visibility::Private;
    b.view.absorb(&Record::Image(image.into()).into());
    assert_eq!(
        given(&b, "debian", None),
        Err(unknown),
        "as if there were none"
    );
}

#[test]
fn a_version_pulled_twice_is_one_version_and_a_newer_one_is_another() {
    let mut a = world_of("site-a");
    let mut pull = SavePulled {
        name: "debian".parse().unwrap(),
        content: content(b"x"),
        site: site("site-b"),
        version: VersionId {
            image: "debian".parse().unwrap(),
            number: 3,
        },
        by: "ann".to_owned(),
        owner: None,
        note: None,
    };
    let first = a.does(&pull).unwrap();
    assert!(
        a.last_told()
            .contains("pulled debian@3 from site-b as debian@1")
    );
    pull.by = "bob".to_owned();
    assert_eq!(a.does(&pull).unwrap(), first);
    (pull.version.number, pull.content) = (4, content(b"y"));
    assert_eq!(a.does(&pull).unwrap().number, 2);
}
