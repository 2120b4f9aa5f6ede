//! Gossip over real sockets: joining, news, keys, and state swaps over the link.

use std::net::SocketAddr;

use mesh_net::{
    GossipAs, GossipError, GossipEvent, GossipEvents, GossipHandle, GossipSocket, SwapDesk,
    Swapped, swap,
};
use mesh_proto::{
    identity::{NodeId, Role},
    membership::{Event, MemberState},
    message::{
        Secret,
        link::{Entry, EntryState, Verdict, VerdictState},
        ring::{Ring, RingKey},
    },
};
use tokio::net::UdpSocket;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::support::{Ca, Leaf, Running, SITE, authority::Court, endpoint, hello};

struct Node {
    id: NodeId,
    addr: SocketAddr,
    gossip: GossipHandle,
    events: GossipEvents,
    _stop: DropGuard,
}

fn ring(epochs: &[u32]) -> Ring {
    let key = |epoch: &u32| RingKey {
        epoch: *epoch,
        key: Secret::new(format!("{epoch:02x}").repeat(32)),
    };
    Ring {
        current: *epochs.last().unwrap(),
        keys: epochs.iter().map(key).collect(),
    }
}

impl Node {
    async fn start(id: u64, role: Role) -> Self {
        let node = Self::silent(id, role);
        node.gossip.set_ring(&ring(&[1])).await.unwrap();
        node
    }

    fn silent(id: u64, role: Role) -> Self {
        let socket = GossipSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (id, addr, stop) = (
            NodeId(id),
            socket.local_addr().unwrap(),
            CancellationToken::new(),
        );
        let who = GossipAs {
            site: SITE.into(),
            node: id,
            role,
            generation: 1,
            addr,
        };
        let (task, gossip, events) = socket.start(&who);
        tokio::spawn(task.run(stop.clone()));
        Self {
            id,
            addr,
            gossip,
            events,
            _stop: stop.drop_guard(),
        }
    }

    fn entry(&self) -> Entry {
        Entry {
            node: self.id,
            generation: 1,
            renewals: 0,
            addr: self.addr,
            role: Role::Controller,
            incarnation: 0,
            state: EntryState::Alive,
        }
    }

    /// Waits for an event; the ones before it are not of interest.
    async fn until(&mut self, wanted: impl Fn(&GossipEvent) -> bool) {
        while !wanted(&self.events.recv().await.unwrap()) {}
    }

    async fn until_up(&mut self, other: NodeId) {
        self.until(
            |event| matches!(event, GossipEvent::Member(Event::Up(who)) if who.node == other),
        )
        .await;
    }

    async fn until_down(&mut self, other: NodeId) {
        self.until(
            |event| matches!(event, GossipEvent::Member(Event::Down(who)) if who.node == other),
        )
        .await;
    }

    async fn state_of(&self, other: NodeId) -> Option<MemberState> {
        let members = self.gossip.members().await.unwrap();
        members
            .iter()
            .find(|view| view.identity.node == other)
            .map(|view| view.state)
    }
}

/// A controller and two agents that know each other.
async fn trio() -> [Node; 3] {
    let mut controller = Node::start(0xc0, Role::Controller).await;
    let [mut a, mut b] = [
        Node::start(1, Role::Agent).await,
        Node::start(2, Role::Agent).await,
    ];
    a.gossip.join(&[controller.entry()]).await.unwrap();
    controller.until_up(a.id).await;
    b.gossip.join(&[controller.entry()]).await.unwrap();
    controller.until_up(b.id).await;
    a.until_up(b.id).await;
    b.until_up(a.id).await;
    [controller, a, b]
}

#[tokio::test]
async fn members_find_each_other_hear_of_facts_and_of_a_goodbye() {
    let [mut controller, a, mut b] = trio().await;
    a.gossip.announce_facts([7; 16]).await.unwrap();
    let news = |event: &GossipEvent| matches!(event, GossipEvent::Member(Event::Facts(note)) if note.node == NodeId(1) && note.digest == [7; 16]);
    controller.until(news).await;
    b.until(news).await;
    a.gossip.leave().await.unwrap();
    controller.until_down(a.id).await;
    b.until_down(a.id).await;
}

#[tokio::test]
async fn a_verdict_is_passed_on_and_says_why() {
    let [controller, a, mut b] = trio().await;
    // It is gone, and cannot object.
    let gone = a.id;
    drop(a);
    let verdict = Verdict {
        node: gone,
        generation: 1,
        state: VerdictState::Revoked,
    };
    controller.gossip.verdicts(vec![verdict]).await.unwrap();
    b.until_down(gone).await;
    assert_eq!(controller.state_of(gone).await, Some(MemberState::Revoked));
    assert_eq!(
        b.state_of(gone).await,
        Some(MemberState::Down),
        "rumours say no reasons"
    );
}

