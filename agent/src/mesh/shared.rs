//! What the tasks of one agent share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mesh_proto::facts::HardwareFacts;
use mesh_proto::message::link::{FactsReport, Habitat};
use tokio::sync::watch;
use tokio::time::Instant;

use super::gossip::Gossip;
use super::identity::Memory;
use super::line::JobLine;
use super::view::View;
use crate::dispatch::Node;
use crate::effects::Effects;
use crate::helper::Helper;
use crate::journal::Journal;

/// One agent's common ground.
pub(super) struct Shared<E> {
    pub(super) effects: Arc<E>,
    pub(super) habitat: Habitat,
    pub(super) boot_id: String,
    /// The boot that nobody was told yet that it came up.
    pub(super) unreported: Mutex<Option<String>>,
    pub(super) journal: Journal,
    pub(super) memory: Memory,
    pub(super) gossip: Gossip,
    pub(super) view: watch::Sender<View>,
    /// When somebody last wanted something of this machine.
    pub(super) active: watch::Sender<Instant>,
    /// For who does jobs.
    pub(super) jobs: JobLine,
    /// Its work as a boot helper.
    pub(super) helper: Helper,
    /// Until when the lamp blinks.
    pub(super) identify: watch::Sender<Option<Instant>>,
    pub(super) node: Mutex<Node>,
    pub(super) facts: Mutex<Arc<HardwareFacts>>,
}

impl<E: Effects> Shared<E> {
    /// Changes what people see.
    pub(super) fn show(&self, change: impl FnOnce(&mut View)) {
        self.view.send_if_modified(|view| {
            let before = view.clone();
            change(view);
            *view != before
        });
    }

    /// Says and shows what went wrong; the same thing again is said once.
    pub(super) fn complain(&self, text: &str) {
        let news = self.view.borrow().error.as_deref() != Some(text);
        if news {
            self.journal.say(text);
            self.show(|view| view.error = Some(text.to_owned()));
        }
    }

    /// Somebody wants something of this machine.
    pub(super) fn touch(&self) {
        self.active.send_replace(Instant::now());
    }

    pub(super) fn facts(&self) -> Arc<HardwareFacts> {
        Arc::clone(&lock(&self.facts))
    }

    pub(super) fn facts_report(&self) -> Box<FactsReport> {
        Box::new(FactsReport {
            boot_id: self.boot_id.clone(),
            facts: HardwareFacts::clone(&self.facts()),
        })
    }

    /// Reads the hardware again; true when it is other hardware than before.
    pub(super) async fn look_again(&self) -> bool {
        let effects = Arc::clone(&self.effects);
        // A read that panicked has told us nothing new.
        let Ok(facts) = tokio::task::spawn_blocking(move || effects.facts()).await else {
            return false;
        };
        let digest = facts.digest();
        let before = std::mem::replace(&mut *lock(&self.facts), Arc::new(facts));
        let changed = before.digest() != digest;
        if changed {
            self.gossip.announce(&digest).await;
        }
        changed
    }
}

/// A lock whose holders only read or replace, so that a panic elsewhere leaves nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
