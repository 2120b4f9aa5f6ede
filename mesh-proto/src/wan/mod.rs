//! The mesh of sites: which other sites live, seen from here and from elsewhere, and where they are to be found.
//!
//! The same SWIM as in one site ([`crate::membership`]) with [`Timing::WAN`], one member a site. What it sends travels on the
//! links that two sites hold with each other, never beside them. So there is no key that all sites share: who speaks is who
//! holds a certificate under the CA that a person here has pinned; a site that is revoked is not heard from its next frame on;
//! and nobody speaks for another (a packet whose sender is not the site of its link is refused). The links are reliable, so
//! loss shows as delay.
//!
//! *Everything here is a hint.* It lets nobody in and takes nobody out; it says where a peer may be dialled, by its own CA,
//! and what people are shown. In order of what counts:
//!
//! 1. our own link: while it stands the site lives, and what others say of it is not believed but told to it;
//! 2. what its peers say (gossip, and their lists, which are read now and then): it lives and we do not reach it, or it is gone;
//! 3. sites that nobody joined here: "heard of through" the peer that listed them. They are shown, never dialled and never
//!    answered, and not passed on.
//!
//! Gossip tells news once; a list is how one who missed them, or was cut off, learns the rest. A reader remembers how far it
//! has read ([`board`]) and is sent only what changed since. A life that others believe over, because a network was cut, is
//! told so (a [`Frame::Rumour`]) by whoever has a link with it, and answers with a newer one.

mod board;
mod hear;
mod heard;
mod link;
mod row;
mod view;
mod wire;

use std::{
    collections::{BTreeMap, VecDeque},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use rand_gossip::{RngExt, SeedableRng, rngs::SmallRng};
use sha2::{Digest, Sha256};

use self::{board::Board, heard::Heard, link::Link};
pub use self::{
    heard::{HeardSite, MAX_HEARD},
    row::{MAX_ADDRESSES, RowState, SiteRow, is_site_name},
    view::{Presence, SiteView},
    wire::{Frame, MAX_FRAME},
};
use crate::{
    identity::{Identity, NodeId, Role},
    membership::{self, Membership, Timing},
    message::link::Entry,
};

/// Who dialled a link between sites and has heard nothing on it for so long asks for a sign of life. A link that is idle costs
/// each side a packet sent and one received in this time, of 64 bytes with IPv4. With the timers of agents' links, where both
/// sides ask after 2 s, each of fifty sites that all know each other spent 3 kB a second on it; with this 0.3.
pub const LINK_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Silence after which such a link is given up. A sign of life that is lost has ten seconds to be repeated, and QUIC does that
/// ever more seldom: so a way that is broken for five costs no link. The timer starts once more when a side speaks into the
/// silence, so an end shows after 20 to 30 s, and with it a site's death is known everywhere in 40 s.
pub const LINK_IDLE: Duration = Duration::from_secs(20);
/// Sites that one may have joined here. Others are heard of at most.
pub const MAX_SITES: usize = 256;
/// Frames that wait for their links. A driver takes them after each step, so this is never reached by a working one.
const MAX_TRANSMITS: usize = 1_024;
/// Events that wait for their reader; each says what is so now, and [`Wan::sites`] says it again.
const MAX_EVENTS: usize = 1_024;
/// Between two questions for a list, over all links: answers are most of what a site receives while much changes.
const ASKS: Duration = Duration::from_secs(3);
/// Between two answers to "you are suspected": a suspicion that is not answered becomes a verdict after 12 s.
const REFUTES: Duration = Duration::from_secs(1);
/// Between two renewals of our own life because somebody was told that it is over. Each is said on every link, and a liar could
/// use up all its numbers.
const RENEWS: Duration = Duration::from_secs(5);

/// Why a frame was not taken. It is counted; nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// From a site that is not joined here (any more), or over no link.
    #[error("from a site that is not joined")]
    NotJoined,
    /// More frames than any peer of ours sends.
    #[error("too many frames")]
    TooMany,
    /// Not a frame.
    #[error("not a frame of the mesh of sites")]
    Malformed,
    /// In another site's name.
    #[error("in the name of another site")]
    Forged,
}

impl Refused {
    /// Its word in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotJoined => "not-joined",
            Self::TooMany => "too-many",
            Self::Malformed => "malformed",
            Self::Forged => "forged",
        }
    }
}

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WanEvent {
    /// A joined site is there, or not.
    Presence(Arc<str>, Presence),
    /// A joined site said itself, over its own link, where it listens.
    Moved(Arc<str>, Vec<SocketAddr>),
}

