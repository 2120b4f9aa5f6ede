//! Webhooks are made and deleted; events become deliveries; deliveries are settled.

mod deliveries;
mod queue;

pub use deliveries::{Replay, SettleDelivery, Word};
pub use queue::{QueueDeliveries, anything_to_queue};

use super::{MachineError, MachineRef};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    event::Draft,
    notify::{
        HOOK_FIELD, HookName, KindPattern, MAX_KINDS, MAX_WEBHOOKS, TEST_KIND, Target, Webhook,
    },
};

/// Why a webhook cannot be made or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// For a machine that is not there.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// No such webhook.
    #[error("no webhook is called '{0}'; `enforcer webhooks list` shows them")]
    NotFound(String),
    /// Its name belongs to another.
    #[error("a webhook '{0}' is there already; delete it first, or choose another name")]
    Taken(HookName),
    /// Too many.
    #[error("{MAX_WEBHOOKS} webhooks are there already; delete some")]
    Full,
    /// No kinds, or too many.
    #[error(
        "a webhook names 1 to {MAX_KINDS} kinds of events, such as deployment.online, or deployment.*"
    )]
    Kinds,
    /// No such delivery.
    #[error("webhook {0} has no delivery {1}; `enforcer webhooks deliveries {0}` shows them")]
    NoDelivery(HookName, u64),
}

/// A person subscribes a receiver to events, from now on.
#[derive(Debug, Clone)]
pub struct CreateWebhook {
    /// Its name; new.
    pub name: HookName,
    /// Where to.
    pub target: Target,
    /// Which events.
    pub kinds: Vec<KindPattern>,
    /// Only events of this machine.
    pub machine: Option<MachineRef>,
    /// Who, for people.
    pub by: String,
}

impl Transition for CreateWebhook {
    type Outcome = Result<Webhook, WebhookError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let made = self.made(view, now);
        if let Ok(webhook) = &made {
            let text = format!("{} made webhook {}", self.by, webhook.name);
            changes.event(about("webhook.created", &webhook.name, text));
            changes.write(webhook.clone());
        }
        (changes, made)
    }
}

impl CreateWebhook {
    fn made(&self, view: &View, now: Timestamp) -> Result<Webhook, WebhookError> {
        if view.webhook(&self.name).is_some() {
            return Err(WebhookError::Taken(self.name.clone()));
        }
        if view.webhooks().count() >= MAX_WEBHOOKS {
            return Err(WebhookError::Full);
        }
        if !(1..=MAX_KINDS).contains(&self.kinds.len()) {
            return Err(WebhookError::Kinds);
        }
        let id = |named: &MachineRef| {
            let missing = || MachineError::NotFound(named.0.clone());
            named.find(view).map(|m| m.id.clone()).ok_or_else(missing)
        };
        Ok(Webhook {
            name: self.name.clone(),
            target: self.target.clone(),
            kinds: self.kinds.clone(),
            machine: self.machine.as_ref().map(id).transpose()?,
            by: self.by.clone(),
            created: now,
            looked: view.next_event() - 1,
            lost: 0,
        })
    }
}

/// A person deletes a webhook, with all that waits for it.
#[derive(Debug, Clone)]
pub struct DeleteWebhook {
    /// Which.
    pub name: HookName,
    /// Who, for people.
    pub by: String,
}

impl Transition for DeleteWebhook {
    type Outcome = Result<(), WebhookError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        if let Err(error) = known(view, &self.name) {
            return (changes, Err(error));
        }
        for delivery in view.deliveries_of(&self.name) {
            changes.write(Key::Delivery(delivery.id));
        }
        changes.write(Key::Webhook(self.name.clone()));
        let text = format!("{} deleted webhook {}", self.by, self.name);
        changes.event(about("webhook.deleted", &self.name, text));
        (changes, Ok(()))
    }
}

/// A person wants to see that a webhook works: an event that only this one is told.
#[derive(Debug, Clone)]
pub struct TestWebhook {
    /// Which.
    pub name: HookName,
    /// Who, for people.
    pub by: String,
}

impl Transition for TestWebhook {
    /// The number of the event.
    type Outcome = Result<u64, WebhookError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        if let Err(error) = known(view, &self.name) {
            return (changes, Err(error));
        }
        let text = format!("{} tests webhook {}", self.by, self.name);
        changes.event(about(TEST_KIND, &self.name, text));
        // The store numbers a transition's first event so.
        (changes, Ok(view.next_event()))
    }
}

fn known<'a>(view: &'a View, name: &HookName) -> Result<&'a Webhook, WebhookError> {
    let missing = || WebhookError::NotFound(name.to_string());
    view.webhook(name).map(AsRef::as_ref).ok_or_else(missing)
}

fn about(kind: &str, name: &HookName, text: String) -> Draft {
    Draft::new(kind, text).field(HOOK_FIELD, name.as_str())
}
