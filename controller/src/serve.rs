//! `enforcer serve`: everything bound before anything is answered, every task awaited when it stops.

mod doors;
mod mesh;
mod policy;
mod run;
mod threads;
mod watch;
mod watchdog;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use ipxe_net::{
    BootHttp, TftpServer,
    dhcp::{DhcpBindError, DhcpConfig, DhcpMode, DhcpPorts, DhcpServer},
};
pub use run::run;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::{doors::Doors, threads::Threads};
use crate::{
    assets::{AssetError, AssetFolder},
    audit,
    boot::Desk,
    ca::{Ca, CaError},
    config::{Config, DhcpRole},
    disk,
    fetch::{self, Fetcher},
    firmware::{self, FirmwareSet},
    http::{Api, local, network::CertificateError},
    images::{Images, Limits, RESERVE_BYTES},
    mesh::MeshStartError,
    metrics::Metrics,
    notify::{Courier, Notifier},
    oidc::Oidc,
    power::Power,
    providers::Providers,
    state::notify::Retry,
    store::{Redb, Store, StoreError, SystemClock},
};

/// How long tasks may take to end before they are dropped.
const GRACE: Duration = Duration::from_secs(8);
/// TFTP's port (RFC 1350).
const TFTP_PORT: u16 = 69;

/// Why the controller did not start; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder.
    #[error("cannot use the state folder {}; {}", path.display(), disk::cure(source))]
    State {
        /// Which folder.
        path: PathBuf,
        /// As the system says.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The firmware folder.
    #[error(transparent)]
    Firmware(#[from] firmware::ImportError),
    /// The firmware manifest.
    #[error(transparent)]
    Manifest(#[from] firmware::ManifestError),
    /// The asset folder.
    #[error(transparent)]
    Assets(#[from] AssetError),
    /// The image store.
    #[error("cannot use the folder of images")]
    Images(#[from] image_store::StoreError),
    /// The API's socket.
    #[error(transparent)]
    Socket(#[from] local::SocketError),
    /// The certificate of the API's port.
    #[error("the API's port has no certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// DHCP.
    #[error(transparent)]
    Dhcp(#[from] DhcpBindError),
    /// A thread.
    #[error("cannot start a thread; give the service more tasks or memory")]
    Thread(#[source] io::Error),
    /// The site's authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The mesh.
    #[error(transparent)]
    Mesh(MeshStartError),
    /// A port.
    #[error("cannot open {what} on {at}: {}", port_cure(.source))]
    Port {
        /// What it is for.
        what: &'static str,
        /// Which address.
        at: SocketAddr,
        /// As the system says.
        source: io::Error,
    },
}

fn port_cure(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has this port; stop it (`ss -lpn` shows which), or change the port or `listen`".to_owned(),
        io::ErrorKind::PermissionDenied => "ports below 1024 need root or the capability CAP_NET_BIND_SERVICE".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this host has no such address; correct `listen`".to_owned(),
        _ => "choose another port or another `listen`".to_owned(),
    }
}

/// A running controller.
pub struct Controller {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    store: Store,
    http: SocketAddr,
    links: Option<SocketAddr>,
    api: Option<SocketAddr>,
    _mesh_threads: Option<Threads>,
}

impl Controller {
    /// Opens the state, binds every port, then starts to answer.
    ///
    /// # Errors
    /// A sentence that names the cure; nothing was answered yet.
    pub fn start(config: &Config) -> Result<Self, StartError> {
        make_state(config)?;
        let ca = mesh::open_ca(config)?;
        let store = open_store(config, ca.as_ref())?;
        let firmware = open_firmware(&config.state)?;
        let metrics = Arc::new(Metrics::default());
        let folder = config.state.join("assets");
        let desk = Arc::new(Desk::new(
            store.clone(),
            firmware,
            Arc::clone(&metrics),
            folder,
            config.rechain,
        ));
        let assets = AssetFolder::open(&config.state)?;
        let images = Images::open(&config.state, image_limits(config), store.clone())?;
        let bound = Bound::bind(config)?;
        let mesh = ca.map(|ca| mesh::bind(config, ca, &store)).transpose()?;
        let http = bound.http_addr()?;
        let stop = CancellationToken::new();
        let doors = Doors::bind(config)?;
        let api_at = doors.addr();
        let mut tasks = JoinSet::new();
        let links = mesh.as_ref().map(|(bound, _)| bound.link_addr());
        let base = boot_base(config, http);
        let mesh = mesh.map(|(bound, threads)| {
            let known_as = mesh::known_as(&desk);
            let bound = bound
                .with_images(images.clone(), &base)
                .with_peers_cache(config.peers_cache_bytes)
                .with_desk(Arc::clone(&desk));
            let start = || bound.start(&store, Arc::clone(&metrics), known_as, &mut tasks, &stop);
            (threads.hold(start), threads)
        });
        let (mesh, mesh_threads) = mesh.unzip();
        if let Some(mesh) = &mesh {
            desk.federate(mesh.federation().clone());
        }
        tasks.spawn(notifier(config, &store, &metrics).run(stop.clone()).boxed());
        audit::start(&config.audit, &store, &metrics, &mut tasks, &stop);
        tasks.spawn(images.clone().keep_clean(stop.clone()).boxed());
        let fetcher = downloads(&store, &assets, &mut tasks, &stop);
        let power = Power::new(store.clone(), mesh.clone());
        tasks.spawn(power.keep_starting(stop.clone()).boxed());
        let providers = Providers::start(&store, &metrics, &config.providers, &mut tasks, &stop);
        let api = Api::new(store.clone(), assets, metrics, &base, stop.clone())
            .with_mesh(mesh)
            .with_providers(providers)
            .with_images(images)
            .with_fetcher(fetcher)
            .with_oidc(config.oidc.clone().map(Oidc::new));
        doors.open(api, config, &mut tasks, &stop)?;
        bound.spawn(&mut tasks, &desk, &stop);
        let (settings, until) = (config.clone(), stop.clone());
        let watched = watch::assets(store.clone(), Arc::clone(&desk), settings, until);
        tasks.spawn(watched.boxed());
        tasks.spawn(watch::overdue(store.clone(), stop.clone()).boxed());
        info!(dhcp = ?config.dhcp, http = %http, state = %config.state.display(), "ready");
        Ok(Self {
            stop,
            tasks,
            store,
            http,
            links,
            api: api_at,
            _mesh_threads: mesh_threads,
        })
    }

    /// Where agents' links come in; `None` without a mesh.
    #[must_use]
    pub fn link_addr(&self) -> Option<SocketAddr> {
        self.links
    }

    /// Where the API listens on the network; `None` when it does not.
    #[must_use]
    pub fn api_addr(&self) -> Option<SocketAddr> {
        self.api
    }

    /// Where boot HTTP listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Stops answering, lets open transfers end for a moment, flushes what was noted.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, all).await.is_err() {
            warn!("some transfers were cut off");
        }
        self.store.close().await;
    }
}

/// Tells people and programs what happens.
fn notifier(config: &Config, store: &Store, metrics: &Arc<Metrics>) -> Notifier {
    let courier = Courier::new(config.mail.clone());
    Notifier::new(
        store.clone(),
        courier,
        Arc::clone(metrics),
        Retry::default(),
    )
}

/// Downloads what boot configs want from elsewhere, also what was wanted before the last stop.
fn downloads(
    store: &Store,
    assets: &AssetFolder,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> Fetcher {
    let fetcher = Fetcher::default();
    tasks.spawn(
        fetcher
            .clone()
            .run(
                store.clone(),
                assets.clone(),
                fetch::Limits::default(),
                stop.clone(),
            )
            .boxed(),
    );
    fetcher
}

/// Boot HTTP as most machines reach it: by the address it listens on, else by this host's first.
fn boot_base(config: &Config, http: SocketAddr) -> String {
    let own = || ipxe_net::dhcp::own_addresses().first().copied();
    let ip = if config.listen.is_unspecified() {
        own().unwrap_or(config.listen)
    } else {
        config.listen
    };
    format!("http://{ip}:{}", http.port())
}

fn make_state(config: &Config) -> Result<(), StartError> {
    std::fs::create_dir_all(&config.state).map_err(|source| StartError::State {
        path: config.state.clone(),
        source,
    })
}

fn open_store(config: &Config, ca: Option<&Ca>) -> Result<Store, StartError> {
    let policy = policy::of(config, ca.map(|ca| mesh::policy(config, ca)));
    let backend = Redb::open(config.state.join("enforcer.redb")).map_err(StoreError::from)?;
    Ok(Store::open(backend, policy, SystemClock)?)
}

fn image_limits(config: &Config) -> Limits {
    Limits {
        quota_bytes: config.image_quota_bytes,
        reserve_bytes: RESERVE_BYTES,
    }
}

fn open_firmware(state: &Path) -> Result<FirmwareSet, StartError> {
    let folder = state.join("firmware");
    firmware::fill(&folder)?;
    let (set, notices) = FirmwareSet::open(&folder)?;
    for notice in notices {
        warn!("boot programs: {notice}");
    }
    Ok(set)
}

/// Every socket, before any is answered.
struct Bound {
    dhcp: Option<DhcpServer>,
    tftp: Option<TftpServer>,
    http: BootHttp,
    http_at: SocketAddr,
}

impl Bound {
    fn bind(config: &Config) -> Result<Self, StartError> {
        let at = |port| SocketAddr::new(IpAddr::V4(config.listen), port);
        let port = |what, at| move |source| StartError::Port { what, at, source };
        let http_at = at(config.http_port);
        let http = BootHttp::bind(http_at).map_err(port("boot HTTP", http_at))?;
        let tftp_at = at(TFTP_PORT);
        let tftp = config
            .tftp
            .then(|| TftpServer::bind(tftp_at).map_err(port("TFTP", tftp_at)))
            .transpose()?;
        let mode = match config.dhcp {
            DhcpRole::Proxy => Some(DhcpMode::Proxy),
            DhcpRole::Server => Some(DhcpMode::Server),
            DhcpRole::Off => None,
        };
        let dhcp = mode
            .map(|mode| DhcpServer::bind(dhcp_config(config, mode)))
            .transpose()?;
        Ok(Self {
            dhcp,
            tftp,
            http,
            http_at,
        })
    }

    fn http_addr(&self) -> Result<SocketAddr, StartError> {
        let (what, at) = ("boot HTTP", self.http_at);
        let addr = self.http.local_addr();
        addr.map_err(|source| StartError::Port { what, at, source })
    }

    fn spawn(self, tasks: &mut JoinSet<()>, desk: &Arc<Desk>, stop: &CancellationToken) {
        if let Some(dhcp) = self.dhcp {
            tasks.spawn(dhcp.run(Arc::clone(desk), stop.clone()).boxed());
        }
        if let Some(tftp) = self.tftp {
            tasks.spawn(tftp.run(Arc::clone(desk), stop.clone()).boxed());
        }
        tasks.spawn(self.http.run(Arc::clone(desk), stop.clone()).boxed());
    }
}

fn dhcp_config(config: &Config, mode: DhcpMode) -> DhcpConfig {
    DhcpConfig {
        mode,
        interfaces: (!config.interfaces.is_empty()).then(|| config.interfaces.clone()),
        http_port: config.http_port,
        ports: DhcpPorts::default(),
        router_advertisements: config.router_advertisements,
    }
}
