//! What a joined site can do that lies, and one that is not joined (any more): nothing but make work, and little of it.

use std::time::Instant;

use foca::{Codec as _, Header, Member, Message, State};
use mesh_proto::{
    codec::WireCodec,
    identity::{Identity, Role},
    wan::{Frame, MAX_HEARD, Presence, Refused, RowState, SiteRow, Wan, node_of},
};

use crate::world::seconds;

#[expect(clippy::disallowed_methods, reason = "an arbitrary start of time")]
fn start() -> Instant {
    Instant::now()
}

/// We, with links to `liar` and `honest`, and without one to `far`.
fn us(now: Instant) -> Wan {
    let mut us = Wan::new(now, "us", 1, &[], [1; 32]);
    us.set_joined(now, ["liar", "honest", "far"]);
    for site in ["liar", "honest"] {
        us.link_up(now, site);
        us.handle_frame(now, site, &Frame::Hello(row(site, 1)).to_bytes())
            .unwrap();
    }
    while us.poll_transmit().is_some() {}
    us
}

fn row(site: &str, generation: u32) -> SiteRow {
    SiteRow {
        site: site.to_owned(),
        generation,
        renewals: 0,
        incarnation: 0,
        state: RowState::Alive,
        addresses: vec!["192.0.2.7:4848".parse().unwrap()],
    }
}

fn down(site: &str, generation: u32) -> SiteRow {
    SiteRow {
        state: RowState::Down,
        ..row(site, generation)
    }
}

fn list(revision: u64, rows: Vec<SiteRow>) -> Vec<u8> {
    let session = 5;
    Frame::List {
        session,
        revision,
        rows,
    }
    .to_bytes()
}

fn identity(site: &str, generation: u32) -> Identity {
    let nowhere = ([0, 0, 0, 0], 0).into();
    Identity::new(node_of(site), generation, nowhere, Role::Peer)
}

fn gossip(from: &str, about: &[(&str, u32)]) -> Vec<u8> {
    let mut packet = Vec::new();
    let header = Header {
        src: identity(from, 1),
        src_incarnation: 0,
        dst: identity("us", 1),
        message: Message::Gossip,
    };
    WireCodec.encode_header(&header, &mut packet).unwrap();
    packet.extend((about.len() as u16).to_be_bytes());
    for (site, generation) in about {
        let gone = Member::new(identity(site, *generation), 9, State::Down);
        WireCodec.encode_member(&gone, &mut packet).unwrap();
    }
    Frame::Gossip(packet).to_bytes()
}

fn presence(us: &Wan, site: &str) -> Presence {
    let sites = us.sites();
    sites.iter().find(|s| *s.site == *site).unwrap().presence
}

fn frames(us: &mut Wan) -> Vec<(String, Frame)> {
    let sent = std::iter::from_fn(|| us.poll_transmit());
    sent.map(|(to, bytes)| (to.to_string(), Frame::from_bytes(&bytes).unwrap()))
        .collect()
}

#[test]
fn who_is_not_joined_or_revoked_is_refused_from_the_next_frame_on() {
    let now = start();
    let mut us = us(now);
    let hello = |site: &str| Frame::Hello(row(site, 1)).to_bytes();
    assert_eq!(
        us.handle_frame(now, "stranger", &hello("stranger")),
        Err(Refused::NotJoined)
    );
    assert_eq!(
        us.handle_frame(now, "far", &hello("far")),
        Err(Refused::NotJoined),
        "over no link"
    );
    us.handle_frame(now, "liar", &list(1, vec![row("friend", 1)]))
        .unwrap();
    assert_eq!(us.heard().len(), 1);
    us.set_joined(now, ["honest", "far"]);
    assert_eq!(
        us.handle_frame(now, "liar", &hello("liar")),
        Err(Refused::NotJoined)
    );
    assert!(us.heard().is_empty(), "nor does what it told count");
    assert_eq!(us.living(), 1, "only the honest one");
    us.handle_timeout(now + seconds(60));
    assert!(
        frames(&mut us).iter().all(|(to, _)| to != "liar"),
        "nothing is sent to it"
    );
}

#[test]
fn nobody_speaks_for_another() {
    let now = start();
    let mut us = us(now);
    let forged = [
        gossip("honest", &[]),
        Frame::Hello(row("honest", 9)).to_bytes(),
        Frame::Rumour(down("honest", 1)).to_bytes(),
    ];
    for frame in forged {
        assert_eq!(us.handle_frame(now, "liar", &frame), Err(Refused::Forged));
    }
    assert_eq!(us.living(), 2);
}

