//! Strangers: the wrong protocol, the wrong bytes.

use std::sync::Arc;

use crate::support::{
    Ca, Leaf, NOW, Running, at,
    authority::{Court, Seen},
    endpoint, hello, raw,
};
use mesh_net::{AgentEndpoint, CloseCode, LinkEnd, NodeKey, Refused};
use mesh_proto::frame::{MAX_EARLY_FRAME_BYTES, MAX_FRAME_BYTES};
use quinn::Connection;
use serde_json::json;

const LINK: &[u8] = b"enforcer/1";
const ENROL: &[u8] = b"enforcer-enrol/1";

async fn code(connection: &Connection) -> Option<CloseCode> {
    match LinkEnd::from(connection.closed().await) {
        LinkEnd::ByPeer { code, .. } => Some(code),
        _ => None,
    }
}

fn first_hello() -> serde_json::Value {
    json!({"v": 1, "kind": "hello", "boot_id": "b", "agent": "0", "habitat": "management-os", "gossip_port": 4849,
        "facts_digest": "", "last_generation": 0, "a field of a later release": [1, 2, 3]})
}

#[tokio::test]
async fn a_link_without_a_certificate_is_closed_before_a_byte_is_read() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let connection = raw::dial(server.addr, raw::client(LINK, None, &Arc::default())).await;
    let _cut = raw::say(&connection, &raw::framed(&first_hello())).await;
    assert_eq!(code(&connection).await, Some(CloseCode::NoCertificate));
    seen!(record, Seen::Note(Refused::NoCertificate) => ());
}

#[tokio::test]
async fn enrolment_serves_no_link_and_a_link_enrols_nobody() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let agent = || Some(ca.shown(&Leaf::agent(7)));
    let renew =
        json!({"v": 1, "kind": "renew", "csr": NodeKey::generate().unwrap().csr_pem().unwrap()});
    // Even with a certificate.
    for request in [first_hello(), renew] {
        let connection = raw::dial(server.addr, raw::client(ENROL, agent(), &Arc::default())).await;
        let _cut = raw::say(&connection, &raw::framed(&request)).await;
        assert_eq!(code(&connection).await, Some(CloseCode::Protocol));
        seen!(record, Seen::Note(Refused::Protocol) => ());
    }
    let enrol = json!({"v": 1, "kind": "enrol", "key": "boot", "csr": "", "commit": "", "proof": {"by": "none"},
        "boot_id": "b", "agent": "0", "facts": crate::support::facts()});
    let connection = raw::dial(server.addr, raw::client(LINK, agent(), &Arc::default())).await;
    let _cut = raw::say(&connection, &raw::framed(&enrol)).await;
    assert_eq!(code(&connection).await, Some(CloseCode::Protocol));
    seen!(record, Seen::Note(Refused::Protocol) => ());
}

#[tokio::test]
async fn bytes_that_are_no_first_message_close_the_connection() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let long = u32::try_from(MAX_EARLY_FRAME_BYTES + 1)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    let cut = [&[0, 0, 1, 0][..], b"{\"v\":1"].concat();
    let mut later = first_hello();
    later["v"] = 2.into();
    let rows = [
        long,
        cut,
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        raw::framed(&json!("hello")),
        raw::framed(&later),
        Vec::new(),
    ];
    for bytes in rows {
        for alpn in [LINK, ENROL] {
            let agent = Some(ca.shown(&Leaf::agent(7)));
            let connection =
                raw::dial(server.addr, raw::client(alpn, agent, &Arc::default())).await;
            let _cut = raw::say(&connection, &bytes).await;
            assert_eq!(
                code(&connection).await,
                Some(CloseCode::Protocol),
                "{bytes:?}"
            );
            seen!(record, Seen::Note(Refused::Protocol) => ());
        }
    }
}

