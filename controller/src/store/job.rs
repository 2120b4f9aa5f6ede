//! A queued transition with its type erased: run as often as the backend wants, answered once.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::sync::oneshot;

use super::{Behalf, StoreError};
use crate::state::{Changes, Timestamp, Transition, View};

/// What the writer queues.
pub(super) trait Job: Send {
    /// Runs the transition and remembers its outcome.
    fn run(&mut self, view: &View, now: Timestamp) -> Changes;

    /// Tells the asker how the last run's changes fared.
    fn settle(self: Box<Self>, kept: Result<(), StoreError>);
}

/// What a transition made, its type erased: one channel for all of them, or each would be compiled with its own.
pub(super) type Made = Box<dyn Any + Send>;

/// Where the asker waits. What comes is the outcome of the transition it asked for.
pub(super) type Reply = oneshot::Sender<Result<Made, StoreError>>;

/// A transition with its type erased: what is compiled for each of them is this call.
trait Erased: Send {
    fn make(&self, view: &View, now: Timestamp) -> (Changes, Made);
}

impl<T: Transition> Erased for T {
    fn make(&self, view: &View, now: Timestamp) -> (Changes, Made) {
        let (changes, outcome) = self.run(view, now);
        (changes, Box::new(outcome))
    }
}

/// A transition somebody waits for.
pub(super) struct Asked {
    transition: Box<dyn Erased>,
    outcome: Result<Made, StoreError>,
    reply: Reply,
    /// Who asked for it, and whether the last run changes something.
    behalf: Option<Arc<Behalf>>,
    changes: bool,
}

impl Asked {
    pub(super) fn new(transition: impl Transition, reply: Reply) -> Self {
        Self {
            transition: Box::new(transition),
            outcome: Err(StoreError::Closed),
            reply,
            behalf: Behalf::of_this_task(),
            changes: false,
        }
    }
}

impl Job for Asked {
    fn run(&mut self, view: &View, now: Timestamp) -> Changes {
        let (mut changes, outcome) = guarded(&*self.transition, view, now);
        self.outcome = outcome;
        if let Some(behalf) = &self.behalf {
            behalf.sign(&mut changes);
            self.changes = !changes.is_empty();
        }
        changes
    }

    fn settle(self: Box<Self>, kept: Result<(), StoreError>) {
        if self.changes
            && kept.is_ok()
            && let Some(behalf) = &self.behalf
        {
            behalf.note();
        }
        // An asker that stopped waiting (a closed connection) is no reason to undo the change.
        let _ = self.reply.send(kept.and(self.outcome));
    }
}

/// A transition nobody waits for.
pub(super) struct Noted(Box<dyn Erased>);

impl Noted {
    pub(super) fn new(transition: impl Transition<Outcome = ()>) -> Self {
        Self(Box::new(transition))
    }
}

impl Job for Noted {
    fn run(&mut self, view: &View, now: Timestamp) -> Changes {
        guarded(&*self.0, view, now).0
    }

    fn settle(self: Box<Self>, _kept: Result<(), StoreError>) {}
}

/// A transition that panics must cost its asker an answer, not everybody the store. The view is immutable, so nothing
/// half-done stays behind.
fn guarded(
    transition: &dyn Erased,
    view: &View,
    now: Timestamp,
) -> (Changes, Result<Made, StoreError>) {
    match catch_unwind(AssertUnwindSafe(|| transition.make(view, now))) {
        Ok((changes, made)) => (changes, Ok(made)),
        Err(_) => (Changes::none(), Err(StoreError::Panicked)),
    }
}
