//! Links: hello, requests both ways, who is let in, and when no longer.

use std::{sync::Arc, time::Duration};

use crate::support::{
    Ca, Leaf, Running,
    authority::{Court, Seen},
    endpoint, facts, hello, raw,
};
use mesh_net::{CallError, CloseCode, LinkEnd, LinkError, Refused};
use mesh_proto::{
    identity::{NodeId, Role},
    message::{
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
