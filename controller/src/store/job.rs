//! A queued transition with its type erased: run as often as the backend wants, answered once.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

use tokio::sync::oneshot;

use super::StoreError;
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

/// A transition somebody waits for.
pub(super) struct Asked<T> {
    transition: T,
    outcome: Result<Made, StoreError>,
    reply: Reply,
}

impl<T: Transition> Asked<T> {
    pub(super) fn new(transition: T, reply: Reply) -> Self {
        Self {
            transition,
            outcome: Err(StoreError::Closed),
            reply,
        }
    }
}

impl<T: Transition> Job for Asked<T> {
    fn run(&mut self, view: &View, now: Timestamp) -> Changes {
        let (changes, outcome) = guarded(&self.transition, view, now);
        self.outcome = outcome.map(|made| Box::new(made) as Made);
        changes
    }

    fn settle(self: Box<Self>, kept: Result<(), StoreError>) {
        // An asker that stopped waiting (a closed connection) is no reason to undo the change.
        let _ = self.reply.send(kept.and(self.outcome));
    }
}

/// A transition nobody waits for.
pub(super) struct Noted<T>(pub(super) T);

impl<T: Transition<Outcome = ()>> Job for Noted<T> {
    fn run(&mut self, view: &View, now: Timestamp) -> Changes {
        guarded(&self.0, view, now).0
    }

    fn settle(self: Box<Self>, _kept: Result<(), StoreError>) {}
}

/// A transition that panics must cost its asker an answer, not everybody the store. The view is immutable, so nothing
/// half-done stays behind.
fn guarded<T: Transition>(
    transition: &T,
    view: &View,
    now: Timestamp,
) -> (Changes, Result<T::Outcome, StoreError>) {
    match catch_unwind(AssertUnwindSafe(|| transition.run(view, now))) {
        Ok((changes, outcome)) => (changes, Ok(outcome)),
        Err(_) => (Changes::none(), Err(StoreError::Panicked)),
    }
}
