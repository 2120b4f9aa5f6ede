//! Connections beside links: only whose link stands has one, and it ends with it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use mesh_net::{BodyError, CloseCode, Link, LinkEnd, Refused};
use mesh_proto::message::link::{Fetch, FromAgent, Want};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::support::{
    Ca, Leaf, Running,
    authority::{Court, Seen},
    endpoint, hello, raw,
};

const BULK: &[u8] = b"enforcer-bulk/1";
const SOON: Duration = Duration::from_secs(10);

fn fetch() -> FromAgent {
    FromAgent::Fetch(Fetch {
        ticket: "t s".into(),
        want: Want::Manifest,
    })
}

/// What comes back over TCP to somebody who shows this and says that; nothing is left out.
async fn answer(to: SocketAddr, alpn: &[u8], shown: Option<raw::Shown>, said: &[u8]) -> Vec<u8> {
    let connector = TlsConnector::from(Arc::new(raw::tls(alpn, shown, &Arc::default())));
    let stream = TcpStream::connect(to).await.unwrap();
    let mut got = Vec::new();
    if let Ok(mut stream) = connector
        .connect("whoever".try_into().unwrap(), stream)
        .await
    {
        let _cut = stream.write_all(said).await;
        let _cut = stream.read_to_end(&mut got).await;
    }
    got
}

/// A link of machine 7.
async fn linked(ca: &Ca, server: &Running) -> Link {
    let identity = ca.agent(&Leaf::agent(7));
    let dialled = endpoint().connect(server.addr, &identity, &hello()).await;
    dialled.unwrap()
}

#[tokio::test]
async fn who_has_no_link_gets_nothing_whatever_it_shows() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let ask = raw::framed(
        &serde_json::json!({"v": 1, "kind": "fetch", "ticket": "t s", "want": "manifest"}),
    );
    let rows: [(&[u8], _, _); 4] = [
        (BULK, None, Refused::NoCertificate),
        (BULK, Some(other.shown(&Leaf::agent(7))), Refused::Tls),
        (BULK, Some(ca.shown(&Leaf::agent(7))), Refused::NotAdmitted),
        (b"enforcer/1", Some(ca.shown(&Leaf::agent(7))), Refused::Tls),
    ];
    for (alpn, shown, why) in rows {
        assert_eq!(answer(server.addr, alpn, shown, &ask).await, [0; 0]);
        assert_eq!(seen!(record, Seen::Note(note) => note), why);
    }
}

#[tokio::test]
async fn a_link_that_stands_for_another_key_of_the_node_is_not_enough() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let _link = linked(&ca, &server).await;
    seen!(record, Seen::Hello(..) => ());
    let shown = Some(ca.shown(&Leaf::agent(7)));
    assert_eq!(answer(server.addr, BULK, shown, b"").await, [0; 0]);
    seen!(record, Seen::Note(Refused::NotAdmitted) => ());
}

#[tokio::test]
async fn what_runs_beside_a_link_ends_with_it() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let link = linked(&ca, &server).await;
    let handle = seen!(record, Seen::Hello(handle, ..) => handle);
    let agent = link.link.clone();
    let mut upload = agent
        .upload(&FromAgent::Put { job: 1, parcels: 1 }, SOON)
        .await
        .unwrap();
    upload
        .write(bytes::Bytes::from_static(&[7; 64]))
        .await
        .unwrap();
    let (_, mut body, _decide) =
        seen!(record, Seen::Transfer(ask, body, decide) => (ask, body, decide));
    handle.close(CloseCode::Revoked, "revoked");
    while let Ok(Some(_)) = body.next().await {}
    assert_eq!(body.next().await, Err(BodyError::Link(LinkEnd::ByUs)));
    assert!(link.link.fetch(&fetch(), SOON).await.is_err());
}