#[test]
fn what_is_said_of_a_site_that_speaks_to_us_is_told_to_it_and_not_believed() {
    let now = start();
    let mut us = us(now);
    us.handle_frame(
        now,
        "liar",
        &gossip("liar", &[("honest", 1), ("honest", u32::MAX)]),
    )
    .unwrap();
    us.handle_frame(
        now,
        "liar",
        &list(1, vec![down("honest", 1), down("honest", u32::MAX)]),
    )
    .unwrap();
    assert_eq!((presence(&us, "honest"), us.living()), (Presence::Alive, 2));
    let sent = frames(&mut us);
    let rumours: Vec<_> = sent
        .iter()
        .filter(|(_, f)| matches!(f, Frame::Rumour(_)))
        .collect();
    assert_eq!(
        rumours.len(),
        1,
        "once, and only of the life that it has: {sent:?}"
    );
    assert_eq!(rumours[0].0, "honest");
}

#[test]
fn what_is_said_of_a_site_out_of_reach_is_believed_until_it_speaks_itself() {
    let now = start();
    let mut us = us(now);
    us.handle_frame(now, "liar", &list(1, vec![row("far", 1)]))
        .unwrap();
    assert_eq!(presence(&us, "far"), Presence::Unreachable);
    us.handle_frame(now, "liar", &gossip("liar", &[("far", u32::MAX)]))
        .unwrap();
    assert_eq!(presence(&us, "far"), Presence::Down);
    us.link_up(now, "far");
    us.handle_frame(now, "far", &Frame::Hello(row("far", 2)).to_bytes())
        .unwrap();
    us.link_down(now, "far");
    assert_eq!(
        presence(&us, "far"),
        Presence::Unreachable,
        "its own word counts more"
    );
}

#[test]
fn strangers_are_heard_of_in_bounds_and_addresses_that_nobody_can_have_are_not_taken() {
    let now = start();
    let mut us = us(now);
    for (n, teller) in ["liar", "honest"].into_iter().enumerate() {
        for revision in 0..40 {
            let rows = (0..25)
                .map(|i| row(&format!("s{n}-{revision}-{i}"), 1))
                .collect();
            us.handle_frame(now, teller, &list(revision, rows)).unwrap();
        }
    }
    assert_eq!(us.heard().len(), 128, "64 of each teller");
    assert!(us.heard().len() <= MAX_HEARD);
    let odd = [
        "0.0.0.0:1",
        "224.0.0.1:4848",
        "255.255.255.255:4848",
        "192.0.2.9:0",
    ];
    let addresses = odd.map(|at| at.parse().unwrap()).to_vec();
    let far = SiteRow {
        addresses,
        ..row("far", 1)
    };
    us.handle_frame(now, "honest", &list(90, vec![far]))
        .unwrap();
    assert!(us.addresses("far").is_empty(), "{:?}", us.addresses("far"));
    us.handle_frame(now, "honest", &list(91, vec![row("far", 1)]))
        .unwrap();
    assert_eq!(us.addresses("far").len(), 1);
}

#[test]
fn a_flood_is_cut_off_and_is_answered_with_less_than_it_is() {
    let now = start();
    let mut us = us(now);
    let ask = Frame::Ask {
        session: 0,
        revision: 0,
    };
    let (mut taken, mut sent) = (0, 0);
    for _ in 0..10_000 {
        taken += usize::from(us.handle_frame(now, "liar", &ask.to_bytes()).is_ok());
        sent += std::iter::from_fn(|| us.poll_transmit()).count();
    }
    assert!(taken <= 60 && sent <= 1, "{taken} taken, {sent} sent");
    let told = us.handle_frame(now, "liar", &ask.to_bytes());
    assert_eq!(told, Err(Refused::TooMany));
    let honest = us.handle_frame(now, "honest", &ask.to_bytes());
    assert_eq!(honest, Ok(()), "others have their own measure");
}

#[test]
fn a_liar_cannot_use_up_our_lives() {
    let now = start();
    let mut us = us(now);
    let mut hellos = 0;
    for second in 0..20 {
        let now = now + seconds(second) / 2;
        for renewals in 0..20 {
            let ours = SiteRow {
                renewals,
                ..down("us", 1)
            };
            let _flood = us.handle_frame(now, "liar", &Frame::Rumour(ours).to_bytes());
        }
        let sent = frames(&mut us);
        hellos += sent
            .iter()
            .filter(|(_, f)| matches!(f, Frame::Hello(_)))
            .count();
    }
    assert!(
        hellos <= 2 * 2,
        "ten seconds, two renewals, two links: {hellos} hellos"
    );
    assert!(hellos > 0, "and it does say that it lives");
}
