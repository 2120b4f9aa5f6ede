//! What became of a delivery, and dead ones that are sent again.

use std::sync::Arc;

use super::{WebhookError, about, known};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    notify::{
        Delivery, DeliveryId, DeliveryStage, HookName, KEPT_DEAD, KEPT_DELIVERED, Retry, Webhook,
    },
};

/// Events after which nothing more happens to a deployment.
const DEPLOYMENT_ENDS: [&str; 4] = [
    "deployment.online",
    "deployment.failed",
    "deployment.done",
    "deployment.cancelled",
];

/// What an attempt brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// The receiver has it.
    Delivered(String),
    /// It may work later.
    Failed(String),
    /// The receiver wants no more of these.
    Gone(String),
}

/// Writes down what an attempt brought. A crash before it has the same message sent again, under the same id.
#[derive(Debug, Clone)]
pub struct SettleDelivery {
    /// Which.
    pub id: DeliveryId,
    /// The event it is about: the number may meanwhile be another's.
    pub event: u64,
    /// What it brought.
    pub word: Word,
    /// How patient we are.
    pub retry: Retry,
    /// Between 0 and 1, for the length of the wait.
    pub dice: f64,
}

impl Transition for SettleDelivery {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        let known = view.delivery(self.id).filter(|d| d.event.seq == self.event);
        if let Some(delivery) = known.filter(|d| d.due().is_some()) {
            self.settle(view, delivery, now, &mut changes);
        }
        (changes, ())
    }
}

impl SettleDelivery {
    fn settle(&self, view: &View, delivery: &Delivery, now: Timestamp, changes: &mut Changes) {
        let attempts = delivery.attempts.saturating_add(1);
        let next = now + self.retry.wait(attempts, self.dice);
        let too_old = next.duration_since(delivery.since) > self.retry.give_up;
        let (stage, said) = match &self.word {
            Word::Delivered(said) => (DeliveryStage::Delivered { at: now }, said),
            Word::Failed(said) if !too_old => (DeliveryStage::Waiting { next }, said),
            Word::Failed(said) | Word::Gone(said) => (DeliveryStage::Dead { at: now }, said),
        };
        let settled = Delivery {
            stage,
            attempts,
            last: Some(said.clone()),
            ..delivery.clone()
        };
        match stage {
            DeliveryStage::Dead { .. } => tell_of_the_dead(&settled, said, changes),
            DeliveryStage::Delivered { .. } => tell_of_the_end(&settled, changes),
            DeliveryStage::Waiting { .. } => {}
        }
        make_room(view, &settled, changes);
        changes.write(settled);
    }
}

/// What webhooks cause themselves dies in silence: two that watch each other would never come to an end.
fn tell_of_the_dead(delivery: &Delivery, said: &str, changes: &mut Changes) {
    let kind = &delivery.event.draft.kind;
    if !kind.starts_with("webhook.") {
        let text = format!("webhook {} gave up on {kind}: {said}", delivery.hook);
        let draft = about("webhook.dead", &delivery.hook, text);
        changes.event(draft.field("delivery", delivery.id.to_string()));
    }
}

/// That somebody knows how a deployment ended is the end of its story. Other deliveries are only listed.
fn tell_of_the_end(delivery: &Delivery, changes: &mut Changes) {
    let told = &delivery.event.draft;
    if !DEPLOYMENT_ENDS.contains(&told.kind.as_str()) {
        return;
    }
    let text = format!("webhook {} was told: {}", delivery.hook, told.text);
    let mut draft = about("webhook.delivered", &delivery.hook, text)
        .field("delivery", delivery.id.to_string())
        .field("kind", told.kind.clone());
    if let Some(deployment) = told.fields.get("deployment") {
        draft = draft.field("deployment", deployment.clone());
    }
    draft.machine.clone_from(&told.machine);
    changes.event(draft);
}

/// Settled deliveries are kept for a while: the oldest of the same fate makes room.
fn make_room(view: &View, settled: &Delivery, changes: &mut Changes) {
    let (kept, is_dead) = match settled.stage {
        DeliveryStage::Waiting { .. } => return,
        DeliveryStage::Delivered { .. } => (KEPT_DELIVERED, false),
        DeliveryStage::Dead { .. } => (KEPT_DEAD, true),
    };
    let alike = |d: &&Arc<Delivery>| match d.stage {
        DeliveryStage::Waiting { .. } => false,
        DeliveryStage::Delivered { .. } => !is_dead,
        DeliveryStage::Dead { .. } => is_dead,
    };
    let old: Vec<_> = view
        .deliveries_of(&settled.hook)
        .filter(alike)
        .map(|d| d.id)
        .collect();
    let surplus = (old.len() + 1).saturating_sub(kept);
    for id in old.iter().take(surplus) {
        changes.write(Key::Delivery(*id));
    }
    if let (true, Some(hook)) = (is_dead && surplus > 0, view.webhook(&settled.hook)) {
        changes.write(Webhook {
            lost: hook.lost + surplus as u64,
            ..Webhook::clone(hook)
        });
    }
}

/// A person sends dead letters again, or one delivery whatever became of it. The receiver sees the ids it saw before.
#[derive(Debug, Clone)]
pub struct Replay {
    /// Whose.
    pub name: HookName,
    /// Which; `None`: all that are dead.
    pub id: Option<DeliveryId>,
    /// Who, for people.
    pub by: String,
}

impl Transition for Replay {
    /// How many.
    type Outcome = Result<usize, WebhookError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let chosen = match self.chosen(view) {
            Ok(chosen) => chosen,
            Err(error) => return (changes, Err(error)),
        };
        for delivery in &chosen {
            changes.write(Delivery {
                stage: DeliveryStage::Waiting { next: now },
                attempts: 0,
                since: now,
                ..Delivery::clone(delivery)
            });
        }
        if !chosen.is_empty() {
            let (by, name, count) = (&self.by, &self.name, chosen.len());
            let text = format!("{by} replays {count} deliveries of webhook {name}");
            changes.event(about("webhook.replayed", name, text));
        }
        (changes, Ok(chosen.len()))
    }
}

impl Replay {
    fn chosen<'a>(&self, view: &'a View) -> Result<Vec<&'a Arc<Delivery>>, WebhookError> {
        known(view, &self.name)?;
        let all = view.deliveries_of(&self.name);
        let Some(id) = self.id else {
            return Ok(all
                .filter(|d| matches!(d.stage, DeliveryStage::Dead { .. }))
                .collect());
        };
        let missing = || WebhookError::NoDelivery(self.name.clone(), id.0);
        let one = view.delivery(id).filter(|d| d.hook == self.name);
        one.map(|d| vec![d]).ok_or_else(missing)
    }
}
