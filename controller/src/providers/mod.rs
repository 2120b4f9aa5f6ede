//! Agents that are not ours: Serf and Consul, behind one trait.
//!
//! A provider is asked by a task of its own; what it tells becomes members and machines in the store. One that is down, slow or lying
//! degrades: its members are shown as not heard of, it is asked again after a while, and nothing else changes. Boot answers never wait for
//! one.

mod backoff;
mod budget;
pub mod consul;
mod error;
mod health;
mod hearing;
pub mod serf;
mod settings;

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use mesh_proto::message::command::Command;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

pub use error::ProviderError;
pub use health::{Failure, Health, HealthState};
pub use settings::{ProviderAddress, ProviderSettings};

use self::{consul::Consul, hearing::Hearing, serf::Serf};
use crate::{
    metrics::{Counter, Metrics},
    ordered::Gather as _,
    state::{
        answered::RequestKey,
        command::CommandRecord,
        ops::{
            CommandError, CommandWord, ForgetProviders, Giver, IssueQuery, MachineRef, Once,
            OnceMade, Settle, given_before,
        },
        provider::{NodeName, ProviderKind, ProviderMember, ProviderName},
    },
    store::{Store, StoreError},
};

/// Questions to members that are on their way at the same time: each has a connection of its own.
const ASKED_AT_ONCE: usize = 8;
/// How long a provider waits for a member's acknowledgement. Serf's own default for a room is 6 s.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(10);
/// Longest secret of a provider, bytes.
const MAX_SECRET_BYTES: u64 = 4096;

/// A cluster of other people's agents.
pub(crate) trait Provider: Send + Sync {
    /// Tells all members, then what changes, for as long as that is possible; then why it is not any more.
    fn follow<'a>(&'a self, hearing: &'a mut Hearing) -> BoxFuture<'a, ProviderError>;

    /// Asks a member to restart; what became of it.
    fn reboot<'a>(&'a self, node: &'a NodeName) -> BoxFuture<'a, CommandWord>;
}

/// The configured providers; clones are the same.
#[derive(Clone)]
pub struct Providers(Arc<Inner>);

struct Inner {
    store: Store,
    metrics: Arc<Metrics>,
    providers: BTreeMap<ProviderName, Configured>,
    places: Semaphore,
    work: TaskTracker,
}

/// A provider of the configuration.
struct Configured {
    provider: Arc<dyn Provider>,
    kind: ProviderKind,
    address: String,
    health: watch::Receiver<Health>,
}

/// A provider, as people are shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderStatus {
    /// Its name here.
    pub name: ProviderName,
    /// Which kind it is.
    pub kind: ProviderKind,
    /// Where it is asked.
    pub address: String,
    /// How it does.
    pub health: Health,
}

impl Providers {
    /// Starts to follow each provider; `stop` ends that.
    #[must_use]
    pub fn start(
        store: &Store,
        metrics: &Arc<Metrics>,
        settings: &[ProviderSettings],
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Self {
        let mut providers = BTreeMap::new();
        for settings in settings {
            let hearing = Hearing::new(settings, store, metrics);
            let configured = Configured {
                provider: provider(settings),
                kind: settings.kind(),
                address: settings.at.to_string(),
                health: hearing.health(),
            };
            let provider = Arc::clone(&configured.provider);
            tasks.spawn(hearing.keep(provider, stop.clone()).boxed());
            providers.insert(settings.name.clone(), configured);
        }
        let inner = Arc::new(Inner {
            store: store.clone(),
            metrics: Arc::clone(metrics),
            providers,
            places: Semaphore::new(ASKED_AT_ONCE),
            work: TaskTracker::new(),
        });
        tasks.spawn(forget_others(Arc::clone(&inner), stop.clone()).boxed());
        Self(inner)
    }

    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> Vec<ProviderStatus> {
        let shown = |(name, p): (&ProviderName, &Configured)| ProviderStatus {
            name: name.clone(),
            kind: p.kind,
            address: p.address.clone(),
            health: p.health.borrow().clone(),
        };
        self.0.providers.iter().map(shown).collect()
    }

    /// Writes a command down and asks the machine through its provider; what becomes of it is read from the store.
    ///
    /// # Errors
    /// As the store says.
    pub async fn command(
        &self,
        machine: MachineRef,
        command: Command,
        by: Giver,
        key: Option<RequestKey>,
    ) -> Result<Result<CommandRecord, CommandError>, StoreError> {
        let wants = IssueQuery {
            machine,
            command,
            ttl_ms: u32::try_from(ACKNOWLEDGED_WITHIN.as_millis()).unwrap_or(u32::MAX),
            by,
        };
        let issued = match self.0.store.apply(Once { key, wants }).await? {
            Ok(OnceMade::Now(issued)) => issued,
            Ok(OnceMade::Before(made)) => return Ok(given_before(&made, &self.0.store.view())),
            Err(reused) => return Ok(Err(reused.into())),
        };
        Ok(issued.map(|(record, member)| {
            let (inner, asked) = (Arc::clone(&self.0), record.clone());
            self.0
                .work
                .spawn(async move { inner.carry(asked, member).await }.boxed());
            record
        }))
    }
}

fn provider(settings: &ProviderSettings) -> Arc<dyn Provider> {
    let secret = settings.secret_file.clone();
    match &settings.at {
        ProviderAddress::Serf { host, port } => Arc::new(Serf::new(host, *port, secret)),
        ProviderAddress::Consul { url, ca_file } => {
            Arc::new(Consul::new(url, ca_file.clone(), secret))
        }
    }
}

/// Forgets providers that are gone; when we stop, waits for the questions that are on their way.
async fn forget_others(inner: Arc<Inner>, stop: CancellationToken) {
    let keep = inner.providers.keys().cloned().gather();
    if let Err(error) = inner.store.apply(ForgetProviders { keep }).await {
        warn!(%error, "members of providers that are gone could not be forgotten");
    }
    stop.cancelled().await;
    inner.work.close();
    inner.work.wait().await;
}

impl Inner {
    async fn carry(&self, record: CommandRecord, member: ProviderMember) {
        // It is never closed.
        let _place = self.places.acquire().await;
        self.settle(&record, CommandWord::Sent).await;
        let word = match self.providers.get(&member.provider) {
            Some(configured) => configured.provider.reboot(&member.node).await,
            None => CommandWord::Lost(format!("{} is not configured any more", member.source())),
        };
        self.settle(&record, word).await;
    }

    async fn settle(&self, record: &CommandRecord, word: CommandWord) {
        let id = record.id;
        match self.store.apply(Settle { id, word }).await {
            Ok(Some(record)) if !record.stage.is_open() => {
                info!(command = %id, what = record.command.name(), machine = %record.machine,
                    stage = record.stage.word(), "a command through a provider is settled");
                self.metrics.count(Counter::Commands, record.stage.word());
            }
            Ok(_) => {}
            Err(error) => {
                warn!(%error, command = %id, "what became of a command could not be written down");
            }
        }
    }
}

/// Reads a secret from its file; nothing of it is ever shown.
async fn read_secret(path: &Path) -> Result<String, ProviderError> {
    use tokio::io::AsyncReadExt as _;
    let read = async {
        let mut text = String::new();
        let file = tokio::fs::File::open(path).await?;
        file.take(MAX_SECRET_BYTES)
            .read_to_string(&mut text)
            .await?;
        Ok(text.trim().to_owned())
    };
    read.await.map_err(|source| ProviderError::Secret {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests;
