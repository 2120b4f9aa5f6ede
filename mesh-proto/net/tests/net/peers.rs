//! Links between sites: who opens one, and that no certificate opens a door of another kind.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh_net::{LinkError, MeshServer, PeerLink, Refused, ServerConfig, ServerHandle};
use mesh_proto::message::{
    RefusalCode, Secret,
    peer::{FromInviter, PeerAsk, PeerReply, ToInviter},
};
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::support::{
    Ca, Leaf, NOW, Running, at,
    authority::{Court, Seen},
    raw,
    wire::Wire,
};

const SOON: Duration = Duration::from_secs(10);
pub(crate) const OTHER: &str = "elsewhere";

pub(crate) fn elsewhere() -> Leaf {
    Leaf {
        site: OTHER,
        ..Leaf::controller()
    }
}

pub(crate) fn der(ca: &Ca) -> CertificateDer<'static> {
    mesh_net::keys::certificate_der(&ca.pem).unwrap()
}

/// A server of the site `elsewhere`, from whose port peers are dialled.
fn other_server(ca: &Ca) -> ServerHandle {
    let identity = ca.controller(&elsewhere());
    let config = ServerConfig::new("127.0.0.1:0".parse().unwrap(), identity, at(NOW));
    let server = MeshServer::bind(config).unwrap();
    let handle = server.handle();
    let (court, _record) = Court::new(&Ca::new());
    tokio::spawn(server.run(court, CancellationToken::new()));
    handle
}

/// The site `home`, which believes the site `elsewhere`, and a link that was dialled from there.
pub(crate) struct Joined {
    pub(crate) ca: Arc<Ca>,
    pub(crate) other: Arc<Ca>,
    pub(crate) server: Running,
    pub(crate) record: UnboundedReceiver<Seen>,
    pub(crate) handle: ServerHandle,
    pub(crate) link: PeerLink,
    pub(crate) wire: Wire,
}

pub(crate) async fn joined() -> Joined {
    let (ca, other) = (Ca::new(), Ca::new());
    let (court, record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let believed = (OTHER.to_owned(), der(&other));
    server.peers.lock().unwrap().push(believed);
    let handle = other_server(&other);
    let wire = Wire::to(server.addr).await;
    let dialled = handle.dial_peer("home", der(&ca), wire.addr).await;
    Joined {
        link: dialled.unwrap(),
        wire,
        ca,
        other,
        server,
        record,
        handle,
    }
}

#[tokio::test]
async fn two_sites_that_hold_each_others_ca_ask_each_other_over_one_link() {
    let Joined {
        link,
        mut record,
        server: _server,
        ..
    } = joined().await;
    let there: PeerLink = seen!(record, Seen::Peer(link) => link);
    assert_eq!((there.site(), link.site()), (OTHER, "home"));
    for (asks, answers) in [(&link, &there), (&there, &link)] {
        let ask = PeerAsk::Macs { macs: Vec::new() };
        let answer = async {
            let (asked, to) = answers.accept().await.unwrap().read().await.unwrap();
            to.reply(&PeerReply::Noted).await;
            asked
        };
        let (reply, asked) = tokio::join!(asks.ask(&ask, SOON), answer);
        assert_eq!((reply.unwrap(), asked), (PeerReply::Noted, ask));
    }
}

#[tokio::test]
async fn an_agent_does_not_get_the_timers_of_sites() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    for alpn in ["enforcer/1", "enforcer-enrol/1"] {
        let shown = Some(ca.shown(&Leaf::agent(7)));
        let mut client = raw::client(alpn.as_bytes(), shown, &Arc::default());
        let marked = || quinn::ConnectionId::new(b"enfpeer1another12byt");
        client.initial_dst_cid_provider(Arc::new(marked));
        raw::dial(server.addr, client).await.closed().await;
        let why = seen!(record, Seen::Note(why) => why);
        assert_eq!(why, Refused::Protocol, "{alpn}");
    }
}

