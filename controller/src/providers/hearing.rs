//! A provider is followed, and what it tells is written down; when it fails it is asked again, and its members are shown as not heard of.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Health, Provider, ProviderError, ProviderSettings, backoff::Backoff, budget::Budget};
use crate::{
    metrics::{Counter, Metrics},
    ordered::Gather as _,
    state::{
        machine::MachineId,
        ops::{HearProvider, KeepListed, ProviderBack, ProviderSilent},
        provider::{Heard, NodeName, ProviderKind, ProviderName},
    },
    store::{Store, StoreError},
};

/// Members written down in one transaction: others' transactions wait for it.
const AT_ONCE: usize = 256;
/// Rest after each report, and for each member in it: a provider that never stops telling keeps nobody else from the store.
const REST: Duration = Duration::from_millis(10);
const REST_FOR_EACH: Duration = Duration::from_micros(200);
/// Failures in a row after which its members count as not heard of; the first is mostly a restart.
const SILENT_AFTER: u32 = 2;

/// What a provider tells, on its way into the store.
pub(crate) struct Hearing {
    provider: ProviderName,
    kind: ProviderKind,
    store: Store,
    metrics: Arc<Metrics>,
    backoff: Backoff,
    budget: Budget,
    /// People were told that it is silent.
    silent: bool,
    /// It was told that members are passed over.
    passed: usize,
    /// How it does, for people.
    health: watch::Sender<Health>,
}

impl Hearing {
    pub(super) fn new(settings: &ProviderSettings, store: &Store, metrics: &Arc<Metrics>) -> Self {
        Self {
            provider: settings.name.clone(),
            kind: settings.kind(),
            store: store.clone(),
            metrics: Arc::clone(metrics),
            backoff: Backoff::default(),
            budget: Budget::new(Instant::now()),
            silent: false,
            passed: 0,
            health: watch::Sender::new(Health::new(store.now())),
        }
    }

    /// How the provider does, now and from now on.
    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.health.subscribe()
    }

    /// Follows the provider until we stop.
    pub(super) async fn keep(mut self, provider: Arc<dyn Provider>, stop: CancellationToken) {
        self.silence("not heard since the controller started", false)
            .await;
        loop {
            self.health.send_modify(Health::asked);
            let error = tokio::select! {
                () = stop.cancelled() => return,
                error = provider.follow(&mut self) => error,
            };
            let wait = self.failed(&error).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Counts, logs, and says when to try again.
    async fn failed(&mut self, error: &ProviderError) -> Duration {
        let wait = self.backoff.failed(rand::random());
        let (now, failures) = (self.store.now(), self.backoff.failures());
        self.health
            .send_modify(|h| h.failed(now, error, (failures, SILENT_AFTER), wait));
        self.metrics.count(Counter::ProviderFaults, error.label());
        let (provider, kind) = (&self.provider, self.kind.word());
        warn!(%provider, kind, "a provider does not answer: {error}; it is asked again in {:.1} s", wait.as_secs_f32());
        if self.backoff.failures() >= SILENT_AFTER {
            let tell = !std::mem::replace(&mut self.silent, true);
            let why = format!("{kind} {provider} does not answer: {error}");
            self.silence(&why, tell).await;
        }
        wait
    }

    async fn silence(&self, why: &str, tell: bool) {
        let silent = ProviderSilent {
            provider: self.provider.clone(),
            kind: self.kind,
            why: why.to_owned(),
            tell,
        };
        if let Err(error) = self.store.apply(silent).await {
            warn!(%error, "a provider's silence could not be written down");
        }
    }

    /// These are all members, of which `passed` more were not to be taken.
    pub(crate) async fn all(&mut self, heard: Vec<Heard>, passed: usize) -> Result<(), StoreError> {
        // Who is gone first: they may be in the place of those who came.
        self.keep_only(heard.iter().map(|h| h.node.clone()).gather())
            .await?;
        let count = heard.len();
        let refused = self.some(heard).await?;
        self.tell_passed(passed + refused);
        self.backoff.worked();
        let now = self.store.now();
        self.health.send_modify(|h| h.answered(now));
        if std::mem::take(&mut self.silent) {
            let back = ProviderBack {
                provider: self.provider.clone(),
                kind: self.kind,
            };
            self.store.apply(back).await?;
            info!(provider = %self.provider, members = count, "a provider answers again");
        }
        Ok(())
    }

    /// These members changed; how many were not taken.
    pub(crate) async fn some(&mut self, heard: Vec<Heard>) -> Result<usize, StoreError> {
        let mut refused = 0;
        let mut left = heard;
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(AT_ONCE));
            let fresh = || MachineId::from_random(rand::random());
            let hear = HearProvider {
                provider: self.provider.clone(),
                kind: self.kind,
                fresh_ids: left.iter().map(|_| fresh()).collect(),
                heard: left,
                may_tell: self.budget.left(Instant::now()),
            };
            let count = u32::try_from(hear.heard.len()).unwrap_or(u32::MAX);
            let taken = self.store.apply(hear).await?;
            self.budget.spend(taken.told);
            refused += taken.refused;
            left = rest;
            tokio::time::sleep(REST + REST_FOR_EACH * count).await;
        }
        Ok(refused)
    }

    /// Whom the provider forgot.
    pub(crate) async fn gone(&mut self, nodes: BTreeSet<NodeName>) -> Result<(), StoreError> {
        let view = self.store.view();
        let all = view.members_of_provider(&self.provider);
        let listed = all.map(|m| m.node.clone()).filter(|n| !nodes.contains(n));
        self.keep_only(listed.gather()).await?;
        tokio::time::sleep(REST).await;
        Ok(())
    }

    async fn keep_only(&mut self, listed: BTreeSet<NodeName>) -> Result<(), StoreError> {
        let keep = KeepListed {
            provider: self.provider.clone(),
            listed,
            may_tell: self.budget.left(Instant::now()),
        };
        self.budget.spend(self.store.apply(keep).await?);
        Ok(())
    }

    /// Members that are not taken are told once per change of their number.
    pub(crate) fn tell_passed(&mut self, passed: usize) {
        if passed > 0 {
            self.metrics.count(Counter::ProviderFaults, "passed-over");
        }
        if passed != self.passed && passed > 0 {
            warn!(provider = %self.provider, passed, "members of a provider are passed over: too many, or names that cannot be shown");
        }
        self.passed = passed;
        self.health.send_modify(|h| h.passed_over = passed);
    }
}
