//! The part of the view about webhooks and what is on its way to them.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::View;
use crate::state::{
    Timestamp,
    notify::{Delivery, DeliveryId, HookName, Webhook},
};

/// The maps; private to the view.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct NotifyView {
    webhooks: OrdMap<HookName, Arc<Webhook>>,
    deliveries: OrdMap<DeliveryId, Arc<Delivery>>,
    deliveries_of: OrdSet<(HookName, DeliveryId)>,
    due: OrdSet<(Timestamp, DeliveryId)>,
}

impl View {
    /// All webhooks, by name.
    pub fn webhooks(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        self.notify.webhooks.values()
    }

    /// A webhook by name.
    #[must_use]
    pub fn webhook(&self, name: &HookName) -> Option<&Arc<Webhook>> {
        self.notify.webhooks.get(name)
    }

    /// A delivery by number.
    #[must_use]
    pub fn delivery(&self, id: DeliveryId) -> Option<&Arc<Delivery>> {
        self.notify.deliveries.get(&id)
    }

    /// What is kept of a webhook's deliveries, oldest first.
    pub fn deliveries_of<'a>(
        &'a self,
        hook: &HookName,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Delivery>> + use<'a> {
        let (start, end) = (DeliveryId(0), DeliveryId(u64::MAX));
        self.notify
            .deliveries_of
            .range((hook.clone(), start)..=(hook.clone(), end))
            .filter_map(|(_, id)| self.notify.deliveries.get(id))
    }

    /// Deliveries that wait, the one that is due first first.
    pub fn deliveries_waiting(&self) -> impl Iterator<Item = &Arc<Delivery>> {
        let due = self.notify.due.iter();
        due.filter_map(|(_, id)| self.notify.deliveries.get(id))
    }

    /// The number of the next delivery.
    #[must_use]
    pub fn next_delivery(&self) -> DeliveryId {
        let newest = self.notify.deliveries.get_max();
        DeliveryId(newest.map_or(1, |(id, _)| id.0 + 1))
    }

    pub(super) fn insert_webhook(&mut self, webhook: Arc<Webhook>) {
        self.notify.webhooks.insert(webhook.name.clone(), webhook);
    }

    pub(super) fn insert_delivery(&mut self, delivery: Arc<Delivery>) {
        let id = delivery.id;
        self.notify
            .deliveries_of
            .insert((delivery.hook.clone(), id));
        if let Some(due) = delivery.due() {
            self.notify.due.insert((due, id));
        }
        self.notify.deliveries.insert(id, delivery);
    }

    pub(super) fn forget_webhook(&mut self, name: &HookName) {
        self.notify.webhooks.remove(name);
    }

    pub(super) fn forget_delivery(&mut self, id: DeliveryId) {
        let Some(old) = self.notify.deliveries.remove(&id) else {
            return;
        };
        if let Some(due) = old.due() {
            self.notify.due.remove(&(due, id));
        }
        self.notify.deliveries_of.remove(&(old.hook.clone(), id));
    }
}
