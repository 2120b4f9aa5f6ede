//! The booted system says how it went: by a callback that anyone could make who saw the script, or by its agent.

use crate::state::{
    Changes, Timestamp, Transition, View,
    activation::{Kind, Nonce, Step},
    config::Evidence,
    ops::{PhoneHome, boot::record},
    trust::key::Serial,
};

/// Longest reason a booted system may give for its failure, characters.
const MAX_WORDS: usize = 300;

/// The booted system calls back.
#[derive(Debug, Clone)]
pub struct Callback {
    /// Which activation.
    pub nonce: Nonce,
    /// `None`: success; else its words about the failure.
    pub failure: Option<String>,
}

/// What the booted system is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallbackAnswer {
    /// Written down.
    Closed,
    /// It was closed before, or is one that callbacks do not close: standing, or with the agent's report as evidence.
    Ignored,
    /// No such nonce.
    Unknown,
}

impl Transition for Callback {
    type Outcome = CallbackAnswer;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, CallbackAnswer) {
        let mut changes = Changes::none();
        let Some(activation) = view.activation_by_nonce(&self.nonce) else {
            return self.phone_home(view, now);
        };
        let step = match activation.config.evidence {
            // Anybody who saw the script can call back; only the agent's own word counts here.
            Evidence::Agent => Step::Same,
            Evidence::Fetched | Evidence::Callback => {
                activation.callback(self.failure.as_deref().map(bounded), now)
            }
        };
        let answer = match (&step, activation.kind) {
            (Step::Over(_), Kind::OneShot) => CallbackAnswer::Closed,
            _ => CallbackAnswer::Ignored,
        };
        record(step, view, &mut changes);
        (changes, answer)
    }
}

impl Callback {
    /// The new system of a deployment speaks in the same way.
    fn phone_home(&self, view: &View, now: Timestamp) -> (Changes, CallbackAnswer) {
        let home = PhoneHome {
            nonce: self.nonce.clone(),
            failure: self.failure.clone(),
        };
        match home.run(view, now) {
            (changes, true) => (changes, CallbackAnswer::Closed),
            (changes, false) => (changes, CallbackAnswer::Unknown),
        }
    }
}

/// An agent reports, over its own link, what became of a boot.
#[derive(Debug, Clone)]
pub struct ReportBoot {
    /// The certificate of the link.
    pub serial: Serial,
    /// Which activation.
    pub nonce: Nonce,
    /// `None`: it came up; else its words about the failure.
    pub failure: Option<String>,
}

impl Transition for ReportBoot {
    /// As a callback is answered: `Unknown` also when the activation is another machine's.
    type Outcome = CallbackAnswer;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, CallbackAnswer) {
        let mut changes = Changes::none();
        let key = view.key(&self.serial).filter(|k| k.is_live());
        let activation = view.activation_by_nonce(&self.nonce);
        let (Some(key), Some(activation)) = (key, activation) else {
            return (changes, CallbackAnswer::Unknown);
        };
        if key.machine != activation.machine {
            return (changes, CallbackAnswer::Unknown);
        }
        let step = activation.callback(self.failure.as_deref().map(bounded), now);
        let answer = match step {
            Step::Over(_) => CallbackAnswer::Closed,
            Step::Same | Step::Next(_) => CallbackAnswer::Ignored,
        };
        record(step, view, &mut changes);
        (changes, answer)
    }
}

pub(super) fn bounded(words: &str) -> String {
    words
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_WORDS)
        .collect()
}
