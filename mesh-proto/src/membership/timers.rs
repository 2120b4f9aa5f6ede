//! What is to be done when, in one ordered queue. Each duty has one place: setting it again moves it, so the queue never
//! holds more than a few entries and one for each suspected member.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use foca::Timer;

use crate::identity::{Identity, NodeId};

/// A duty. At one instant they are done in this order, which is the one foca wants for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Duty {
    Indirect,
    Probe,
    Suspect(NodeId),
    Ask(NodeId),
    Announce,
    Gossip,
    Forget(NodeId),
    AnnounceDown,
    Seeds,
    Housekeeping,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Task {
    /// Give it back to foca.
    Foca(Timer<Identity>),
    /// Ask whom we suspect whether it is there.
    Ask(Identity),
    /// Announce ourselves to the seeds.
    Seeds,
    /// Throw away what is old.
    Housekeeping,
}

impl Task {
    fn duty(&self) -> Duty {
        match self {
            Self::Foca(Timer::SendIndirectProbe { .. }) => Duty::Indirect,
            Self::Foca(Timer::ProbeRandomMember(_)) => Duty::Probe,
            Self::Foca(Timer::ChangeSuspectToDown { member_id, .. }) => {
                Duty::Suspect(member_id.node)
            }
            Self::Foca(Timer::PeriodicAnnounce(_)) => Duty::Announce,
            Self::Foca(Timer::PeriodicGossip(_)) => Duty::Gossip,
            Self::Foca(Timer::RemoveDown(member)) => Duty::Forget(member.node),
            Self::Foca(Timer::PeriodicAnnounceDown(_)) => Duty::AnnounceDown,
            Self::Ask(suspect) => Duty::Ask(suspect.node),
            Self::Seeds => Duty::Seeds,
            Self::Housekeeping => Duty::Housekeeping,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeMap<(Instant, Duty), Task>,
    set: HashMap<Duty, Instant>,
}

impl Timers {
    /// Sets a duty's time anew. The same suspicion, raised again, keeps its first time: foca raises it with every probe
    /// that fails.
    pub(super) fn set(&mut self, at: Instant, task: Task) {
        let duty = task.duty();
        if let Some(&before) = self.set.get(&duty) {
            let same = self.due.get(&(before, duty)) == Some(&task);
            if same && matches!(duty, Duty::Suspect(_)) {
                return;
            }
            self.due.remove(&(before, duty));
        }
        self.set.insert(duty, at);
        self.due.insert((at, duty), task);
    }

    /// Whether we are about to declare this node down.
    pub(super) fn suspects(&self, node: NodeId) -> bool {
        self.set.contains_key(&Duty::Suspect(node))
    }

    /// Gives up a suspicion of our own.
    pub(super) fn acquit(&mut self, node: NodeId) {
        for duty in [Duty::Suspect(node), Duty::Ask(node)] {
            if let Some(at) = self.set.remove(&duty) {
                self.due.remove(&(at, duty));
            }
        }
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// The first duty that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Task> {
        if self.next_at()? > now {
            return None;
        }
        let ((_, duty), task) = self.due.pop_first()?;
        self.set.remove(&duty);
        Some(task)
    }

    /// Moves everything, as if time had stood still.
    pub(super) fn postpone(&mut self, by: Duration) {
        let due = std::mem::take(&mut self.due);
        self.due = due
            .into_iter()
            .map(|((at, duty), task)| ((at + by, duty), task))
            .collect();
        for at in self.set.values_mut() {
            *at += by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Role;

    fn suspicion(incarnation: u16) -> Task {
        let addr = ([10, 0, 0, 1], 4849).into();
        Task::Foca(Timer::ChangeSuspectToDown {
            member_id: Identity::new(NodeId(1), 1, addr, Role::Agent),
            incarnation,
            token: 0,
        })
    }

    #[expect(clippy::disallowed_methods, reason = "an arbitrary start of time")]
    fn start() -> Instant {
        Instant::now()
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn duties_come_in_order_and_each_once() {
        let start = start();
        let mut timers = Timers::default();
        timers.set(start + 3 * SECOND, Task::Housekeeping);
        timers.set(start + 2 * SECOND, Task::Seeds);
        timers.set(start + SECOND, Task::Housekeeping);
        assert_eq!(timers.next_at(), Some(start + SECOND));
        assert_eq!(timers.take_due(start), None);
        let end = start + 9 * SECOND;
        assert_eq!(timers.take_due(end), Some(Task::Housekeeping));
        assert_eq!(timers.take_due(end), Some(Task::Seeds));
        assert_eq!(timers.take_due(end), None);
    }

    #[test]
    fn a_suspicion_raised_again_is_not_put_off() {
        let start = start();
        let mut timers = Timers::default();
        timers.set(start + SECOND, suspicion(0));
        timers.set(start + 2 * SECOND, suspicion(0));
        assert_eq!(timers.next_at(), Some(start + SECOND));
        timers.set(start + 3 * SECOND, suspicion(1));
        assert_eq!(
            timers.next_at(),
            Some(start + 3 * SECOND),
            "it was refuted in between"
        );
    }

    #[test]
    fn time_that_stood_still_moves_everything() {
        let start = start();
        let mut timers = Timers::default();
        timers.set(start + SECOND, suspicion(0));
        timers.postpone(8 * SECOND);
        assert_eq!(timers.take_due(start + 8 * SECOND), None);
        assert_eq!(timers.take_due(start + 9 * SECOND), Some(suspicion(0)));
    }
}
