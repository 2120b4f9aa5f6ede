//! The mesh starts: every port bound and every key at hand before anybody is answered.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use ipxe_net::dhcp::own_addresses;
use mesh_net::{Clock, GossipSocket, MeshServer, ServeError, ServerConfig, ServerHandle, TlsError};
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{error, info};

use super::{
    Inner, KnownAs, Mesh, authority::Authority, gossip::Gossip, life::Life, logs::Logs,
    steps::Steps,
};
use crate::{
    assets::{AssetError, AssetFolder},
    boot::Desk,
    ca::{CONTROLLER_LIVES_S, Ca, CaError},
    federation::{self, DEFAULT_BYTES, Federation, Kept, Shelves},
    images::Images,
    metrics::Metrics,
    state::{member::MemberState, ops::SettleAfterStart},
    store::{Store, StoreError},
};

/// What the ports are for, in errors.
const LINKS: &str = "links of agents";
const BESIDE: &str = "bytes beside links of agents";
const GOSSIP: &str = "gossip";

/// What the mesh is started with.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// The state folder.
    pub state: PathBuf,
    /// The address links and gossip listen on.
    pub listen: Ipv4Addr,
    /// Port of links.
    pub port: u16,
    /// Port of gossip.
    pub gossip_port: u16,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum MeshStartError {
    /// The controller's certificate.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// A port.
    #[error("cannot open the port for {what}")]
    Port {
        /// What it is for.
        what: &'static str,
        /// Which address.
        at: SocketAddr,
        /// As the system says.
        source: io::Error,
    },
    /// Our own certificate.
    #[error("the controller's own certificate is not taken ({0}); please report it with the log")]
    Tls(#[from] TlsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder for files of other sites.
    #[error(transparent)]
    Assets(#[from] AssetError),
}

/// Everything bound, nobody answered yet.
pub struct Bound {
    server: MeshServer,
    gossip: GossipSocket,
    ca: Ca,
    logs: Logs,
    assets: AssetFolder,
    kept: Kept,
    desk: Option<Arc<Desk>>,
    images: Option<Images>,
    boot_base: Arc<str>,
    at: SocketAddr,
    gossip_at: SocketAddr,
}

impl Bound {
    /// Binds the ports. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// With the cure.
    pub fn bind(config: &MeshConfig, ca: Ca, store: &Store) -> Result<Self, MeshStartError> {
        let at = |port| SocketAddr::new(IpAddr::V4(config.listen), port);
        let port = |what, at| move |source| MeshStartError::Port { what, at, source };
        let clock = clock(store.clone());
        let (links, gossip) = (at(config.port), at(config.gossip_port));
        let mut server = ServerConfig::new(links, ca.identity(clock())?, clock);
        server.reset_key = Some(ca.reset_key());
        server.peers = federation::cas(store.clone());
        let server = MeshServer::bind(server).map_err(|error| match error {
            ServeError::Bind {
                protocol: "TCP",
                addr,
                source,
            } => port(BESIDE, addr)(source),
            ServeError::Bind { addr, source, .. } => port(LINKS, addr)(source),
            ServeError::Tls(error) => MeshStartError::Tls(error),
        })?;
        let socket = GossipSocket::bind(gossip).map_err(port(GOSSIP, gossip))?;
        Ok(Self {
            at: server.local_addr().map_err(port(LINKS, links))?,
            gossip_at: socket.local_addr().map_err(port(GOSSIP, gossip))?,
            gossip: socket,
            server,
            ca,
            logs: Logs::open(&config.state),
            assets: AssetFolder::at(&config.state),
            kept: Kept::open(&config.state, Some(DEFAULT_BYTES))?,
            desk: None,
            images: None,
            boot_base: "".into(),
        })
    }

    /// The same, giving out and taking in images; machines reach boot HTTP at `boot_base`.
    #[must_use]
    pub fn with_images(self, images: Images, boot_base: &str) -> Self {
        Self {
            images: Some(images),
            boot_base: boot_base.into(),
            ..self
        }
    }

    /// The same, keeping so many bytes of other sites' files; `None`: as many as the disk has room for.
    #[must_use]
    pub fn with_peers_cache(self, bytes: Option<u64>) -> Self {
        let kept = self.kept.of(bytes);
        Self { kept, ..self }
    }

    /// The same, answering boot helpers as the boot sockets are answered.
    #[must_use]
    pub fn with_desk(self, desk: Arc<Desk>) -> Self {
        Self {
            desk: Some(desk),
            ..self
        }
    }

    /// Where links come in.
    #[must_use]
    pub fn link_addr(&self) -> SocketAddr {
        self.at
    }

    /// The authority.
    #[must_use]
    pub fn ca(&self) -> &Ca {
        &self.ca
    }

    /// Starts to answer.
    pub fn start(
        self,
        store: &Store,
        metrics: Arc<Metrics>,
        known_as: KnownAs,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Mesh {
        let known = store.view();
        let expected = known
            .members()
            .filter(|m| matches!(m.state, MemberState::Alive | MemberState::Unreachable));
        let life = Life::new(
            Instant::now(),
            expected.map(|m| (m.machine.node(), m.generation)),
        );
        let reachable = reachable_at(self.at);
        let gossips_at = reachable_at(self.gossip_at);
        let (gossip, events) = Gossip::start(
            self.gossip,
            &self.ca,
            gossips_at.first().copied().unwrap_or(self.gossip_at),
            &gossips_at,
            tasks,
            stop,
        );
        let federation = Federation::new(
            store.clone(),
            Shelves {
                assets: self.assets,
                kept: self.kept,
                images: self.images.clone(),
            },
            Arc::clone(&metrics),
            self.server.handle(),
            &self.ca,
            reachable.clone(),
            stop.clone(),
        );
        tasks.spawn(federation.clone().run().boxed());
        tasks.spawn(federation.clone().run_wan().boxed());
        let inner = Arc::new(Inner {
            store: store.clone(),
            metrics,
            ca: self.ca,
            logs: self.logs,
            desk: self.desk,
            images: self.images,
            boot_base: self.boot_base,
            steps: Steps::default(),
            known_as,
            controllers: reachable,
            gossip,
            federation,
            links: Mutex::default(),
            waiting: Mutex::default(),
            life: Mutex::new(life),
            pulling: Mutex::default(),
            ring: Notify::new(),
            work: TaskTracker::new(),
        });
        let handle = self.server.handle();
        tasks.spawn(serve(self.server, Arc::clone(&inner), stop.clone()).boxed());
        tasks.spawn(Arc::clone(&inner).hear(events).boxed());
        tasks.spawn(Arc::clone(&inner).watch(stop.clone()).boxed());
        tasks.spawn(Arc::clone(&inner).keep_ring(stop.clone()).boxed());
        tasks.spawn(Arc::clone(&inner).keep_jobs(stop.clone()).boxed());
        tasks.spawn(Arc::clone(&inner).renew_own(handle, stop.clone()).boxed());
        Mesh(inner)
    }
}

/// Settles what the last run left open, then answers until we stop.
async fn serve(server: MeshServer, inner: Arc<Inner>, stop: CancellationToken) {
    let settled = inner.store.apply(SettleAfterStart).await;
    if let Err(error) = settled.and(inner.first_ring().await) {
        // Nobody is answered before it is known that nobody has a link.
        error!(%error, "the mesh does not start: what was open could not be settled");
        return;
    }
    let authority = Arc::new(Authority(Arc::clone(&inner)));
    server.run(authority, stop).await;
    inner.work.close();
    inner.work.wait().await;
}

impl Inner {
    /// Makes a new certificate of our own when two thirds of the old one's life are over.
    async fn renew_own(self: Arc<Self>, server: ServerHandle, stop: CancellationToken) {
        let life = Duration::from_secs(CONTROLLER_LIVES_S.unsigned_abs());
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(life * 2 / 3) => {}
            }
            let identity = self
                .ca
                .identity(now(&self.store))
                .map_err(MeshStartError::from);
            let renewed = identity.and_then(|id| Ok(server.set_identity(id)?));
            match renewed {
                Ok(()) => info!("the controller's certificate is new"),
                Err(error) => {
                    error!(%error, "the controller's certificate could not be renewed; start it again before it ends");
                }
            }
        }
    }
}

/// The time that certificates are judged by: never before the newest one that was issued.
fn clock(store: Store) -> Clock {
    Arc::new(move || now(&store))
}

fn now(store: &Store) -> i64 {
    store.view().issuing_time(store.now()).at.as_second()
}

/// The addresses agents are told: this host's, when we listen on all of them.
fn reachable_at(at: SocketAddr) -> Vec<SocketAddr> {
    if !at.ip().is_unspecified() {
        return vec![at];
    }
    let own = own_addresses().into_iter();
    own.map(|ip| SocketAddr::new(IpAddr::V4(ip), at.port()))
        .collect()
}
