//! The shape of every change: a pure function of what is known and the time.

use super::{Timestamp, View, Write, event::Draft};

/// A change somebody asks for. It may run more than once (a backend that reports a conflict has it run again on a
/// fresher view), so it must not have effects of its own; random values are handed to it when it is made.
pub trait Transition: Send + 'static {
    /// What the asker is told once the writes are durable.
    type Outcome: Send + 'static;

    /// Looks at `view` and says what changes.
    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome);
}

/// What a transition wants written, as one transaction. Empty: nothing happened, nothing is committed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Records put or deleted, in order.
    pub writes: Vec<Write>,
    /// Events; the store numbers and dates them.
    pub events: Vec<Draft>,
}

impl Changes {
    /// No change at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// What `decide` wants written; nothing of it when it refuses in the end.
    pub fn unless_refused<T, E>(
        decide: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> (Self, Result<T, E>) {
        let mut changes = Self::none();
        match decide(&mut changes) {
            Ok(done) => (changes, Ok(done)),
            Err(refused) => (Self::none(), Err(refused)),
        }
    }

    /// Adds a write.
    pub fn write(&mut self, write: impl Into<Write>) -> &mut Self {
        self.writes.push(write.into());
        self
    }

    /// Adds an event.
    pub fn event(&mut self, draft: Draft) -> &mut Self {
        self.events.push(draft);
        self
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_in_the_end_writes_nothing_of_what_it_had_begun() {
        let (changes, outcome) = Changes::unless_refused(|changes| {
            changes.event(Draft::new("machine.registered", "web1 was registered"));
            Err::<(), _>("the name is taken")
        });
        assert!(changes.is_empty() && outcome.is_err());
    }
}
