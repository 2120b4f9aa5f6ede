//! Links: hello, requests both ways, who is let in, and when no longer.

use std::{sync::Arc, time::Duration};

use crate::support::{
    Ca, DAY, Leaf, NOW, Running,
    authority::{Court, Seen},
    endpoint, endpoint_at, facts, hello, raw,
};
use mesh_net::{CallError, CloseCode, LinkEnd, LinkError, NodeKey, Refused};
use mesh_proto::{
    identity::{NodeId, Role},
    message::{
        RefusalCode,
        command::{Command, Order},
        link::{AgentReply, ControllerReply, FactsReport, FromAgent, ToAgent},
    },
};

const SOON: Duration = Duration::from_secs(10);

fn order() -> ToAgent {
    ToAgent::Command(Order {
        id: "1".into(),
        boot_id: hello().boot_id,
        ttl_ms: 1000,
        command: Command::Reboot,
    })
}

#[tokio::test]
async fn an_agent_says_hello_and_both_sides_ask() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let mut link = endpoint()
        .connect(server.addr, &ca.agent(&Leaf::agent(7)), &hello())
        .await
        .unwrap();
    assert_eq!(link.welcome.generation, 1);
    let (handle, said) = seen!(record, Seen::Hello(handle, said) => (handle, said));
    assert_eq!(said, hello());
    assert_eq!(
        (handle.peer().node, handle.peer().role),
        (NodeId(7), Role::Agent)
    );
    assert_eq!(handle.remote(), link.welcome.seen_as);

    let report = FactsReport {
        boot_id: hello().boot_id,
        facts: facts(),
    };
    let answer = link
        .link
        .call(&FromAgent::Facts(Box::new(report)), SOON)
        .await
        .unwrap();
    assert_eq!(answer, ControllerReply::Ok);
    seen!(record, Seen::Request(FromAgent::Facts(_)) => ());

    let controller = tokio::spawn(async move {
        let order = order();
        let mut replies = handle.call(&order, SOON).await.unwrap();
        let mut got = Vec::new();
        while let Some(reply) = replies.next().await {
            got.push(reply.unwrap());
        }
        got
    });
    let mut incoming = link.next().await.unwrap();
    assert_eq!(incoming.ask, order());
    incoming
        .responder
        .progress("stopping services")
        .await
        .unwrap();
    let done = AgentReply::Done {
        text: "restarting".into(),
    };
    incoming.responder.finish(&done).await.unwrap();
    let progress = AgentReply::Progress {
        text: "stopping services".into(),
    };
    assert_eq!(controller.await.unwrap(), [progress, done]);
}

#[tokio::test]
async fn a_goodbye_is_heard_before_the_end_of_its_link() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let link = endpoint()
        .connect(server.addr, &ca.agent(&Leaf::agent(7)), &hello())
        .await
        .unwrap();
    let id = seen!(record, Seen::Hello(handle, _) => handle.id());
    let bye = FromAgent::Bye {
        reason: "power off".into(),
    };
    link.link.call(&bye, SOON).await.unwrap();
    link.link.close("power off");
    assert_eq!(seen!(record, Seen::Request(ask) => ask), bye);
    let end = LinkEnd::ByPeer {
        code: CloseCode::Done,
        reason: "power off".into(),
    };
    assert_eq!(
        seen!(record, Seen::Closed(closed, end) => (closed, end)),
        (id, end)
    );
}

#[tokio::test]
async fn what_an_agent_refuses_or_drops_is_told_apart() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let mut link = endpoint()
        .connect(server.addr, &ca.agent(&Leaf::agent(7)), &hello())
        .await
        .unwrap();
    let handle = seen!(record, Seen::Hello(handle, _) => handle);
    let other = handle.clone();
    let asked = tokio::spawn(async move { other.ask(&ToAgent::Facts, SOON).await });
    drop(link.next().await.unwrap());
    assert_eq!(asked.await.unwrap(), Err(CallError::Dropped));
    let late = handle.ask(&ToAgent::Facts, Duration::from_millis(50)).await;
    assert_eq!(late, Err(CallError::TimedOut));
    drop(link);
    assert!(matches!(
        handle.ask(&ToAgent::Facts, SOON).await,
        Err(CallError::Link(_) | CallError::Dropped)
    ));
}

#[tokio::test]
async fn a_revoked_key_is_cut_off_and_does_not_come_back() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let (agent, endpoint) = (ca.agent(&Leaf::agent(7)), endpoint());
    let link = endpoint
        .connect(server.addr, &agent, &hello())
        .await
        .unwrap();
    let handle = seen!(record, Seen::Hello(handle, _) => handle);
    court.revoke(&handle.peer().serial);
    handle.close(CloseCode::Revoked, "revoked by root");
    let end = LinkEnd::ByPeer {
        code: CloseCode::Revoked,
        reason: "revoked by root".into(),
    };
    assert_eq!(link.link.ended().await, end);
    seen!(record, Seen::Closed(_, LinkEnd::ByUs) => ());
    let again = endpoint
        .connect(server.addr, &agent, &hello())
        .await
        .unwrap_err();
    assert!(
        matches!(
            &again,
            LinkError::Closed {
                code: CloseCode::Revoked,
                ..
            }
        ),
        "{again:?}"
    );
    assert!(again.is_final());
    seen!(record, Seen::Note(Refused::NotAdmitted) => ());
}

#[tokio::test]
async fn nothing_of_a_link_counts_once_it_was_revoked() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let link = endpoint()
        .connect(server.addr, &ca.agent(&Leaf::agent(7)), &hello())
        .await
        .unwrap();
    let handle = seen!(record, Seen::Hello(handle, _) => handle);
    handle.close(CloseCode::Revoked, "revoked");
    // The agent's host has not heard of it yet: this is on its way.
    let call = link
        .link
        .call(
            &FromAgent::Bye {
                reason: String::new(),
            },
            SOON,
        )
        .await;
    assert!(
        matches!(call, Err(CallError::Link(_) | CallError::Dropped)),
        "{call:?}"
    );
    seen!(record, Seen::Closed(..) => ());
}

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
async fn an_agent_cannot_send_commands() {
    let ca = Ca::new();
    let (court, mut record) = Court::new(&ca);
    let server = Running::start(&ca, &court);
    let agent = Some(ca.shown(&Leaf::agent(7)));
    let connection = raw::dial(
        server.addr,
        raw::client(b"enforcer/1", agent, &Arc::default()),
    )
    .await;
    let first = serde_json::json!({"v": 1, "kind": "hello", "boot_id": "b", "agent": "0", "habitat": "installed-os",
        "gossip_port": null, "facts_digest": "", "last_generation": 0});
    raw::say(&connection, &raw::framed(&first)).await.unwrap();
    seen!(record, Seen::Hello(..) => ());
    let command = serde_json::json!({"v": 1, "kind": "command", "id": "1", "boot_id": "b", "ttl_ms": 1000,
        "command": {"do": "reboot"}});
    let reply = raw::say(&connection, &raw::framed(&command)).await.unwrap();
    assert!(String::from_utf8_lossy(&reply).contains("\"code\":\"protocol\""));
    seen!(record, Seen::Note(Refused::Protocol) => ());
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
