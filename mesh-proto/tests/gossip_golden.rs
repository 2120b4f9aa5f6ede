//! The gossip's bytes against files that a person can read: `tests/golden/*.hex`, a name and a value a line. They hold
//! whichever library writes them. With `BLESS=1` the files are written anew.

use std::{fmt::Write, fs, path::PathBuf, time::Instant};

use foca::{Codec, Header, Member, Message, State};
use mesh_proto::{
    broadcast::FactsNote,
    codec::{Datagram, WireCodec},
    identity::{Identity, NodeId, Role},
    seal::{GossipKey, Seal, SessionId, SiteTag},
};

#[expect(clippy::disallowed_methods, reason = "an arbitrary start of time")]
fn start() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a person asks for new golden files"
)]
fn check(file: &str, rows: &[(&str, Vec<u8>)]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    let mut written = String::new();
    for (name, bytes) in rows {
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        writeln!(written, "{name}: {hex}").expect("a string grows");
    }
    if std::env::var("BLESS").is_ok() {
        fs::write(&path, &written).expect("a writable folder");
    }
    let golden = fs::read_to_string(&path).expect("a golden file");
    let golden: Vec<_> = golden
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect();
    assert_eq!(written.lines().collect::<Vec<_>>(), golden, "{file}");
}

fn agent() -> Identity {
    let addr = ([192, 168, 1, 20], 4849).into();
    Identity::new(NodeId(0x0123_4567_89ab_cdef), 3, addr, Role::Agent)
}

fn controller() -> Identity {
    let addr = "[fd00::1]:4849".parse().expect("an address");
    let renewals = 300;
    Identity {
        renewals,
        ..Identity::new(NodeId(7), 70_000, addr, Role::Controller)
    }
}

/// The largest that can be.
fn largest() -> Identity {
    let addr = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"
        .parse()
        .expect("an address");
    let renewals = u16::MAX;
    Identity {
        renewals,
        ..Identity::new(NodeId(u64::MAX), u32::MAX, addr, Role::Peer)
    }
}

fn member(id: Identity, incarnation: u16, state: State) -> Vec<u8> {
    let (mut bytes, member) = (Vec::new(), Member::new(id, incarnation, state));
    WireCodec.encode_member(&member, &mut bytes).expect("room");
    assert_eq!(
        WireCodec.decode_member(bytes.as_slice()).expect("readable"),
        member
    );
    bytes
}

fn header(message: Message<Identity>) -> Vec<u8> {
    let (src, dst) = (agent(), controller());
    let header = Header {
        src,
        src_incarnation: 5,
        dst,
        message,
    };
    let mut bytes = Vec::new();
    WireCodec.encode_header(&header, &mut bytes).expect("room");
    assert_eq!(mesh_proto::codec::header(&bytes).expect("readable"), header);
    bytes
}

#[test]
fn identities_and_members_are_written_like_this() {
    let note = FactsNote {
        node: NodeId(7),
        generation: 3,
        revision: 300,
        digest: [0xfa; 16],
    };
    assert_eq!(
        FactsNote::from_bytes(&note.to_bytes()).expect("readable"),
        note
    );
    check(
        "identity.hex",
        &[
            ("agent alive", member(agent(), 0, State::Alive)),
            ("agent suspect", member(agent(), 5, State::Suspect)),
            ("controller down", member(controller(), 1_000, State::Down)),
            ("largest", member(largest(), u16::MAX, State::Down)),
            ("facts note", note.to_bytes()),
        ],
    );
    let identity = member(largest(), 0, State::Alive).len() - 2;
    assert!(identity <= 40, "an identity takes {identity} bytes");
}

#[test]
fn packets_begin_like_this() {
    let (target, origin, probe_number) = (agent(), controller(), 9);
    check(
        "codec.hex",
        &[
            ("ping", header(Message::Ping(1))),
            ("ack", header(Message::Ack(255))),
            (
                "ping-req",
                header(Message::PingReq {
                    target,
                    probe_number,
                }),
            ),
            (
                "indirect-ping",
                header(Message::IndirectPing {
                    origin,
                    probe_number,
                }),
            ),
            (
                "indirect-ack",
                header(Message::IndirectAck {
                    target,
                    probe_number,
                }),
            ),
            (
                "forwarded-ack",
                header(Message::ForwardedAck {
                    origin,
                    probe_number,
                }),
            ),
            ("announce", header(Message::Announce)),
            ("feed", header(Message::Feed)),
            ("gossip", header(Message::Gossip)),
            ("broadcast", header(Message::Broadcast)),
            ("turn-undead", header(Message::TurnUndead)),
            ("datagram foca", Datagram::Foca(vec![0xaa, 0xbb]).to_bytes()),
            ("datagram knock", Datagram::Knock.to_bytes()),
        ],
    );
}

#[test]
fn the_seal_looks_like_this() {
    let session = SessionId(*b"0123456789abcdef");
    let mut seal = Seal::new(SiteTag::of("home"), agent().node, session);
    let now = start();
    seal.ring
        .install(now, 2, &GossipKey::new([0x42; 32]))
        .expect("room");
    seal.ring.use_epoch(now, 2).expect("installed");
    let first = seal
        .seal(&Datagram::Foca(b"packet".to_vec()))
        .expect("a key");
    let second = seal.seal(&Datagram::Knock).expect("a key");
    check("seal.hex", &[("first", first), ("second", second)]);
}

#[test]
fn a_packet_without_room_is_left_as_it_was() {
    use bytes::BufMut;
    let mut bytes = Vec::new();
    let member = Member::alive(agent());
    let full = (&mut bytes).limit(10);
    assert!(WireCodec.encode_member(&member, full).is_err());
    assert!(bytes.is_empty());
}
