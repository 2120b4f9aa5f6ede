//! The controller's end: one QUIC port for links and enrolment.
//!
//! A connection is a task. It shakes hands, proves who it is and then either enrols one key or is a link until it ends.
//! The server holds the table of links only to sample when each was last heard.

mod crowd;
mod enrol;
mod handle;
mod lanes;
mod levers;
mod link;
mod peer;
mod pending;
mod pulse;
mod quota;
mod reset;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use quinn::{Connection, Endpoint, Incoming, crypto::rustls::HandshakeData};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    authority::{MeshAuthority, MeshNote, Refused},
    body::BODY_IDLE,
    close::CloseCode,
    tls::{
        ALPN_ENROL, ALPN_LINK, ALPN_PEER, ALPN_PEER_JOIN, Clock, PeerCas, SiteIdentity, TlsError,
        no_peers, server_config,
    },
    transport::transport,
};
use crowd::{Crowd, Place};
use handle::Links;
pub use handle::{LinkHandle, Replies};
use lanes::Road;
pub use levers::ServerHandle;
use pending::Pending;
use pulse::Epoch;
use quota::Quotas;

/// How often it is looked which links were heard: silence is known to this much.
const SAMPLE: Duration = Duration::from_millis(250);
/// How long links may take to say goodbye when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// First packets that wait for a free handshake. Beyond that QUIC refuses them: clients come back.
const WAITING: usize = 1024;
/// Kernel buffer of the socket: all agents of a room may speak at once after a power cut, and the default of 208 KiB
/// overflows then.
const SOCKET_BUFFER: usize = 2 << 20;

/// What may be changed about the server's quotas; the defaults are the ones documented.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Connections that have not yet proved who they are, at once. From half of it on, clients have to show that their
    /// address is their own first (QUIC's Retry).
    pub handshakes: usize,
    /// The same, from one address: a room behind one router gets a quarter of all places, not all of them.
    pub handshakes_per_address: usize,
    /// Time for the handshake, and again for the first message.
    pub patience: Duration,
    /// Enrolments of one machine from one address a minute; invitations shown by one address a minute.
    pub enrols_per_minute: u32,
    /// Enrolments from one address a minute, whatever machines they name: a full room behind one router, or one helper.
    pub enrols_per_address: u32,
    /// Enrolments that wait for a person.
    pub pending: usize,
    /// Longest wait for the next bytes of a transfer, or until some were taken.
    pub body_idle: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            handshakes: 256,
            handshakes_per_address: 64,
            patience: Duration::from_secs(5),
            enrols_per_minute: 5,
            enrols_per_address: 256,
            pending: 4096,
            body_idle: BODY_IDLE,
        }
    }
}

/// What a server needs to start.
pub struct ServerConfig {
    /// Where; DESIGN's port is 4848.
    pub listen: SocketAddr,
    /// Who it is.
    pub identity: SiteIdentity,
    /// The time certificates are judged by: the site's newest stamp when that is later than the system's clock.
    pub clock: Clock,
    /// Whose controllers are believed on links between sites.
    pub peers: PeerCas,
    /// Quotas.
    pub limits: ServerLimits,
    /// A secret that outlives this process: with it, agents whose links a killed one left behind are told by the next.
    pub reset_key: Option<[u8; 32]>,
}

impl ServerConfig {
    /// The usual configuration.
    #[must_use]
    pub fn new(listen: SocketAddr, identity: SiteIdentity, clock: Clock) -> Self {
        Self {
            listen,
            identity,
            clock,
            peers: no_peers(),
            limits: ServerLimits::default(),
            reset_key: None,
        }
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken, or needs a privilege.
    #[error("cannot bind UDP {addr}")]
    Bind {
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The identity cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A bound server, not yet answering.
pub struct MeshServer {
    endpoint: Endpoint,
    identity: Arc<SharedIdentity>,
    clock: Clock,
    peers: PeerCas,
    limits: ServerLimits,
}

/// The identity in use, for codes; TLS has its own copy in the endpoint.
type SharedIdentity = Mutex<Arc<SiteIdentity>>;

impl MeshServer {
    /// Binds the port. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the port cannot be bound or the identity cannot be used.
    pub fn bind(config: ServerConfig) -> Result<Self, ServeError> {
        let ServerConfig {
            listen,
            identity,
            clock,
            peers,
            limits,
            reset_key,
        } = config;
        let quic = quic(&identity, &clock, &peers)?;
        let bind = |source| ServeError::Bind {
            addr: listen,
            source,
        };
        let socket = crate::transport::socket(listen, SOCKET_BUFFER).map_err(bind)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new(
            reset::endpoint(reset_key.as_ref()),
            Some(quic),
            socket,
            runtime,
        );
        let endpoint = endpoint.map_err(bind)?;
        Ok(Self {
            endpoint,
            identity: Arc::new(Mutex::new(Arc::new(identity))),
            clock,
            peers,
            limits,
        })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// As the socket says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// For changes while it runs.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle {
            endpoint: self.endpoint.clone(),
            identity: Arc::clone(&self.identity),
            clock: Arc::clone(&self.clock),
            peers: Arc::clone(&self.peers),
        }
    }

    /// Serves until `stop`; then closes every link and returns when [`MeshAuthority::closed`] was told of each, or after
    /// two seconds.
    pub async fn run<A: MeshAuthority>(self, authority: Arc<A>, stop: CancellationToken) {
        let Self {
            endpoint,
            identity,
            clock,
            peers: _,
            limits,
        } = self;
        let free = Arc::new(Semaphore::new(limits.handshakes));
        let desk = Arc::new(Desk {
            authority,
            identity,
            clock,
            epoch: Epoch::now(),
            links: Links::default(),
            road: Road::default(),
            pending: Pending::new(limits.pending),
            crowd: Arc::default(),
            quotas: Quotas::new(&limits),
            limits,
        });
        let mut tasks = JoinSet::new();
        let mut sample = interval(SAMPLE);
        sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut refused = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                came = next(&endpoint, &free) => match came {
                    Some((incoming, slot)) => desk.receive(incoming, slot, &free, &mut tasks),
                    None => break,
                },
                Some(_done) = tasks.join_next() => {}
                _ = sample.tick() => {
                    desk.links.sample(&desk.epoch);
                    desk.pending.sample(&desk.epoch);
                    refused = desk.count_refused(&endpoint, refused);
                }
            }
        }
        endpoint.close(CloseCode::Stopping.to_wire(), b"the controller stops");
        let drained = async { while tasks.join_next().await.is_some() {} };
        let _late = timeout(GRACE, drained).await;
        let _unsent = timeout(GRACE, endpoint.wait_idle()).await;
    }
}