type Comes = (&'static str, &'static str, Option<raw::Shown>, Refused);

/// Who comes to which door, and what it is told.
fn who_comes(ca: &Ca, other: &Ca) -> Vec<Comes> {
    const PEER: &str = "enforcer-peer/1";
    const LINK: &str = "enforcer/1";
    let its_agent = Leaf {
        site: OTHER,
        ..Leaf::agent(7)
    };
    let agent = Leaf::agent(7);
    let shown = |by: &Ca, leaf: &Leaf| Some(by.shown(leaf));
    let stranger = Ca::new();
    vec![
        ("our agent", PEER, shown(ca, &agent), Refused::Role),
        (
            "our controller",
            PEER,
            shown(ca, &Leaf::controller()),
            Refused::Role,
        ),
        ("nobody", PEER, None, Refused::NoCertificate),
        (
            "its controller",
            LINK,
            shown(other, &elsewhere()),
            Refused::Role,
        ),
        ("its agent", LINK, shown(other, &its_agent), Refused::Tls),
        ("its agent", PEER, shown(other, &its_agent), Refused::Tls),
        (
            "our agent by its CA",
            LINK,
            shown(other, &agent),
            Refused::Tls,
        ),
        (
            "its controller by our CA",
            PEER,
            shown(ca, &elsewhere()),
            Refused::Tls,
        ),
        (
            "a stranger's",
            PEER,
            shown(&stranger, &elsewhere()),
            Refused::Tls,
        ),
    ]
}

#[tokio::test]
async fn no_certificate_opens_a_door_of_another_kind() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    server
        .peers
        .lock()
        .unwrap()
        .push((OTHER.to_owned(), der(&other)));
    for (who, alpn, shown, expected) in who_comes(&ca, &other) {
        let client = raw::client(alpn.as_bytes(), shown, &Arc::default());
        let connection = raw::dial(server.addr, client).await;
        connection.closed().await;
        assert_eq!(
            seen!(record, Seen::Note(why) => why),
            expected,
            "{who} at {alpn}"
        );
    }
}

#[tokio::test]
async fn a_revoked_sites_next_dial_is_refused_and_another_site_is_never_taken_for_it() {
    let Joined {
        ca,
        other,
        server,
        mut record,
        handle,
        link: _link,
        wire: _wire,
    } = joined().await;
    seen!(record, Seen::Peer(_) => ());
    server.peers.lock().unwrap().clear();
    let refused = handle
        .dial_peer("home", der(&ca), server.addr)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, LinkError::OurCertificate(_)),
        "{refused:?}"
    );
    for (name, ca) in [("home", &other), ("house", &ca)] {
        let refused = handle
            .dial_peer(name, der(ca), server.addr)
            .await
            .unwrap_err();
        assert!(
            matches!(refused, LinkError::Impostor(_)),
            "{name}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn the_secret_of_an_invitation_goes_only_to_the_ca_that_it_names() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let handle = other_server(&other);
    let join = ToInviter::Join {
        invitation: "00000001".into(),
        secret: Secret::new("5".repeat(32)),
        site: OTHER.into(),
        ca: other.pem.clone(),
        addresses: Vec::new(),
    };
    let wrong = handle
        .join_peer(("home", [7; 32]), server.addr, &join)
        .await;
    assert!(matches!(wrong, Err(LinkError::Impostor(_))), "{wrong:?}");
    seen!(record, Seen::Note(Refused::Tls) => ());
    let right = handle
        .join_peer(("home", ca.sha256()), server.addr, &join)
        .await;
    let FromInviter::Refused(refusal) = right.unwrap() else {
        panic!("this court admits nobody");
    };
    assert_eq!(refusal.code, RefusalCode::NotAllowed);
    seen!(record, Seen::PeerJoin(came) => assert_eq!(came, join));
}

/// The CAs that a test's server believes, by site.
pub(crate) type Believed = Arc<Mutex<Vec<(String, CertificateDer<'static>)>>>;
