//! Claims about the conversation, with an agent's side written by hand and one that was recorded.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::*;
use crate::state::{member::MemberState, provider::MAX_MEMBERS};

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(rename = "Seq")]
    seq: u64,
    #[serde(rename = "Error")]
    error: &'a str,
}

fn head(seq: u64, error: &str) -> Vec<u8> {
    written(&Answer { seq, error })
}

#[derive(Serialize, Default)]
struct Body<'a> {
    #[serde(rename = "Event", skip_serializing_if = "str::is_empty")]
    event: &'a str,
    #[serde(rename = "Type", skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(rename = "From", skip_serializing_if = "str::is_empty")]
    from: &'a str,
    #[serde(rename = "Members")]
    members: Option<Vec<Member<'a>>>,
}

#[derive(Serialize)]
struct Member<'a> {
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "Addr", serialize_with = "as_bytes")]
    address: &'a [u8],
    #[serde(rename = "Tags")]
    tags: Option<BTreeMap<&'a str, &'a str>>,
    #[serde(rename = "Status")]
    status: &'a str,
    #[serde(rename = "ProtocolMax")]
    protocol: u8,
}

/// As Go writes them; serde would make a list of numbers.
fn as_bytes<S: serde::Serializer>(bytes: &&[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(bytes)
}

fn member<'a>(name: &'a str, status: &'a str) -> Member<'a> {
    Member {
        name,
        address: &[10, 0, 0, 7],
        tags: Some([("role", "web")].into()),
        status,
        protocol: 5,
    }
}

fn members(members: Vec<Member<'_>>) -> Body<'_> {
    Body {
        members: Some(members),
        ..Body::default()
    }
}

/// What a session that has sent these requests tells of these bytes, and how it ends.
fn told(asked: impl FnOnce(&mut Session), bytes: &[u8]) -> (Vec<Told>, Option<Garbled>) {
    let mut session = Session::default();
    asked(&mut session);
    let mut all = Vec::new();
    session.push(bytes);
    loop {
        match session.next_told() {
            Ok(Some(told)) => all.push(told),
            Ok(None) => return (all, None),
            Err(garbled) => return (all, Some(garbled)),
        }
    }
}

fn lists(session: &mut Session) {
    session.members();
}

#[test]
fn requests_are_what_serf_reads() {
    let mut session = Session::default();
    let mut sent = session.handshake();
    assert_eq!(
        sent,
        b"\x82\xa7Command\xa9handshake\xa3Seq\x01\x81\xa7Version\x01"
    );
    sent = session.auth("k3y");
    assert_eq!(
        sent,
        b"\x82\xa7Command\xa4auth\xa3Seq\x02\x81\xa7AuthKey\xa3k3y"
    );
    assert_eq!(session.members(), b"\x82\xa7Command\xa7members\xa3Seq\x03");
    sent = session.query("n1", "reboot", Duration::from_secs(1));
    assert_eq!(
        sent,
        b"\x82\xa7Command\xa5query\xa3Seq\x04\x84\xabFilterNodes\x91\xa2n1\xaaRequestAck\xc3\xa7Timeout\xce\x3b\x9a\xca\x00\xa4Name\xa6reboot"
    );
}

#[test]
fn members_come_with_their_tags_address_and_state() {
    let body = members(vec![
        member("n1", "alive"),
        member("n2", "failed"),
        member("n3", "left"),
        member("n4", "leaving"),
        member("n5", "none"),
        member("n\n6", "alive"),
    ]);
    let (told, end) = told(lists, &[head(1, ""), written(&body)].concat());
    let [Told::All(list)] = &told[..] else {
        panic!("{told:?}")
    };
    let states: Vec<_> = list
        .heard
        .iter()
        .map(|h| (h.node.as_str(), h.state))
        .collect();
    assert_eq!(
        states,
        [
            ("n1", MemberState::Alive),
            ("n2", MemberState::Down),
            ("n3", MemberState::Left),
            ("n4", MemberState::Alive)
        ]
    );
    assert_eq!(
        (list.passed, end),
        (2, None),
        "no state, and no name to show"
    );
    assert_eq!(list.heard[0].address, Some([10, 0, 0, 7].into()));
    assert_eq!(
        list.heard[0].tags.iter().collect::<Vec<_>>(),
        [("role", "web")]
    );
    assert_eq!(list.heard[1].why, "serf says: failed");
}

#[test]
fn an_error_has_no_body_and_does_not_take_the_next_answer_for_one() {
    let asks = |session: &mut Session| {
        session.members();
        session.members();
    };
    let body = members(vec![member("n1", "alive")]);
    let bytes = [head(1, "try \x1b[2Jagain"), head(2, ""), written(&body)].concat();
    let (told, end) = told(asks, &bytes);
    let [Told::Refused(Request::Members, words), Told::All(list)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (words.as_str(), list.heard.len(), end),
        ("try [2Jagain", 1, None)
    );
}

#[test]
fn answers_are_known_by_their_numbers_whatever_their_order() {
    let asks = |session: &mut Session| {
        session.stream();
        session.members();
    };
    let event = |event| Body {
        event,
        ..members(vec![member("n9", "failed")])
    };
    let bytes = [
        head(2, ""),
        written(&members(vec![member("n1", "alive")])),
        head(1, ""),
        head(1, ""),
        written(&event("member-failed")),
        head(1, ""),
        written(&event("user")),
        head(1, ""),
        written(&event("member-reap")),
    ];
    let (told, end) = told(asks, &bytes.concat());
    assert_eq!(end, None);
    assert!(
        matches!(
            &told[..],
            [Told::All(_), Told::Streams, Told::Changed(changed), Told::Reaped(_)]
                if changed.heard[0].node.as_str() == "n9"
        ),
        "{told:?}"
    );
}

#[test]
fn a_query_is_acknowledged_by_name_and_has_an_end() {
    let asks = |session: &mut Session| {
        session.query("n1", "reboot", Duration::from_secs(1));
    };
    let record = |kind, from| {
        let body = Body {
            kind,
            from,
            ..Body::default()
        };
        [head(1, ""), written(&body)].concat()
    };
    let bytes = [
        head(1, ""),
        record("ack", "n1"),
        record("response", "n1"),
        record("done", ""),
    ];
    let (told, end) = told(asks, &bytes.concat());
    assert_eq!(end, None);
    assert!(
        matches!(&told[..], [Told::Asking, Told::Acknowledged(from), Told::QueryOver] if from == "n1"),
        "{told:?}"
    );
}

#[test]
fn what_serf_would_not_say_ends_the_session() {
    let deep = [head(1, ""), vec![0x91; 100_000], vec![0xc0]].concat();
    let wrong: [(&str, Vec<u8>); 7] = [
        ("an answer to nothing", head(9, "")),
        ("no map", vec![0x93, 1, 2, 3]),
        ("a body that is no map", [head(1, ""), vec![0x07]].concat()),
        (
            "members that are no list",
            [head(1, ""), b"\x81\xa7Members\x07".to_vec()].concat(),
        ),
        ("a nest", deep),
        ("HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("a second answer", [head(1, "no"), head(1, "")].concat()),
    ];
    for (what, bytes) in wrong {
        assert_eq!(told(lists, &bytes).1, Some(Garbled::NotSerf), "{what}");
    }
    let huge = [head(1, ""), b"\x81\xa7Members\xdd\xff\xff\xff\xff".to_vec()].concat();
    assert_eq!(told(lists, &huge).1, Some(Garbled::TooLong));
}

#[test]
fn a_list_of_more_members_than_are_kept_is_cut_and_counted() {
    let names: Vec<String> = (0..MAX_MEMBERS + 100).map(|n| format!("n{n}")).collect();
    let all = names.iter().map(|name| member(name, "alive")).collect();
    let (told, end) = told(lists, &[head(1, ""), written(&members(all))].concat());
    let [Told::All(list)] = &told[..] else {
        panic!("{end:?}")
    };
    assert_eq!((list.heard.len(), list.passed), (MAX_MEMBERS, 100));
}

#[test]
fn a_real_agents_conversation_is_understood_in_pieces_of_any_size() {
    let recorded = include_bytes!("../../../../tests/golden/serf/members-and-events.bin");
    for step in [1, 3, 1000] {
        let mut session = Session::default();
        session.handshake();
        session.auth("key");
        session.stream();
        session.members();
        let mut told = Vec::new();
        for piece in recorded.chunks(step) {
            session.push(piece);
            while let Some(one) = session.next_told().unwrap() {
                told.push(one);
            }
        }
        let [
            Told::Welcome,
            Told::Welcome,
            Told::Streams,
            Told::All(all),
            Told::Changed(failed),
        ] = &told[..]
        else {
            panic!("{told:?}")
        };
        let names: Vec<_> = all.heard.iter().map(|h| h.node.as_str()).collect();
        assert_eq!(names, ["n1", "n2"]);
        let cards = &all.heard[1].tags.identity().macs;
        assert_eq!(cards.first().unwrap().to_string(), "52:54:00:00:00:02");
        assert_eq!(all.heard[1].address, Some([127, 0, 1, 2].into()));
        assert_eq!(failed.heard[0].state, MemberState::Down);
    }
}