/// What somebody holds who has not yet proved who it is.
struct Slot {
    _free: OwnedSemaphorePermit,
    _place: Place,
}

/// The next connection, once there is a free handshake for it.
async fn next(
    endpoint: &Endpoint,
    free: &Arc<Semaphore>,
) -> Option<(Incoming, OwnedSemaphorePermit)> {
    let slot = Arc::clone(free).acquire_owned().await.ok()?;
    Some((endpoint.accept().await?, slot))
}

fn quic(
    identity: &SiteIdentity,
    clock: &Clock,
    peers: &PeerCas,
) -> Result<quinn::ServerConfig, TlsError> {
    let tls = server_config(identity, Arc::clone(clock), Arc::clone(peers))?;
    let mut quic = quinn::ServerConfig::with_crypto(Arc::new(tls));
    quic.transport_config(transport())
        .max_incoming(WAITING)
        .migration(true);
    Ok(quic)
}

/// What the tasks of one server share.
struct Desk<A> {
    authority: Arc<A>,
    identity: Arc<SharedIdentity>,
    clock: Clock,
    epoch: Epoch,
    links: Links,
    road: Road,
    pending: Pending,
    crowd: Arc<Crowd>,
    quotas: Quotas,
    limits: ServerLimits,
}

impl<A: MeshAuthority> Desk<A> {
    fn receive(
        self: &Arc<Self>,
        incoming: Incoming,
        slot: OwnedSemaphorePermit,
        free: &Semaphore,
        tasks: &mut JoinSet<()>,
    ) {
        let pressed = free.available_permits() < self.limits.handshakes / 2;
        let proven = incoming.remote_address_validated();
        let (from, most) = (
            incoming.remote_address().ip(),
            self.limits.handshakes_per_address,
        );
        match self.crowd.enter(from, proven, most) {
            Some(place) if proven || !pressed => {
                let slot = Slot {
                    _free: slot,
                    _place: place,
                };
                tasks.spawn(Arc::clone(self).serve(incoming, slot));
            }
            _ if incoming.may_retry() => {
                let _cannot = incoming.retry();
            }
            // Counted by QUIC, see `count_refused`; the client dials again in a while.
            _ => incoming.refuse(),
        }
    }

    async fn serve(self: Arc<Self>, incoming: Incoming, slot: Slot) {
        let from = incoming.remote_address();
        let connection = match timeout(self.limits.patience, incoming).await {
            Err(_) => return self.refuse(from, Refused::TooSlow),
            Ok(Err(_)) => return self.refuse(from, Refused::Tls),
            Ok(Ok(connection)) => connection,
        };
        match protocol(&connection).as_deref() {
            Some(ALPN_LINK) => link::serve(&self, connection, slot).await,
            Some(ALPN_ENROL) => enrol::serve(&self, connection, slot).await,
            Some(ALPN_PEER) => peer::serve(&self, connection, slot).await,
            Some(ALPN_PEER_JOIN) => peer::join(&self, connection, slot).await,
            _ => self.dismiss(
                &connection,
                Refused::Protocol,
                CloseCode::Protocol,
                "no such protocol",
            ),
        }
    }

    fn refuse(&self, from: SocketAddr, why: Refused) {
        self.authority.note(MeshNote::Refused {
            from: Some(from),
            why,
        });
    }

    /// Counts a refusal and closes.
    fn dismiss(&self, connection: &Connection, why: Refused, code: CloseCode, reason: &str) {
        self.refuse(connection.remote_address(), why);
        connection.close(code.to_wire(), reason.as_bytes());
    }

    /// Counts what QUIC refused by itself since the last look.
    fn count_refused(&self, endpoint: &Endpoint, before: u64) -> u64 {
        let now = endpoint.stats().refused_handshakes;
        for _ in before..now {
            self.authority.note(MeshNote::Refused {
                from: None,
                why: Refused::Handshakes,
            });
        }
        now
    }

    fn identity(&self) -> Arc<SiteIdentity> {
        Arc::clone(&lock(&self.identity))
    }
}

fn protocol(connection: &Connection) -> Option<Vec<u8>> {
    let data = connection
        .handshake_data()?
        .downcast::<HandshakeData>()
        .ok()?;
    data.protocol
}

/// A lock whose holders cannot panic half way: they only read or replace.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
