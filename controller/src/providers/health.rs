//! How a provider does, for people: whether it answers, why it does not, and when it is asked again. Kept in memory: after a start
//! nothing is known until it was asked.

use std::time::Duration;

use jiff::SignedDuration;

use super::ProviderError;
use crate::state::{Timestamp, shown::plain};

/// Whether a provider answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthState {
    /// It has not answered yet since the controller started.
    Starting,
    /// Its members are as it says.
    Answering,
    /// It failed and is asked again in a moment; its members still count as it said last.
    Failing,
    /// It failed again and again: its members count as not heard of.
    Silent,
}

/// Why a provider did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// The kind of it: the label of its counter in `/metrics`.
    pub kind: &'static str,
    /// In words.
    pub reason: String,
}

/// How it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Whether it answers.
    pub state: HealthState,
    /// Since when.
    pub since: Timestamp,
    /// The last failure, also when it has answered since.
    pub failure: Option<Failure>,
    /// Failures since it answered last.
    pub failures: u32,
    /// When it is asked again; `None` while it is being asked.
    pub next_attempt: Option<Timestamp>,
    /// Members that were not taken: too many, or names that cannot be shown.
    pub passed_over: usize,
}

impl Health {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            state: HealthState::Starting,
            since: now,
            failure: None,
            failures: 0,
            next_attempt: None,
            passed_over: 0,
        }
    }

    /// It told all its members.
    pub(super) fn answered(&mut self, now: Timestamp) {
        self.failures = 0;
        self.become_state(now, HealthState::Answering);
    }

    /// It failed, so often in a row, and is asked again after `wait`; from `silent_after` failures on it is silent.
    pub(super) fn failed(
        &mut self,
        now: Timestamp,
        error: &ProviderError,
        (failures, silent_after): (u32, u32),
        wait: Duration,
    ) {
        self.failure = Some(Failure {
            at: now,
            kind: error.label(),
            reason: plain(&error.to_string()),
        });
        self.failures = failures;
        let wait = SignedDuration::try_from(wait).unwrap_or_default();
        self.next_attempt = now.checked_add(wait).ok();
        let state = match failures < silent_after {
            true => HealthState::Failing,
            false => HealthState::Silent,
        };
        self.become_state(now, state);
    }

    /// It is being asked.
    pub(super) fn asked(&mut self) {
        self.next_attempt = None;
    }

    fn become_state(&mut self, now: Timestamp, state: HealthState) {
        if self.state != state {
            (self.state, self.since) = (state, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn it_is_silent_from_the_second_failure_on_until_it_answers_and_its_last_failure_stays() {
        let mut health = Health::new(at(100));
        let fail = |health: &mut Health, second, failures| {
            let wait = Duration::from_secs(4);
            health.failed(at(second), &ProviderError::Closed, (failures, 2), wait);
        };
        fail(&mut health, 101, 1);
        assert_eq!(
            (health.state, health.since),
            (HealthState::Failing, at(101))
        );
        assert_eq!(health.next_attempt, Some(at(105)));
        health.asked();
        assert_eq!(health.next_attempt, None);
        for (second, failures) in [(106, 2), (110, 3)] {
            fail(&mut health, second, failures);
            assert_eq!((health.state, health.since), (HealthState::Silent, at(106)));
            assert_eq!(health.failures, failures);
        }
        for second in [120, 130] {
            health.asked();
            health.answered(at(second));
            assert_eq!(
                (health.state, health.since),
                (HealthState::Answering, at(120))
            );
        }
        let failure = health.failure.unwrap();
        assert_eq!(
            (failure.at, failure.kind, health.failures),
            (at(110), "closed", 0)
        );
        assert_eq!(failure.reason, "it closed the connection");
    }

    #[test]
    fn a_providers_words_do_not_steer_a_terminal() {
        let mut health = Health::new(at(0));
        let error = ProviderError::Refused("our key", "no\x1b[2J".to_owned());
        health.failed(at(1), &error, (1, 2), Duration::ZERO);
        let reason = health.failure.unwrap().reason;
        assert!(!reason.contains(char::is_control), "{reason:?}");
    }
}
