//! The controller's end: one QUIC port for links and enrolment, and TCP of the same number for bytes beside links.
//!
//! A connection is a task. It shakes hands, proves who it is and then either enrols one key or is a link until it ends.
//! The server holds the table of links only to sample when each was last heard.

mod bulk;
mod config;
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
mod sockets;

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use quinn::{Connection, Endpoint, Incoming, crypto::rustls::HandshakeData};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    authority::{MeshAuthority, MeshNote, Refused},
    close::CloseCode,
    peer::dial::is_between_sites,
    tls::{
        ALPN_ENROL, ALPN_LINK, ALPN_PEER, ALPN_PEER_JOIN, Clock, PeerCas, SiteIdentity, TlsError,
        bulk_server_config, server_config,
    },
    transport::{dialled_transport, transport},
};
pub use config::{ServeError, ServerConfig, ServerLimits};
use crowd::{Crowd, Place};
use handle::Links;
pub use handle::{LinkHandle, Replies};
use lanes::Road;
pub use levers::ServerHandle;
use pending::Pending;
use pulse::Epoch;
use quota::Quotas;
use sockets::{sockets, taken};

/// How often it is looked which links were heard: silence is known to this much.
const SAMPLE: Duration = Duration::from_millis(250);
/// How long links may take to say goodbye when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// First packets that wait for a free handshake. Beyond that QUIC refuses them: clients come back.
const WAITING: usize = 1024;
/// A bound server, not yet answering.
pub struct MeshServer {
    endpoint: Endpoint,
    listener: Option<TcpListener>,
    identity: Arc<SharedIdentity>,
    bulk: Arc<SharedBulk>,
    sites: Arc<SharedSites>,
    clock: Clock,
    peers: PeerCas,
    limits: ServerLimits,
}

/// The identity in use, for codes; TLS has its own copy in the endpoint.
type SharedIdentity = Mutex<Arc<SiteIdentity>>;
/// What TCP's side of TLS is set to.
type SharedBulk = Mutex<Arc<rustls::ServerConfig>>;
/// What QUIC is set to for dials between sites; the endpoint has that for all others.
type SharedSites = Mutex<Arc<quinn::ServerConfig>>;

impl MeshServer {
    /// Binds the port. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// When the port cannot be bound or the identity cannot be used.
    pub fn bind(config: ServerConfig) -> Result<Self, ServeError> {
        let (quic, sites) = quic(&config.identity, &config.clock, &config.peers)?;
        let bulk = bulk_server_config(&config.identity, Arc::clone(&config.clock))?;
        let (socket, listener) = sockets(config.listen, config.beside)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let reset = reset::endpoint(config.reset_key.as_ref());
        let endpoint = Endpoint::new(reset, Some(quic), socket, runtime);
        Ok(Self {
            endpoint: endpoint.map_err(taken("UDP", config.listen))?,
            listener,
            identity: Arc::new(Mutex::new(Arc::new(config.identity))),
            bulk: Arc::new(Mutex::new(bulk)),
            sites: Arc::new(Mutex::new(sites)),
            clock: config.clock,
            peers: config.peers,
            limits: config.limits,
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
            bulk: Arc::clone(&self.bulk),
            sites: Arc::clone(&self.sites),
            clock: Arc::clone(&self.clock),
            peers: Arc::clone(&self.peers),
        }
    }

    /// Serves until `stop`; then closes every link and returns when [`MeshAuthority::closed`] was told of each, or after
    /// two seconds.
    pub async fn run<A: MeshAuthority>(self, authority: Arc<A>, stop: CancellationToken) {
        let Self {
            endpoint,
            listener,
            identity,
            bulk,
            sites,
            clock,
            peers: _,
            limits,
        } = self;
        let free = Arc::new(Semaphore::new(limits.handshakes));
        let desk = Arc::new(Desk {
            authority,
            identity,
            bulk,
            sites,
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
                came = beside(listener.as_ref()) => desk.receive_bulk(came, &free, &mut tasks),
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

/// The next connection over TCP, where it is listened for.
async fn beside(listener: Option<&TcpListener>) -> (TcpStream, SocketAddr) {
    match listener {
        Some(listener) => bulk::next(listener).await,
        None => pending().await,
    }
}

/// What QUIC is set to, and what it is for dials between sites.
fn quic(
    identity: &SiteIdentity,
    clock: &Clock,
    peers: &PeerCas,
) -> Result<(quinn::ServerConfig, Arc<quinn::ServerConfig>), TlsError> {
    let tls = server_config(identity, Arc::clone(clock), Arc::clone(peers))?;
    let mut quic = quinn::ServerConfig::with_crypto(Arc::new(tls));
    quic.transport_config(transport())
        .max_incoming(WAITING)
        .migration(true);
    let mut sites = quic.clone();
    sites.transport_config(dialled_transport());
    Ok((quic, Arc::new(sites)))
}

/// What the tasks of one server share.
struct Desk<A> {
    authority: Arc<A>,
    identity: Arc<SharedIdentity>,
    bulk: Arc<SharedBulk>,
    sites: Arc<SharedSites>,
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
        let marked = is_between_sites(&incoming.orig_dst_cid());
        let sites = Arc::clone(&lock(&self.sites));
        let shaken = async {
            match marked {
                true => incoming.accept_with(sites)?.await,
                false => incoming.await,
            }
        };
        let connection = match timeout(self.limits.patience, shaken).await {
            Err(_) => return self.refuse(from, Refused::TooSlow),
            Ok(Err(_)) => return self.refuse(from, Refused::Tls),
            Ok(Ok(connection)) => connection,
        };
        match (protocol(&connection).as_deref(), marked) {
            (Some(ALPN_PEER), _) => peer::serve(&self, connection, slot).await,
            (Some(ALPN_PEER_JOIN), _) => peer::join(&self, connection, slot).await,
            // With the timers of sites an agent's death would show too late.
            (Some(ALPN_LINK), false) => link::serve(&self, connection, slot).await,
            (Some(ALPN_ENROL), false) => enrol::serve(&self, connection, slot).await,
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

    fn bulk_tls(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&lock(&self.bulk))
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