/// A joined site.
struct Peer {
    site: Arc<str>,
    link: Option<Link>,
    presence: Presence,
    since: Instant,
    /// How far its list was read: which list, and which revision.
    read: (u64, u64),
    /// Where it listens, as it says itself.
    own: Vec<SocketAddr>,
    /// The same, as others say.
    told: Vec<SocketAddr>,
    /// What is said of it, and it has not been told yet.
    disputed: Option<Entry>,
}

/// This site in the mesh of sites.
pub struct Wan {
    site: Arc<str>,
    members: Membership,
    peers: BTreeMap<NodeId, Peer>,
    addresses: Vec<SocketAddr>,
    board: Board,
    heard: Heard,
    rng: SmallRng,
    next_ask: Instant,
    refuted: Option<Instant>,
    /// What is said of us and was not answered yet.
    disputed: Option<Entry>,
    /// Whether somebody may be there, or gone, since it was last looked.
    moved: bool,
    /// How often gossip told something about a site that we have no link with.
    news: u64,
    outbox: VecDeque<(Arc<str>, Vec<u8>)>,
    events: VecDeque<WanEvent>,
}

/// A site's id in the gossip. Computed, so that a name needs no introduction; a site has one controller that speaks for it.
#[must_use]
pub fn node_of(site: &str) -> NodeId {
    let digest = Sha256::new()
        .chain_update(b"enforcer-wan/1 ")
        .chain_update(site);
    let first = *digest
        .finalize()
        .first_chunk()
        .expect("a digest has 32 bytes");
    NodeId(u64::from_be_bytes(first))
}

/// One life of a site. Its addresses are in its list: they change without its life being another.
fn identity_of(site: &str, generation: u32) -> Identity {
    let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    Identity::new(node_of(site), generation, nowhere, Role::Peer)
}

impl Wan {
    /// A site that knows nobody. `generation` counts its controller's starts; `addresses` are where it listens for links.
    /// `seed` is random; no secret is drawn from it.
    #[must_use]
    pub fn new(
        now: Instant,
        site: &str,
        generation: u32,
        addresses: &[SocketAddr],
        seed: [u8; 32],
    ) -> Self {
        Self::with_timing(now, (site, generation), addresses, seed, Timing::WAN)
    }

    /// The same with other timing: what simulations compare with.
    #[must_use]
    pub fn with_timing(
        now: Instant,
        (site, generation): (&str, u32),
        addresses: &[SocketAddr],
        seed: [u8; 32],
        timing: Timing,
    ) -> Self {
        let mut rng = SmallRng::from_seed(seed);
        let identity = identity_of(site, generation);
        Self {
            site: site.into(),
            members: Membership::with_timing(now, identity, rng.random(), timing),
            peers: BTreeMap::new(),
            addresses: addresses.iter().take(MAX_ADDRESSES).copied().collect(),
            board: Board::new(rng.random()),
            heard: Heard::default(),
            rng,
            next_ask: now,
            refuted: None,
            disputed: None,
            moved: false,
            news: 0,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// The sites that are joined now. Who is none of them any more is forgotten, with all that it told.
    pub fn set_joined<'a>(&mut self, now: Instant, sites: impl IntoIterator<Item = &'a str>) {
        let others = sites.into_iter().filter(|site| **site != *self.site);
        let joined: BTreeMap<NodeId, &str> =
            others.take(MAX_SITES).map(|s| (node_of(s), s)).collect();
        let parted: Vec<NodeId> = self.peers.keys().copied().collect();
        for node in parted.into_iter().filter(|n| !joined.contains_key(n)) {
            self.peers.remove(&node);
            self.heard.forget_teller(node);
            self.members.forget(now, node);
        }
        for (node, site) in joined {
            self.heard.forget_site(site);
            self.peers
                .entry(node)
                .or_insert_with(|| Peer::new(now, site));
        }
        self.moved = true;
        self.settle(now);
    }

    /// Another link with a joined site stands.
    pub fn link_up(&mut self, now: Instant, site: &str) {
        let seed = self.rng.random();
        if let Some(peer) = self.peers.get_mut(&node_of(site)) {
            // Both may have dialled; what the site may say is measured over all its links.
            match &mut peer.link {
                Some(link) => link.begin(now, seed),
                link @ None => *link = Some(Link::new(now, seed)),
            }
            self.greet(node_of(site));
        }
        self.moved = true;
        self.settle(now);
    }

    /// The last link with a site ended.
    pub fn link_down(&mut self, now: Instant, site: &str) {
        if let Some(peer) = self.peers.get_mut(&node_of(site)) {
            peer.link = None;
        }
        self.moved = true;
        self.settle(now);
    }

    /// Does everything that is due. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.members.handle_timeout(now);
        self.settle_disputes(now);
        self.ask(now);
        self.settle(now);
    }

