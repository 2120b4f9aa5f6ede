//! On whose behalf something is changed: whoever serves a request says it once, and every transition that is applied meanwhile
//! carries it into its events, in the same transaction. No handler can forget it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::state::{
    Changes,
    audit::{CHANGED, SIGNED_IN},
    event::{Draft, Origin},
};

tokio::task_local! {
    static ASKED: Arc<Behalf>;
}

/// Who asked, and whether it was written down yet.
#[derive(Debug)]
pub struct Behalf {
    origin: Origin,
    written: AtomicBool,
}

impl Behalf {
    /// Nothing is written down yet.
    #[must_use]
    pub fn new(origin: Origin) -> Arc<Self> {
        Arc::new(Self {
            origin,
            written: AtomicBool::new(false),
        })
    }

    /// Who asked.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Whether the record tells of a change that was made for it.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.written.load(Ordering::Acquire)
    }

    /// Does `work` for them. What it spawns is nobody's.
    pub async fn during<F: Future>(self: Arc<Self>, work: F) -> F::Output {
        ASKED.scope(self, work).await
    }

    /// For whom the running task works.
    pub(super) fn of_this_task() -> Option<Arc<Self>> {
        ASKED.try_with(Arc::clone).ok()
    }

    /// Puts their name on what is changed; a change of which no event tells gets one.
    pub(super) fn sign(&self, changes: &mut Changes) {
        if changes.is_empty() {
            return;
        }
        if changes.events.is_empty() {
            changes.event(Draft::new(CHANGED, self.sentence()));
        }
        let mut origin = self.origin.clone();
        // Nobody was known, and now they are: they sign in by this very request.
        origin.by = origin.by.or_else(|| signed_in(changes));
        for event in &mut changes.events {
            event.asked_by(&origin);
        }
    }

    pub(super) fn note(&self) {
        self.written.store(true, Ordering::Release);
    }

    /// What was asked for, for a person.
    #[must_use]
    pub fn sentence(&self) -> String {
        let origin = &self.origin;
        let who = origin.by.as_deref().unwrap_or("somebody unknown");
        let (Some(operation), Some(target)) = (&origin.operation, &origin.target) else {
            return format!("{who} had something changed");
        };
        let method = operation.split(' ').next().unwrap_or_default();
        format!("{who}: {method} {target}")
    }
}

/// The caller whose session begins by these changes, as the API names them.
fn signed_in(changes: &Changes) -> Option<String> {
    let begun = changes.events.iter().find(|e| e.kind == SIGNED_IN)?;
    let user = begun.fields.get("user")?;
    Some(format!("session:{user}"))
}
