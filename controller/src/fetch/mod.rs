//! Remote files of boot configs: fetched when a config is set or made due, kept with their checksums; never in the boot
//! path.
//!
//! What is wanted stands in the store ([`is_wanted`](crate::state::config::Asset::is_wanted)), so a controller that was
//! killed goes on by itself. One task owns the downloads; its handle tells how far they are.

mod download;
mod limits;
mod sums;
#[cfg(test)]
mod tests;
mod url;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::FutureExt as _;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::{
    download::FetchError,
    limits::Limits,
    url::{BadUrl, Url},
};
use crate::{
    assets::{AssetFolder, Stored},
    state::{
        View,
        config::{Check, ConfigName, Remote},
        ops::FileFetched,
    },
    store::Store,
};

/// Downloads at once: a Pi's network card is full with one, a slow mirror is not worth a queue.
const AT_ONCE: usize = 2;

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Bytes that are here.
    pub got: u64,
    /// Bytes that the server announced.
    pub of: Option<u64>,
}

/// One file of one revision of a config.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wish {
    config: ConfigName,
    revision: u64,
    name: String,
    remote: Remote,
}

/// The downloads' handle; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Fetcher {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    kick: Notify,
    under_way: Mutex<HashMap<String, Progress>>,
    /// See [`Fetcher::files`].
    files: Arc<tokio::sync::Mutex<()>>,
}

impl Fetcher {
    /// Looks again at what is wanted.
    pub fn kick(&self) {
        self.shared.kick.notify_one();
    }

    /// How far the download of `url` is; `None`: none is under way.
    #[must_use]
    pub fn progress(&self, url: &str) -> Option<Progress> {
        self.under_way().get(url).copied()
    }

    /// Held while a config that names files is written, and while a file is deleted. A lock held across a commit, against
    /// the house rule: without it a file could go between "it is here" and the config that needs it.
    #[must_use]
    pub fn files(&self) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.shared.files)
    }

    fn under_way(&self) -> std::sync::MutexGuard<'_, HashMap<String, Progress>> {
        let lock = self.shared.under_way.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// Downloads what is wanted until `stop`.
    pub async fn run(
        self,
        store: Store,
        assets: AssetFolder,
        limits: Limits,
        stop: CancellationToken,
    ) {
        let limits = Arc::new(limits);
        let mut tasks = JoinSet::new();
        let mut busy: HashMap<tokio::task::Id, Wish> = HashMap::new();
        loop {
            for wish in wishes(&store.view()) {
                if busy.len() < AT_ONCE && !busy.values().any(|b| b.remote.url == wish.remote.url) {
                    let (own, limits) = (self.clone(), Arc::clone(&limits));
                    let (store, assets) = (store.clone(), assets.clone());
                    let work = wish.clone();
                    let task = tasks.spawn(
                        async move { own.fetch(work, &store, &assets, &limits).await }.boxed(),
                    );
                    busy.insert(task.id(), wish);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.shared.kick.notified() => {}
                Some(done) = tasks.join_next_with_id() => {
                    let id = done.as_ref().map_or_else(tokio::task::JoinError::id, |(id, ())| *id);
                    if let Some(wish) = busy.remove(&id) {
                        self.under_way().remove(&wish.remote.url);
                    }
                }
            }
        }
    }

    /// One file, to its end: here and written down, or failed and written down.
    async fn fetch(&self, wish: Wish, store: &Store, assets: &AssetFolder, limits: &Limits) {
        let url = wish.remote.url.clone();
        self.under_way().insert(url.clone(), Progress::default());
        let tell = |progress| {
            self.under_way().insert(url.clone(), progress);
        };
        info!(config = %wish.config, %url, "fetching");
        let fetched = get(&wish.remote, assets, limits, &tell).await;
        let _files = self.shared.files.lock().await;
        let outcome = match fetched {
            Ok(stored) => Ok((stored.sha256.to_string(), stored.size)),
            Err(error) => {
                warn!(config = %wish.config, %url, %error, "a file could not be fetched");
                Err(error.to_string())
            }
        };
        let done = FileFetched {
            config: wish.config,
            revision: wish.revision,
            name: wish.name,
            url,
            outcome,
        };
        if let Err(error) = store.apply(done).await {
            // It stays wanted: the store's next good moment is the next kick or start.
            warn!(%error, "a fetched file could not be written down");
            tokio::time::sleep(limits.rest).await;
        }
    }
}

/// What is wanted and not here, in the order of the configs.
fn wishes(view: &View) -> Vec<Wish> {
    let mut all = Vec::new();
    for config in view.configs() {
        for asset in config.program.assets().filter(|a| a.is_wanted()) {
            all.extend(asset.remote.clone().map(|remote| Wish {
                config: config.name.clone(),
                revision: config.revision,
                name: asset.name.clone(),
                remote,
            }));
        }
    }
    all
}

/// The file, checked by the sum that was given or that its server lists.
async fn get(
    remote: &Remote,
    assets: &AssetFolder,
    limits: &Limits,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Stored, FetchError> {
    let url: Url = remote.url.parse().map_err(FetchError::Url)?;
    let expected = match &remote.check {
        Check::Sum { sha256 } => Some(sha256.parse().map_err(|_| FetchError::NoSum)?),
        Check::Sha256sums => sums::listed(&url, sums::List::Sha256sums, limits).await?,
        Check::Treeinfo => sums::listed(&url, sums::List::Treeinfo, limits).await?,
        Check::Unchecked => None,
    };
    if let Some(sum) = &expected
        && let Some(stored) = assets.find(sum)?
    {
        return Ok(stored);
    }
    let mut rests = limits.retries.iter();
    loop {
        let tried = download::download(&url, expected.as_ref(), assets, limits, tell).await;
        match (tried, rests.next()) {
            (Err(error), Some(rest)) if error.may_pass() => tokio::time::sleep(*rest).await,
            (tried, _) => return tried,
        }
    }
}
