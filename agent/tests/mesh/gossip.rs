//! An agent that gossips with a controller on loopback.

use std::sync::Arc;
use std::time::Duration;

use enforcer_agent::hex;
use enforcer_agent::mesh::GossipChoice;
use mesh_net::{
    CallError, GossipAs, GossipEvent, GossipEvents, GossipHandle, GossipSocket, LinkHandle,
    SwapDesk,
};
use mesh_proto::identity::{NodeId, Role};
use mesh_proto::membership::Event;
use mesh_proto::message::link::{AgentReply, Entry, EntryState, FromAgent, ToAgent};
use mesh_proto::message::ring::{Ring, RingKey};
use mesh_proto::message::{RefusalCode, Secret};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use crate::pretend::{Living, Start, facts};
use crate::site::{MACHINE, Running, SITE, Seen, Site};

const PATIENCE: Duration = Duration::from_secs(10);

struct Room {
    _server: Running,
    record: UnboundedReceiver<Seen>,
    agent: Living,
    link: LinkHandle,
    gossip: GossipHandle,
    events: GossipEvents,
}

fn ring(epochs: std::ops::Range<u32>) -> Ring {
    Ring {
        current: epochs.end - 1,
        keys: epochs
            .map(|epoch| RingKey {
                epoch,
                key: Secret::new(format!("{epoch:064x}")),
            })
            .collect(),
    }
}

async fn room() -> Room {
    let (site, mut record) = Site::new();
    let socket = GossipSocket::bind(([127, 0, 0, 1], 0).into()).expect("loopback");
    let who = GossipAs {
        site: SITE.into(),
        node: NodeId(0xc0),
        role: Role::Controller,
        generation: 1,
        addr: socket.local_addr().expect("bound"),
    };
    let (task, gossip, events) = socket.start(&who);
    tokio::spawn(task.run(CancellationToken::new()));
    gossip.set_ring(&ring(1..2)).await.expect("a good ring");
    *site.desk.lock().expect("nobody panics") = Some(Arc::new(SwapDesk::new(gossip.clone())));
    site.rule(|rules| {
        rules.ring = Some(ring(1..2));
        rules.seeds = vec![Entry {
            node: who.node,
            generation: 1,
            renewals: 0,
            addr: who.addr,
            role: Role::Controller,
            incarnation: 0,
            state: EntryState::Alive,
        }];
    });
    let server = Running::start(&site);
    let mut start = Start::boot(&site);
    start.gossip = GossipChoice::Port(0);
    let agent = start.live(server.addr);
    let link = next!(record, Seen::Hello(link, _) => link);
    Room {
        _server: server,
        record,
        agent,
        link,
        gossip,
        events,
    }
}

#[tokio::test]
async fn a_member_is_known_with_its_generation_and_the_digest_of_its_facts() {
    let mut room = room().await;
    let up = next!(room.events, GossipEvent::Member(Event::Up(identity)) => identity);
    assert_eq!((up.node, up.generation, up.role), (MACHINE, 1, Role::Agent));
    let note = next!(room.events, GossipEvent::Member(Event::Facts(note)) => note);
    assert_eq!(
        (note.node, Some(note.digest)),
        (MACHINE, hex::decode(&facts().digest()))
    );
    room.agent.stop().await;
    let down = next!(room.events, GossipEvent::Member(Event::Down(identity)) => identity);
    assert_eq!(down.node, MACHINE, "who stops says so by gossip too");
}

#[tokio::test]
async fn a_rotated_ring_is_installed_when_it_is_acknowledged() {
    let mut room = room().await;
    next!(room.events, GossipEvent::Member(Event::Up(_)));
    let rotate = |epochs| ToAgent::Ring(ring(epochs));
    assert_eq!(
        room.link.ask(&rotate(1..3), PATIENCE).await,
        Ok(AgentReply::Ok)
    );
    // A ring without its current key is a mistake, and the old one stays.
    let mut broken = ring(1..3);
    broken.current = 9;
    let refused = room.link.ask(&ToAgent::Ring(broken), PATIENCE).await;
    assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
    room.gossip.set_ring(&ring(2..3)).await.unwrap();
    let other = NodeId(8);
    let verdicts = ToAgent::Verdicts { verdicts: vec![] };
    assert_eq!(room.link.ask(&verdicts, PATIENCE).await, Ok(AgentReply::Ok));
    room.agent.machine.facts.lock().unwrap().memory.bytes = 4096;
    let order = crate::pretend::order("1", mesh_proto::message::command::Command::Inventory);
    room.link
        .ask(&ToAgent::Command(order), PATIENCE)
        .await
        .unwrap();
    // The new digest comes under the new key, the only one this controller still opens.
    let want = room.agent.machine.facts.lock().unwrap().digest();
    loop {
        let note = next!(room.events, GossipEvent::Member(Event::Facts(note)) => note);
        if Some(note.digest) == hex::decode(&want) {
            break assert_ne!(note.node, other);
        }
    }
    room.agent.stop().await;
}

#[tokio::test]
async fn a_knock_is_checked_before_a_good_link_is_given_up() {
    let mut room = room().await;
    let up = next!(room.events, GossipEvent::Member(Event::Up(identity)) => identity);
    // The first status is that of a new member; a second one, with nothing new in it, is the sign of life.
    next!(room.record, Seen::Request(FromAgent::Status(_)));
    room.gossip.knock(up.addr).await.unwrap();
    next!(room.record, Seen::Request(FromAgent::Status(_)));
    assert!(matches!(
        room.link.ask(&ToAgent::Facts, PATIENCE).await,
        Ok(AgentReply::Facts(_))
    ));
    assert_eq!(room.agent.view.borrow().generation, Some(1));
    room.agent.stop().await;
}

#[tokio::test]
async fn a_leaf_has_no_ring_and_takes_none() {
    let (site, mut record) = Site::new();
    site.rule(|rules| rules.ring = Some(ring(1..2)));
    let server = Running::start(&site);
    let agent = Start::boot(&site).live(server.addr);
    let (link, hello) = next!(record, Seen::Hello(link, hello) => (link, hello));
    assert_eq!(hello.gossip_port, None);
    match link.ask(&ToAgent::Ring(ring(1..2)), PATIENCE).await {
        Err(CallError::Refused(refusal)) => assert_eq!(refusal.code, RefusalCode::Unsupported),
        other => panic!("{other:?}"),
    }
    agent.stop().await;
}