    /// When [`Self::handle_timeout`] is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let links = self.peers.values().filter_map(|p| p.link.as_ref());
        let ask = links.map(|l| l.due().1.max(self.next_ask)).min();
        ask.into_iter().chain(self.members.poll_timeout()).min()
    }

    /// The next frame, and the site whose link it is for.
    pub fn poll_transmit(&mut self) -> Option<(Arc<str>, Vec<u8>)> {
        self.outbox.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<WanEvent> {
        self.events.pop_front()
    }

    /// Asks one site for what is new on its list: the one whose turn it is.
    fn ask(&mut self, now: Instant) {
        if now < self.next_ask {
            return;
        }
        let linked = self.peers.values_mut().filter(|p| p.link.is_some());
        let due = linked.filter_map(|p| Some((p.link.as_ref()?.due(), p)));
        let due = due.filter(|((_, at), _)| *at <= now);
        let Some((_, peer)) = due.min_by_key(|(turn, _)| *turn) else {
            return;
        };
        if let Some(link) = &mut peer.link {
            link.read(now);
        }
        let (session, revision) = peer.read;
        let (to, ask) = (Arc::clone(&peer.site), Frame::Ask { session, revision });
        self.next_ask = now + ASKS;
        self.send(to, &ask);
    }

    /// Says who we are.
    fn greet(&mut self, node: NodeId) {
        let ours = self.own_row();
        if let Some(peer) = self.peers.get(&node).filter(|p| p.link.is_some()) {
            self.send(Arc::clone(&peer.site), &Frame::Hello(ours));
        }
    }

    fn own_row(&self) -> SiteRow {
        let ours = self.members.entry(self.members.identity().node);
        let ours = ours.expect("every node knows itself");
        SiteRow::of(&self.site, &ours, &self.addresses)
    }

    fn send(&mut self, to: Arc<str>, frame: &Frame) {
        if self.outbox.len() < MAX_TRANSMITS {
            self.outbox.push_back((to, frame.to_bytes()));
        }
    }

    /// Takes over what the gossip wants sent, and what it noticed.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.members.poll_event() {
            self.moved = true;
            match event {
                membership::Event::RenewedOurselves(_) => self.greet_all(),
                membership::Event::Expelled => self.begin_again(now),
                membership::Event::Up(id)
                | membership::Event::Down(id)
                | membership::Event::Renewed { after: id, .. } => {
                    let peer = self.peers.get(&id.node);
                    self.news += u64::from(peer.is_some_and(|p| p.link.is_none()));
                }
                membership::Event::Facts(_)
                | membership::Event::Joined
                | membership::Event::Alone
                | membership::Event::Lagged => {}
            }
        }
        while let Some((to, packet)) = self.members.poll_transmit_to() {
            let linked = self.peers.get(&to.node).filter(|p| p.link.is_some());
            // Without a link there is no way: the probe goes through others.
            if let Some(site) = linked.map(|p| Arc::clone(&p.site)) {
                self.send(site, &Frame::Gossip(packet));
            }
        }
        if std::mem::take(&mut self.moved) {
            self.note_presence(now);
        }
    }

    fn greet_all(&mut self) {
        let all: Vec<NodeId> = self.peers.keys().copied().collect();
        all.into_iter().for_each(|node| self.greet(node));
    }

    /// Declared down so often that this life has no numbers left.
    fn begin_again(&mut self, now: Instant) {
        let next = self.members.identity().generation.saturating_add(1);
        let _oldest_of_all = self.members.set_generation(now, next);
        self.greet_all();
    }

    fn tell(&mut self, event: WanEvent) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}

impl Peer {
    fn new(now: Instant, site: &str) -> Self {
        Self {
            site: site.into(),
            link: None,
            presence: Presence::Unknown,
            since: now,
            read: (0, 0),
            own: Vec::new(),
            told: Vec::new(),
            disputed: None,
        }
    }
}
