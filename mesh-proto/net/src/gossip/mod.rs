//! The gossip socket: one task owns it, the [`Membership`] and the [`Seal`]; everybody else holds a handle.
//!
//! Nothing in the task waits for anybody: a packet the kernel does not take is lost like any other, an event nobody reads
//! is dropped and said to be. What a node hears here is a hint and authorises nothing.

mod swap;
mod task;

use std::{io, net::SocketAddr, time::Instant};

use mesh_proto::{
    broadcast::FactsDigest,
    identity::{Identity, NodeId, Role},
    membership::{Event, MemberView, Membership, MembershipCounters, Merged, StateDigest},
    message::{
        Secret,
        link::{Entry, Verdict},
        ring::Ring,
    },
    seal::{GossipKey, RingError, Seal, SealCounters, SessionId, SiteTag},
};
use tokio::{
    net::UdpSocket,
    sync::{mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use crate::cert::unhex;
pub use swap::{SwapDesk, SwapError, Swapped, swap};

/// Orders that wait for the task; who gives more waits.
const ORDERS: usize = 64;
/// Events that wait for their reader.
const EVENTS: usize = 1024;
/// Kernel buffer: a second of everybody's packets.
const SOCKET_BUFFER: usize = 1 << 20;

/// A bound gossip socket. It says nothing until it is started.
pub struct GossipSocket(UdpSocket);

/// Who gossips.
#[derive(Debug, Clone)]
pub struct GossipAs {
    /// The site: datagrams of others are not opened.
    pub site: String,
    /// Which node.
    pub node: NodeId,
    /// What it is.
    pub role: Role,
    /// As the controller issued it.
    pub generation: u32,
    /// The address at which the others reach this socket: an agent's is what the controller saw, with the gossip port.
    pub addr: SocketAddr,
}

impl GossipSocket {
    /// Binds the socket; DESIGN's port is 4849. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// As `bind` fails.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = crate::transport::socket(addr, SOCKET_BUFFER)?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket).map(Self)
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// As the socket says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The task that gossips, to be spawned, and its two ends. It holds no key and is silent until
    /// [`GossipHandle::set_ring`].
    #[must_use]
    pub fn start(self, who: &GossipAs) -> (GossipTask, GossipHandle, GossipEvents) {
        let (orders, inbox) = mpsc::channel(ORDERS);
        let (events, outbox) = mpsc::channel(EVENTS);
        let identity = Identity::new(who.node, who.generation, who.addr, who.role);
        let session = SessionId(rand::random());
        let task = GossipTask {
            socket: self.0,
            membership: Membership::new(Instant::now(), identity, rand::random()),
            seal: Seal::new(SiteTag::of(&who.site), who.node, session),
            orders: inbox,
            events,
            lagged: false,
            missed_key: None,
            lost: 0,
        };
        (task, GossipHandle(orders), outbox)
    }
}

/// What the task tells. Read it: when it is full, events are dropped, and the next one that fits says so.
pub type GossipEvents = mpsc::Receiver<GossipEvent>;

/// Something that came by gossip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GossipEvent {
    /// About the members.
    Member(Event),
    /// A controller has not heard this node on its link for 6 s: if that link is silent, dial anew at once. Anybody in
    /// the mesh can say so; it is no proof of anything.
    Knocked {
        /// Who says to have knocked.
        by: NodeId,
    },
    /// The others seal with a key this node does not have: a rotation was missed, a new link brings the ring. Said at
    /// most once in ten seconds.
    KeyMissed {
        /// Of the key.
        epoch: u32,
    },
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GossipError {
    /// The task has ended.
    #[error("the gossip has stopped")]
    Stopped,
    /// A key that is not 64 hex digits.
    #[error("a gossip key is 64 hex digits")]
    Key,
    /// The ring cannot be used.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// A generation that is older than ours.
    #[error("generation {offered} was offered, ours is {ours}")]
    Stale {
        /// What was offered.
        offered: u32,
        /// What we have.
        ours: u32,
    },
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GossipCounters {
    /// By the membership.
    pub membership: MembershipCounters,
    /// By the seal.
    pub seal: SealCounters,
    /// Packets the kernel did not take.
    pub lost: u64,
}

/// The task: [`run`](Self::run) it.
pub struct GossipTask {
    socket: UdpSocket,
    membership: Membership,
    seal: Seal,
    orders: mpsc::Receiver<Order>,
    events: mpsc::Sender<GossipEvent>,
    /// Events were dropped, and nobody was told yet.
    lagged: bool,
    /// When [`GossipEvent::KeyMissed`] was last told.
    missed_key: Option<Instant>,
    lost: u64,
}

impl GossipTask {
    /// Gossips until `stop`, or until nobody holds a handle any more. It does not say goodbye by itself: that is
    /// [`GossipHandle::leave`].
    pub async fn run(self, stop: CancellationToken) {
        self.turn(stop).await;
    }
}

enum Order {
    Hello {
        generation: u32,
        addr: SocketAddr,
        done: oneshot::Sender<Result<(), GossipError>>,
    },
    Join(Vec<Identity>),
    Ring {
        keys: Vec<(u32, GossipKey)>,
        current: u32,
        done: oneshot::Sender<Result<(), GossipError>>,
    },
    Verdicts(Vec<Verdict>),
    Facts(FactsDigest),
    Knock(SocketAddr),
    Leave(oneshot::Sender<()>),
    Digest(oneshot::Sender<StateDigest>),
    State(oneshot::Sender<Vec<Entry>>),
    Merge(Vec<Entry>, oneshot::Sender<Merged>),
    Members(oneshot::Sender<Vec<MemberView>>),
    Identity(oneshot::Sender<Identity>),
    Counters(oneshot::Sender<GossipCounters>),
}

/// To steer the gossip. Clones are the same. Every call returns [`GossipError::Stopped`] once the task has ended.
#[derive(Clone)]
pub struct GossipHandle(mpsc::Sender<Order>);

impl GossipHandle {
    /// A hello brought this generation, and the controller saw us at this address (with our gossip port).
    ///
    /// # Errors
    /// [`GossipError::Stale`] when the generation is older than ours; nothing changes then.
    pub async fn hello(&self, generation: u32, addr: SocketAddr) -> Result<(), GossipError> {
        self.ask(|done| Order::Hello {
            generation,
            addr,
            done,
        })
        .await?
    }

    /// Announces this node to the site's controllers, now and whenever they seem gone.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn join(&self, seeds: &[Entry]) -> Result<(), GossipError> {
        self.tell(Order::Join(seeds.iter().map(Identity::from).collect()))
            .await
    }

    /// Makes the key ring equal to this one, from a welcome or a rotation. Keys that are older than the current one open
    /// for another minute.
    ///
    /// # Errors
    /// When the ring cannot be used; the old one then stays.
    pub async fn set_ring(&self, ring: &Ring) -> Result<(), GossipError> {
        let keys = ring
            .keys
            .iter()
            .map(|key| Some((key.epoch, gossip_key(&key.key)?)));
        let keys = keys.collect::<Option<Vec<_>>>().ok_or(GossipError::Key)?;
        let current = ring.current;
        self.ask(|done| Order::Ring {
            keys,
            current,
            done,
        })
        .await?
    }

    /// What a controller found out: applied, and passed on as a rumour.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn verdicts(&self, verdicts: Vec<Verdict>) -> Result<(), GossipError> {
        self.tell(Order::Verdicts(verdicts)).await
    }

    /// Tells everybody, by and by, which digest this node's facts have.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn announce_facts(&self, digest: FactsDigest) -> Result<(), GossipError> {
        self.tell(Order::Facts(digest)).await
    }

    /// Knocks at a member's gossip address: "dial again". For controllers, once a second while a link is silent.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn knock(&self, at: SocketAddr) -> Result<(), GossipError> {
        self.tell(Order::Knock(at)).await
    }

    /// Tells some members that this node goes. When it returns, the packets are out. Only a hello with a newer
    /// generation brings the node back.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn leave(&self) -> Result<(), GossipError> {
        self.ask(Order::Leave).await
    }

    /// The digest of what this node knows, for a swap.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn digest(&self) -> Result<StateDigest, GossipError> {
        self.ask(Order::Digest).await
    }

    /// All this node knows, for a swap or to be kept.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn state(&self) -> Result<Vec<Entry>, GossipError> {
        self.ask(Order::State).await
    }

    /// Takes over what another node knows, or what was kept.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn merge(&self, entries: Vec<Entry>) -> Result<Merged, GossipError> {
        self.ask(|done| Order::Merge(entries, done)).await
    }

    /// The other members that are there or were lately.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn members(&self) -> Result<Vec<MemberView>, GossipError> {
        self.ask(Order::Members).await
    }

    /// Who this node is now; it renews itself when it was declared down.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn identity(&self) -> Result<Identity, GossipError> {
        self.ask(Order::Identity).await
    }

    /// What was counted since the start.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn counters(&self) -> Result<GossipCounters, GossipError> {
        self.ask(Order::Counters).await
    }

    async fn tell(&self, order: Order) -> Result<(), GossipError> {
        self.0.send(order).await.map_err(|_| GossipError::Stopped)
    }

    async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> Order,
    ) -> Result<T, GossipError> {
        let (done, answer) = oneshot::channel();
        self.tell(order(done)).await?;
        answer.await.map_err(|_| GossipError::Stopped)
    }
}

fn gossip_key(text: &Secret) -> Option<GossipKey> {
    unhex(text.expose()).map(GossipKey::new)
}
