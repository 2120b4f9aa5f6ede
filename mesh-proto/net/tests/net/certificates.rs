//! Certificates: who is believed by whom, and for how long.

use std::{sync::Arc, time::Duration};

use mesh_net::{LinkError, NodeKey, Refused};
use mesh_proto::{
    identity::NodeId,
    message::{
        RefusalCode,
        link::{ControllerReply, FromAgent},
    },
};

use crate::support::{
    Ca, DAY, Leaf, NOW, Running,
    authority::{Court, Seen},
    endpoint, endpoint_at, hello, raw,
};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused_and_the_agent_is_told_what_that_means() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    // The same site name, set up anew: the agent still trusts the controller's CA here, to see the other side's verdict.
    let old = Ca::new();
    let key = NodeKey::generate().unwrap();
    let leaf = old.issue(&key.spki(), &Leaf::agent(7));
    let agent = mesh_net::LinkIdentity::from_pem(&ca.pem, &leaf, &key).unwrap();
    let error = endpoint()
        .connect(server.addr, &agent, &hello())
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::OurCertificate(_)), "{error:?}");
    assert!(error.to_string().contains("set up anew"));
    seen!(record, Seen::Note(Refused::Tls) => ());
}

#[tokio::test]
async fn certificates_that_are_not_an_agents_open_no_link() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let other_site = Leaf {
        site: "elsewhere",
        ..Leaf::agent(7)
    };
    let no_usage = Leaf {
        usage: Vec::new(),
        ..Leaf::agent(7)
    };
    let rows = [
        (Leaf::controller(), Refused::Role),
        (other_site, Refused::Tls),
        (no_usage, Refused::Tls),
    ];
    for (leaf, expected) in rows {
        let connection = raw::dial(
            server.addr,
            raw::client(b"enforcer/1", Some(ca.shown(&leaf)), &Arc::default()),
        )
        .await;
        connection.closed().await;
        assert_eq!(seen!(record, Seen::Note(why) => why), expected);
    }
}

#[tokio::test]
async fn an_agents_certificate_does_not_make_a_controller() {
    let ca = Ca::new();
    let agents_own = Leaf::agent(9);
    let with_server_use = Leaf {
        usage: Leaf::controller().usage,
        ..Leaf::agent(9)
    };
    let other_site = Leaf {
        site: "elsewhere",
        ..Leaf::controller()
    };
    for leaf in [agents_own, with_server_use, other_site] {
        let (cert, key) = ca.shown(&leaf);
        let fake = raw::server(b"enforcer/1", vec![cert], key);
        let accept = tokio::spawn({
            let fake = fake.clone();
            async move { fake.accept().await.unwrap().await.map(|_| ()) }
        });
        let addr = fake.local_addr().unwrap();
        let error = endpoint()
            .connect(addr, &ca.agent(&Leaf::agent(7)), &hello())
            .await
            .unwrap_err();
        assert!(matches!(error, LinkError::Impostor(_)), "{error:?}");
        assert!(accept.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_controller_of_another_ca_is_not_believed() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (court, _record) = Court::new(&other);
    let server = Running::start(&other, &court);
    let error = endpoint()
        .connect(server.addr, &ca.agent(&Leaf::agent(7)), &hello())
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::Impostor(_)), "{error:?}");
}

#[tokio::test]
async fn an_expired_key_may_be_renewed_and_nothing_else() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let (key, endpoint) = (NodeKey::generate().unwrap(), endpoint());
    let old = ca.agent_with(
        &Leaf {
            years: (2020, 2021),
            ..Leaf::agent(7)
        },
        &key,
    );
    let error = endpoint
        .connect(server.addr, &old, &hello())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, LinkError::Refused(r) if r.code == RefusalCode::Expired),
        "{error:?}"
    );
    seen!(record, Seen::Note(Refused::Expired) => ());
    let renewed = endpoint
        .renew(server.addr, &old, &key.csr_pem().unwrap())
        .await
        .unwrap();
    let peer = seen!(record, Seen::Renew(peer) => peer);
    assert!(peer.expired && peer.node == NodeId(7));
    let new = mesh_net::LinkIdentity::from_pem(&ca.pem, &renewed, &key).unwrap();
    endpoint.connect(server.addr, &new, &hello()).await.unwrap();
    seen!(record, Seen::Hello(handle, _) => assert!(!handle.peer().expired));
}

#[tokio::test]
async fn an_agent_whose_clock_stands_in_1970_links() {
    let ca = Ca::new();
    let (court, _record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let agent = ca.agent(&Leaf::agent(7));
    endpoint_at(0)
        .connect(server.addr, &agent, &hello())
        .await
        .unwrap();
    // A clock that is right, or a little ahead, knows an old controller's certificate for what it is; years do.
    endpoint_at(NOW + 100 * DAY)
        .connect(server.addr, &agent, &hello())
        .await
        .unwrap();
    let error = endpoint_at(NOW + 1000 * DAY)
        .connect(server.addr, &agent, &hello())
        .await
        .unwrap_err();
    assert!(matches!(error, LinkError::Impostor(_)), "{error:?}");
}

#[tokio::test]
async fn a_session_is_never_resumed() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let tickets = Arc::<raw::Tickets>::default();
    let agent = Some(ca.shown(&Leaf::agent(7)));
    let connection = raw::dial(server.addr, raw::client(b"enforcer/1", agent, &tickets)).await;
    let first = serde_json::json!({"v": 1, "kind": "renew", "csr": NodeKey::generate().unwrap().csr_pem().unwrap()});
    // Tickets would follow the handshake, so they would be here before this answer.
    raw::say(&connection, &raw::framed(&first)).await.unwrap();
    seen!(record, Seen::Renew(_) => ());
    assert_eq!(tickets.count(), 0);
}

#[tokio::test]
async fn a_controller_changes_its_certificate_while_it_runs() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let old = endpoint()
        .connect(server.addr, &ca.agent(&Leaf::agent(7)), &hello())
        .await
        .unwrap();
    let other = Leaf {
        node: NodeId(0xc1),
        ..Leaf::controller()
    };
    let fresh = ca.controller(&other);
    server.handle.set_identity(fresh).unwrap();
    endpoint()
        .connect(server.addr, &ca.agent(&Leaf::agent(8)), &hello())
        .await
        .unwrap();
    let bye = FromAgent::Bye {
        reason: String::new(),
    };
    assert_eq!(old.link.call(&bye, SOON).await, Ok(ControllerReply::Ok));
    for _ in 0..2 {
        seen!(record, Seen::Hello(..) => ());
    }
}