#[tokio::test]
async fn a_bad_request_on_a_link_is_answered_and_the_link_goes_on() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let agent = Some(ca.shown(&Leaf::agent(7)));
    let connection = raw::dial(server.addr, raw::client(LINK, agent, &Arc::default())).await;
    raw::say(&connection, &raw::framed(&first_hello()))
        .await
        .unwrap();
    seen!(record, Seen::Hello(..) => ());
    let long = u32::try_from(MAX_FRAME_BYTES + 1)
        .unwrap()
        .to_be_bytes()
        .to_vec();
    for bytes in [
        long,
        b"\0\0\0\x02{".to_vec(),
        raw::framed(&json!({"v": 1, "kind": "explode"})),
        Vec::new(),
    ] {
        let reply = raw::say(&connection, &bytes).await.unwrap();
        assert!(
            String::from_utf8_lossy(&reply).contains("\"code\":\"protocol\""),
            "{bytes:?}"
        );
        seen!(record, Seen::Note(Refused::Protocol) => ());
    }
    let again = raw::say(&connection, &raw::framed(&first_hello()))
        .await
        .unwrap();
    assert!(String::from_utf8_lossy(&again).contains("one hello is enough"));
    let lines: Vec<_> = (0..200)
        .map(|n| json!({"uptime_ms": n, "source": "kernel", "text": "x".repeat(1000)}))
        .collect();
    let big = json!({"v": 1, "kind": "log", "boot_id": "b", "first": 0, "lines": lines});
    let reply = raw::say(&connection, &raw::framed(&big)).await.unwrap();
    assert!(
        String::from_utf8_lossy(&reply).contains("\"ok\""),
        "200 KB are a frame like any other"
    );
}

#[tokio::test]
async fn who_says_nothing_is_sent_away() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let limits = mesh_net::ServerLimits {
        patience: std::time::Duration::from_millis(200),
        ..Default::default()
    };
    let server = Running::start_with(&ca, &court, "127.0.0.1:0", limits);
    for alpn in [LINK, ENROL] {
        let agent = Some(ca.shown(&Leaf::agent(7)));
        let connection = raw::dial(server.addr, raw::client(alpn, agent, &Arc::default())).await;
        assert_eq!(code(&connection).await, Some(CloseCode::TooSlow));
        seen!(record, Seen::Note(Refused::TooSlow) => ());
    }
}

#[tokio::test]
async fn strangers_who_hold_every_handshake_only_delay_an_agent() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let patience = std::time::Duration::from_millis(300);
    let limits = mesh_net::ServerLimits {
        handshakes: 2,
        patience,
        ..Default::default()
    };
    let server = Running::start_with(&ca, &court, "127.0.0.1:0", limits);
    let stranger = || raw::dial(server.addr, raw::client(ENROL, None, &Arc::default()));
    let silent = [stranger().await, stranger().await];
    // There is no free place, and when there is one again, QUIC's Retry asks for a proof of the address first.
    let agent = ca.agent(&Leaf::agent(7));
    let link = endpoint()
        .connect(server.addr, &agent, &hello())
        .await
        .unwrap();
    let first = seen!(record, Seen::Note(why) => why);
    assert_eq!(first, Refused::TooSlow, "one had to go before it got in");
    drop((link, silent));
}

#[tokio::test]
async fn a_host_that_holds_all_its_handshakes_takes_none_of_anothers() {
    let ca = Ca::new();
    let (court, _record) = Court::new(&ca);
    let limits = mesh_net::ServerLimits {
        handshakes_per_address: 2,
        ..Default::default()
    };
    let server = Running::start_with(&ca, &court, "127.0.0.1:0", limits);
    let stranger = || raw::dial(server.addr, raw::client(ENROL, None, &Arc::default()));
    // Two that have shown nothing; from then on QUIC's Retry asks for a proof of the address, and two have given it.
    let silent = [
        stranger().await,
        stranger().await,
        stranger().await,
        stranger().await,
    ];
    let agent = ca.agent(&Leaf::agent(7));
    let refused = endpoint().connect(server.addr, &agent, &hello()).await;
    let refused = refused.expect_err("all places of this address are taken");
    assert!(!refused.is_final(), "{refused}: it may dial again");
    let elsewhere = AgentEndpoint::bind("127.0.0.2:0".parse().unwrap(), at(NOW)).unwrap();
    let link = elsewhere.connect(server.addr, &agent, &hello()).await;
    link.expect("another address has places of its own");
    drop(silent);
}
