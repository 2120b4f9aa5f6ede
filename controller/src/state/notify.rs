//! Who is told what: webhooks and mail subscriptions, and what is on its way to them.
//!
//! A subscription reads the event record: it knows up to which event it has looked ([`Webhook::looked`]), and what it
//! wants becomes a [`Delivery`], frozen, in the same transaction that moves that mark. So an event is neither missed nor
//! queued twice, and what is sent twice bears the same id.

mod delivery;
mod target;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

pub use self::{
    delivery::{Delivery, DeliveryId, DeliveryStage, Retry},
    target::{BadTarget, HttpUrl, MailAddress, Target},
};
pub use super::name::HookName;
use super::{Timestamp, event::Event, machine::MachineId};

/// Subscriptions kept: each costs a look at every event.
pub const MAX_WEBHOOKS: usize = 64;
/// Kinds that one subscription may name.
pub const MAX_KINDS: usize = 32;
/// Deliveries that may wait for one receiver: an hour of a busy room. What comes on top is a dead letter at once.
pub const MAX_WAITING: usize = 1_000;
/// Dead letters kept for each subscription; the oldest makes room and is counted as lost.
pub const KEPT_DEAD: usize = 500;
/// Deliveries that arrived, kept for people's eyes.
pub const KEPT_DELIVERED: usize = 50;

/// The kind of the event that asks one subscription to show that it works.
pub const TEST_KIND: &str = "webhook.test";
/// The event field that names a subscription.
pub const HOOK_FIELD: &str = "webhook";

/// Which kinds of events: one (`deployment.online`), a family (`deployment.*`), or all (`*`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KindPattern(String);

/// Why a text is no kind of event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no kind of event; write one (deployment.online), a family (deployment.*), or * for all"
)]
pub struct BadKind(String);

impl FromStr for KindPattern {
    type Err = BadKind;

    fn from_str(text: &str) -> Result<Self, BadKind> {
        let word = |w: &str| {
            !w.is_empty()
                && w.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        let body = text.strip_suffix(".*").unwrap_or(text);
        let good = text == "*" || (text.len() <= 80 && body.split('.').all(word));
        let refused = || BadKind(text.chars().take(80).collect());
        good.then(|| Self(text.to_owned())).ok_or_else(refused)
    }
}

crate::state::name::as_text! { KindPattern: BadKind }

impl fmt::Display for KindPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl KindPattern {
    /// Whether events of `kind` are meant.
    #[must_use]
    pub fn admits(&self, kind: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some(family) => kind.starts_with(family),
            None => self.0 == kind,
        }
    }
}

/// A subscription: some events, for one receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its name.
    pub name: HookName,
    /// Where to.
    pub target: Target,
    /// Which events.
    pub kinds: Vec<KindPattern>,
    /// Only events of this machine.
    #[serde(default)]
    pub machine: Option<MachineId>,
    /// Who made it, for people.
    pub by: String,
    /// When.
    pub created: Timestamp,
    /// The number of the last event that was looked at for it.
    pub looked: u64,
    /// Dead letters, and events, that were dropped before anybody looked at them.
    #[serde(default)]
    pub lost: u64,
}

impl Webhook {
    /// Whether an event of `machine` is for this receiver. A test is for the one it names; what a subscription itself
    /// causes is never for it, or one failure would feed the next.
    #[must_use]
    pub fn wants(&self, event: &Event, machine: Option<&MachineId>) -> bool {
        let draft = &event.draft;
        let named = draft
            .fields
            .get(HOOK_FIELD)
            .is_some_and(|n| n == self.name.as_str());
        if draft.kind == TEST_KIND {
            return named;
        }
        let its_own = named && draft.kind.starts_with("webhook.");
        let of_machine = self.machine.is_none() || self.machine.as_ref() == machine;
        !its_own && of_machine && self.kinds.iter().any(|k| k.admits(&draft.kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_kind_a_family_or_all() {
        let admits = |pattern: &str, kind| pattern.parse::<KindPattern>().unwrap().admits(kind);
        assert!(admits("deployment.online", "deployment.online"));
        assert!(!admits("deployment.online", "deployment.online-again"));
        assert!(admits("deployment.*", "deployment.failed"));
        assert!(!admits("deployment.*", "deployments.failed"));
        assert!(admits("*", "machine.seen"));
    }

    #[test]
    fn a_pattern_that_would_never_match_is_refused() {
        for text in [
            "",
            "deployment.",
            "*.online",
            "dep*",
            "a b",
            "Deployment.online",
            ".*",
            "a..b",
        ] {
            assert!(text.parse::<KindPattern>().is_err(), "{text}");
        }
    }
}
