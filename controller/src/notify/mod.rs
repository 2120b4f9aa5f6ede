//! Tells people and programs what happened: webhooks and mail, at least once.
//!
//! events → [`QueueDeliveries`] → deliveries, durable → [`Courier`] → [`SettleDelivery`]. What a receiver was sent and
//! what is written down can differ by one attempt: after a crash between the two the same message goes out again, under
//! the same id. One receiver is sent one message at a time, and a slow one delays only itself.

mod courier;
mod hook;
mod mail;
mod message;
pub mod sign;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    task::{Id, JoinSet},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use self::{
    courier::Courier,
    mail::{MailSettings, MailTls},
};
use crate::{
    metrics::{Counter, Metrics},
    state::{
        Timestamp, View,
        notify::{Delivery, HookName, Retry, Webhook},
        ops::{QueueDeliveries, SettleDelivery, Word, anything_to_queue},
    },
    store::{Store, StoreError},
};

/// Receivers that are sent something at the same time: sockets of a small host.
const AT_ONCE: usize = 16;
/// The pause after the store refused: it may be full, and says so itself.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// The longest nap; everything that matters wakes earlier.
const NAP: Duration = Duration::from_secs(3600);

/// The task that sends.
pub struct Notifier {
    store: Store,
    courier: Arc<Courier>,
    metrics: Arc<Metrics>,
    retry: Retry,
}

impl Notifier {
    /// Sends what `store` has for its webhooks by `courier`.
    #[must_use]
    pub fn new(store: Store, courier: Courier, metrics: Arc<Metrics>, retry: Retry) -> Self {
        Self {
            store,
            courier: Arc::new(courier),
            metrics,
            retry,
        }
    }

    /// Runs until `stop`. Attempts that are under way then are made again by the next one.
    pub async fn run(self, stop: CancellationToken) {
        let mut newest = self.store.subscribe();
        let mut attempts = Attempts::default();
        loop {
            newest.borrow_and_update();
            let queued = self.queue().await;
            self.start_due(&mut attempts);
            let nap = match queued {
                Ok(()) => attempts.nap(&self.store.view(), self.store.now()),
                Err(StoreError::Closed) => return,
                Err(_) => STORE_PAUSE,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                changed = newest.changed() => if changed.is_err() { return },
                () = attempts.one_ended() => {}
                () = sleep(nap) => {}
            }
        }
    }

    /// Makes deliveries of events, until every event was looked at.
    async fn queue(&self) -> Result<(), StoreError> {
        while anything_to_queue(&self.store.view()) {
            self.store.apply(QueueDeliveries).await?;
        }
        Ok(())
    }

    fn start_due(&self, attempts: &mut Attempts) {
        let (view, now) = (self.store.view(), self.store.now());
        let due = |d: &&Arc<Delivery>| d.due().is_some_and(|at| at <= now);
        for delivery in view.deliveries_waiting().take_while(due) {
            if attempts.is_full() {
                return;
            }
            let Some(hook) = view.webhook(&delivery.hook) else {
                continue;
            };
            if !attempts.is_busy(&hook.name) {
                let attempt = Attempt {
                    store: self.store.clone(),
                    courier: Arc::clone(&self.courier),
                    metrics: Arc::clone(&self.metrics),
                    retry: self.retry,
                    hook: Arc::clone(hook),
                    delivery: Arc::clone(delivery),
                };
                attempts.start(hook.name.clone(), attempt.run());
            }
        }
    }
}

/// What is being sent.
#[derive(Default)]
struct Attempts {
    tasks: JoinSet<()>,
    busy: HashMap<Id, HookName>,
}

impl Attempts {
    fn start(&mut self, hook: HookName, attempt: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(attempt.boxed()).id();
        self.busy.insert(id, hook);
    }

    fn is_full(&self) -> bool {
        self.busy.len() >= AT_ONCE
    }

    fn is_busy(&self, hook: &HookName) -> bool {
        self.busy.values().any(|busy| busy == hook)
    }

    /// Waits for the end of one; for ever when there is none.
    async fn one_ended(&mut self) {
        let ended = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.busy.remove(&ended);
    }

    /// How long nothing is to be done, unless something happens.
    fn nap(&self, view: &View, now: Timestamp) -> Duration {
        if self.is_full() {
            return NAP;
        }
        let mut idle = view.deliveries_waiting().filter(|d| !self.is_busy(&d.hook));
        let next = idle.find_map(|d| d.due());
        let wait = |at: Timestamp| Duration::try_from(at.duration_since(now)).unwrap_or_default();
        next.map_or(NAP, wait).min(NAP)
    }
}

/// One message, sent once.
struct Attempt {
    store: Store,
    courier: Arc<Courier>,
    metrics: Arc<Metrics>,
    retry: Retry,
    hook: Arc<Webhook>,
    delivery: Arc<Delivery>,
}

impl Attempt {
    async fn run(self) {
        let now = self.store.now();
        let word = self.courier.send(&self.hook, &self.delivery, now).await;
        let (label, said) = match &word {
            Word::Delivered(said) => ("delivered", said),
            Word::Failed(said) => ("failed", said),
            Word::Gone(said) => ("gone", said),
        };
        self.metrics.count(Counter::Notifications, label);
        info!(webhook = %self.hook.name, id = self.delivery.message_id(), kind = self.delivery.event.draft.kind,
            outcome = label, "a notification: {said}");
        let settle = SettleDelivery {
            id: self.delivery.id,
            event: self.delivery.event.seq,
            word,
            retry: self.retry,
            dice: rand::random(),
        };
        self.settle(&settle).await;
    }

    /// Tried until the store takes it: who got the message would otherwise get it again at once.
    async fn settle(&self, settle: &SettleDelivery) {
        loop {
            match self.store.apply(settle.clone()).await {
                Ok(()) | Err(StoreError::Closed) => return,
                Err(error) => {
                    warn!(%error, "what became of a notification could not be written down");
                }
            }
            sleep(STORE_PAUSE).await;
        }
    }
}