#[tokio::test]
async fn a_node_that_was_declared_down_comes_back_and_a_hello_makes_it_a_new_life() {
    let [mut controller, mut a, _b] = trio().await;
    let verdict = Verdict {
        node: a.id,
        generation: 1,
        state: VerdictState::Down,
    };
    controller.gossip.verdicts(vec![verdict]).await.unwrap();
    controller.until_down(a.id).await;
    a.until(|event| matches!(event, GossipEvent::Member(Event::RenewedOurselves(_))))
        .await;
    assert!(a.gossip.identity().await.unwrap().renewals > 0);
    controller.until_up(a.id).await;

    a.gossip.hello(5, a.addr).await.unwrap();
    let renewed = |event: &GossipEvent| matches!(event, GossipEvent::Member(Event::Renewed { after, .. }) if after.generation == 5);
    controller.until(renewed).await;
    assert_eq!(
        a.gossip.hello(4, a.addr).await,
        Err(GossipError::Stale {
            offered: 4,
            ours: 5
        })
    );
}

#[tokio::test]
async fn a_knock_comes_in_and_a_missing_key_is_noticed() {
    let controller = Node::start(0xc0, Role::Controller).await;
    let mut a = Node::silent(1, Role::Agent);
    controller.gossip.knock(a.addr).await.unwrap();
    assert_eq!(
        a.events.recv().await,
        Some(GossipEvent::KeyMissed { epoch: 1 })
    );
    a.gossip.set_ring(&ring(&[1])).await.unwrap();
    controller.gossip.knock(a.addr).await.unwrap();
    assert_eq!(
        a.events.recv().await,
        Some(GossipEvent::Knocked { by: controller.id })
    );

    // A rotation: who has both keys still opens the old one, and seals with the new one.
    controller.gossip.set_ring(&ring(&[1, 2])).await.unwrap();
    a.gossip.knock(controller.addr).await.unwrap();
    let mut controller = controller;
    assert_eq!(
        controller.events.recv().await,
        Some(GossipEvent::Knocked { by: a.id })
    );
    a.gossip.set_ring(&ring(&[1, 2])).await.unwrap();
    controller.gossip.knock(a.addr).await.unwrap();
    assert_eq!(
        a.events.recv().await,
        Some(GossipEvent::Knocked { by: controller.id })
    );
    let wrong = Ring {
        current: 3,
        keys: vec![RingKey {
            epoch: 3,
            key: Secret::new("short"),
        }],
    };
    assert_eq!(a.gossip.set_ring(&wrong).await, Err(GossipError::Key));
}

#[tokio::test]
async fn strangers_are_counted_and_do_no_harm() {
    let controller = Node::start(0xc0, Role::Controller).await;
    let mut a = Node::start(1, Role::Agent).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for len in [0, 1, 60, 1200, 4000] {
        stranger.send_to(&vec![1; len], a.addr).await.unwrap();
    }
    controller.gossip.knock(a.addr).await.unwrap();
    assert_eq!(
        a.events.recv().await,
        Some(GossipEvent::Knocked { by: controller.id })
    );
    let seal = a.gossip.counters().await.unwrap().seal;
    assert_eq!((seal.opened, seal.length, seal.site), (1, 3, 2), "{seal:?}");
}

#[tokio::test]
async fn a_swap_over_the_link_makes_two_views_one() {
    let ca = Ca::new();
    let (court, _record) = Court::new(&ca);
    let (ours, theirs) = (
        Node::start(0xc0, Role::Controller).await,
        Node::start(7, Role::Agent).await,
    );
    let gone = Entry {
        node: NodeId(9),
        state: EntryState::Down,
        ..ours.entry()
    };
    // Each knows somebody the other does not.
    ours.gossip
        .merge(vec![Entry {
            node: NodeId(8),
            ..ours.entry()
        }])
        .await
        .unwrap();
    theirs
        .gossip
        .merge(vec![
            Entry {
                node: NodeId(6),
                ..ours.entry()
            },
            gone,
        ])
        .await
        .unwrap();
    court.swap_with(SwapDesk::new(ours.gossip.clone()));
    let server = Running::start(&ca, &court);
    let link = endpoint()
        .connect(server.addr, &ca.agent(&Leaf::agent(7)), &hello())
        .await
        .unwrap();
    let first = swap(&theirs.gossip, &link.link).await.unwrap();
    assert_eq!(
        first,
        Swapped::Merged { news: 2 },
        "node 8, and the controller itself"
    );
    assert_eq!(
        swap(&theirs.gossip, &link.link).await.unwrap(),
        Swapped::Same
    );
    assert_eq!(ours.state_of(NodeId(6)).await, Some(MemberState::Alive));
    assert_eq!(
        ours.gossip.digest().await.unwrap(),
        theirs.gossip.digest().await.unwrap()
    );
}
