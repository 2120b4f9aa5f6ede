//! The controller as a member of the gossip: it swaps state with agents, knocks at the silent, spreads verdicts, and
//! hears of new facts. What comes by gossip is a hint; everything that counts is asked for over a link.

use std::{net::SocketAddr, sync::Arc};

use futures_util::FutureExt as _;
use mesh_net::{GossipAs, GossipEvent, GossipEvents, GossipHandle, GossipSocket, SwapDesk};
use mesh_proto::{
    broadcast::FactsNote,
    identity::{Identity, NodeId, Role},
    membership::Event,
    message::{
        link::{Entry, EntryState, Swap, SwapAnswer, Verdict},
        ring::Ring,
    },
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Inner, Mesh, lock};
use crate::{ca::Ca, metrics::Counter};

/// How long an agent whose swap failed waits.
const SWAP_LATER_MS: u32 = 15_000;

/// The gossip as the rest of the mesh uses it.
pub(super) struct Gossip {
    handle: GossipHandle,
    swaps: SwapDesk,
    /// Whom agents announce themselves to first: this controller, at each of its addresses.
    seeds: Vec<Entry>,
}

impl Gossip {
    /// Starts the socket's task. Members remember the address `own`; at any of the `others` an agent is let in as well.
    pub(super) fn start(
        socket: GossipSocket,
        ca: &Ca,
        own: SocketAddr,
        others: &[SocketAddr],
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> (Self, GossipEvents) {
        let who = GossipAs {
            site: ca.site().to_owned(),
            node: ca.node(),
            role: Role::Controller,
            generation: ca.generation(),
            addr: own,
        };
        let (task, handle, events) = socket.start(&who);
        tasks.spawn(task.run(stop.clone()).boxed());
        let gossip = Self {
            swaps: SwapDesk::new(handle.clone()),
            handle,
            seeds: seeds(&who, others),
        };
        (gossip, events)
    }

    pub(super) fn seeds(&self) -> Vec<Entry> {
        self.seeds.clone()
    }

    pub(super) async fn swap(&self, swap: Swap, joining: bool) -> SwapAnswer {
        let later = SwapAnswer::Later {
            after_ms: SWAP_LATER_MS,
        };
        self.swaps.answer(swap, joining).await.unwrap_or(later)
    }

    pub(super) async fn set_ring(&self, ring: &Ring) {
        if let Err(error) = self.handle.set_ring(ring).await {
            warn!(%error, "the controller's gossip does not take the group key");
        }
    }

    pub(super) async fn verdicts(&self, verdicts: Vec<Verdict>) {
        let _stopping = self.handle.verdicts(verdicts).await;
    }

    pub(super) async fn knock(&self, at: SocketAddr) {
        let _stopping = self.handle.knock(at).await;
    }
}

/// The same node at each address: an announcement is taken by whoever has the node's id.
fn seeds(who: &GossipAs, others: &[SocketAddr]) -> Vec<Entry> {
    let all = std::iter::once(&who.addr).chain(others.iter().filter(|at| **at != who.addr));
    let identity = |at: &SocketAddr| Identity::new(who.node, who.generation, *at, who.role);
    all.map(|at| entry(&identity(at))).collect()
}

fn entry(identity: &Identity) -> Entry {
    Entry {
        node: identity.node,
        generation: identity.generation,
        renewals: identity.renewals,
        addr: identity.addr,
        role: identity.role,
        incarnation: 0,
        state: EntryState::Alive,
    }
}

impl Mesh {
    /// Datagrams of the gossip by what became of them, for `/metrics`.
    pub async fn gossip_counts(&self) -> Vec<(&'static str, u64)> {
        let Ok(counters) = self.0.gossip.handle.counters().await else {
            return Vec::new();
        };
        let (seal, members) = (counters.seal, counters.membership);
        vec![
            ("opened", seal.opened),
            ("bad-length", seal.length),
            ("other-version", seal.version),
            ("other-site", seal.site),
            ("unknown-epoch", seal.unknown_epoch),
            ("forged", seal.forged),
            ("replayed", seal.replayed),
            ("ours", seal.ours),
            ("unknown-kind", seal.kind),
            ("refused", members.refused),
            ("strangers", members.strangers),
            ("not-sent", counters.lost + members.transmits_lost),
        ]
    }
}

impl Inner {
    /// Reads what comes by gossip until it ends.
    pub(super) async fn hear(self: Arc<Self>, mut events: GossipEvents) {
        while let Some(event) = events.recv().await {
            match event {
                GossipEvent::Member(Event::Facts(note)) => self.news_of_facts(&note),
                GossipEvent::Member(Event::Expelled) => self.come_back().await,
                GossipEvent::KeyMissed { epoch } => {
                    // The ring is ours: nobody has a newer one, so somebody seals with one that is long gone.
                    self.metrics.count(Counter::MeshRefusals, "gossip-key");
                    debug!(epoch, "somebody gossips with a key that is not in the ring");
                }
                GossipEvent::Member(_) | GossipEvent::Knocked { .. } => {}
            }
        }
    }

    /// Somebody's facts are others than we have: ask for them over the link.
    fn news_of_facts(self: &Arc<Self>, note: &FactsNote) {
        let known = self.store.view();
        let known = known.facts(&Self::machine_of(note.node));
        if known.is_some_and(|facts| facts.digest == crate::hex::of(&note.digest)) {
            return;
        }
        let link = lock(&self.links).get(note.node).map(|l| l.handle.clone());
        if let Some(link) = link {
            let inner = Arc::clone(self);
            self.work
                .spawn(async move { inner.pull_facts(&link).await }.boxed());
        }
    }

    /// Somebody declared this controller down so often that its generation has no numbers left.
    async fn come_back(&self) {
        let Ok(identity) = self.gossip.handle.identity().await else {
            return;
        };
        let next = identity.generation.saturating_add(1);
        if let Err(error) = self.gossip.handle.hello(next, identity.addr).await {
            warn!(%error, "the controller cannot come back into the gossip");
        }
    }

    /// Where a member gossips, to knock at.
    pub(super) fn gossip_address(&self, node: NodeId) -> Option<SocketAddr> {
        self.store
            .view()
            .member(&Self::machine_of(node))?
            .gossips_at()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_hear_of_every_address_of_a_controller_and_of_its_own_first() {
        let at: Vec<SocketAddr> = ["10.0.0.1:4849", "10.0.1.1:4849", "10.0.2.1:4849"]
            .map(|at| at.parse().expect("an address"))
            .to_vec();
        let who = GossipAs {
            site: "home".to_owned(),
            node: NodeId(7),
            role: Role::Controller,
            generation: 3,
            addr: at[1],
        };
        let seeds = seeds(&who, &at);
        let told: Vec<SocketAddr> = seeds.iter().map(|seed| seed.addr).collect();
        assert_eq!(told, [at[1], at[0], at[2]]);
        assert!(seeds.iter().all(|seed| seed.node == who.node));
    }
}
