//! Other sites: their links, their questions, our questions to them.
//!
//! machine → look-up → grant: [`Federation::look_up`] asks all peers that have named a MAC, claims from the first that offers, and
//! writes the grant down as an activation of ours. question → grant → evidence: the same, seen from the owner. What is decided is
//! in `state` (`boot::peers`, `ops::given`, `ops::taken`) and in [`lookup`]; here are the links and the waiting.

mod answer;
mod cache;
mod counts;
mod files;
mod join;
mod kept;
mod links;
pub mod lookup;
mod pull;
mod question;
mod show;
mod sites;
mod wan;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesh_net::{PeerCas, ServerHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    cache::Cache, files::InFlight, links::Links, pull::Pulls, show::Watching, wan::WanDesk,
};
pub use self::{
    files::FileError,
    join::JoinError,
    kept::{DEFAULT_BYTES, Kept, NoRoom},
    pull::{Pull, PullError, PullState, Wanted},
    question::LookedUp,
    sites::{Heard, Part, SiteRows, Watched},
    wan::Seen,
};
use crate::{
    assets::AssetFolder, ca::Ca, images::Images, metrics::Metrics, state::peer::SiteName,
    store::Store,
};

/// The federation; clones are the same.
#[derive(Clone)]
pub struct Federation(Arc<Inner>);

/// What its tasks share.
struct Inner {
    store: Store,
    assets: AssetFolder,
    /// Files of other sites.
    kept: Kept,
    server: ServerHandle,
    /// Our own site, as peers are told of it.
    site: SiteName,
    ca: String,
    ca_sha256: [u8; 32],
    addresses: Vec<SocketAddr>,
    /// The bytes of images; `None` where none are kept.
    images: Option<Images>,
    links: Mutex<Links>,
    watching: Mutex<Watching>,
    pulls: Pulls,
    wan: WanDesk,
    metrics: Arc<Metrics>,
    cache: Mutex<Cache>,
    in_flight: InFlight,
    stop: CancellationToken,
    /// What goes on after its question was answered; waited for when we stop.
    work: TaskTracker,
}

/// Where bytes are that cross sites.
#[derive(Debug)]
pub struct Shelves {
    /// Files of our own boot configs.
    pub assets: AssetFolder,
    /// Files that others granted.
    pub kept: Kept,
    /// The bytes of images; `None` where none are kept.
    pub images: Option<Images>,
}

impl Federation {
    /// A federation of this site; peers dial `addresses`.
    #[must_use]
    pub fn new(
        store: Store,
        Shelves {
            assets,
            kept,
            images,
        }: Shelves,
        metrics: Arc<Metrics>,
        server: ServerHandle,
        ca: &Ca,
        addresses: Vec<SocketAddr>,
        stop: CancellationToken,
    ) -> Self {
        let site: SiteName = ca
            .site()
            .parse()
            .expect("the configuration takes no other name for a site");
        Self(Arc::new(Inner {
            wan: WanDesk::new(&site, ca.generation(), &addresses),
            metrics,
            store,
            assets,
            kept,
            server,
            site,
            ca: ca.pem().to_owned(),
            ca_sha256: ca.sha256(),
            addresses,
            images,
            links: Mutex::default(),
            watching: Mutex::default(),
            pulls: Pulls::default(),
            cache: Mutex::default(),
            in_flight: InFlight::default(),
            stop,
            work: TaskTracker::new(),
        }))
    }

    /// Closes the links with a site; they are dialled anew.
    pub fn drop_links(&self, site: &SiteName) {
        for link in lock(&self.0.links).with(site) {
            link.close(mesh_net::CloseCode::Stopping, "the links are made anew");
        }
    }

    /// How many links with this site stand.
    #[must_use]
    pub fn links_with(&self, site: &SiteName) -> usize {
        lock(&self.0.links).with(site).count()
    }
}

/// The CAs of joined peers, for handshakes: a revoked one is refused from the next on.
#[must_use]
pub fn cas(store: Store) -> PeerCas {
    Arc::new(move |site| {
        let view = store.view();
        let peer = view.peer(&site.parse().ok()?).filter(|p| p.is_joined())?;
        mesh_net::keys::certificate_der(&peer.ca).ok()
    })
}

impl std::fmt::Debug for Federation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Federation({})", self.0.site)
    }
}

/// A mutex's content; what a panicking thread left is still whole, since every change is one insertion or removal.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
