//! The part of the view about webhooks and what is on its way to them.

use std::sync::Arc;

use super::{
    View,
    rows::{Index, Rows, UNRANKED, Under},
};
use crate::state::{
    Key, Record,
    notify::{Delivery, DeliveryId, HookName, Webhook},
};

/// The maps; private to the view.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct NotifyView {
    webhooks: Rows,
    deliveries: Rows,
    deliveries_of: Index,
    due: Index,
}

impl View {
    /// All webhooks, by name.
    pub fn webhooks(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        self.notify.webhooks.all()
    }

    /// A webhook by name.
    #[must_use]
    pub fn webhook(&self, name: &HookName) -> Option<&Arc<Webhook>> {
        self.notify.webhooks.get(&Key::Webhook(name.clone()))
    }

    /// A delivery by number.
    #[must_use]
    pub fn delivery(&self, id: DeliveryId) -> Option<&Arc<Delivery>> {
        self.notify.deliveries.get(&Key::Delivery(id))
    }

    /// What is kept of a webhook's deliveries, oldest first.
    pub fn deliveries_of<'a>(
        &'a self,
        hook: &HookName,
    ) -> impl DoubleEndedIterator<Item = &'a Arc<Delivery>> + use<'a> {
        let keys = self.notify.deliveries_of.list(Under::Hook(hook.clone()));
        keys.filter_map(|key| self.notify.deliveries.get(key))
    }

    /// Deliveries that wait, the one that is due first first.
    pub fn deliveries_waiting(&self) -> impl Iterator<Item = &Arc<Delivery>> {
        let due = self.notify.due.list(Under::All);
        due.filter_map(|key| self.notify.deliveries.get(key))
    }

    /// The number of the next delivery.
    #[must_use]
    pub fn next_delivery(&self) -> DeliveryId {
        let newest = self.notify.deliveries.last::<Delivery>();
        DeliveryId(newest.map_or(1, |d| d.id.0 + 1))
    }

    pub(super) fn put_webhook(&mut self, webhook: Record) {
        self.notify.webhooks.put(webhook);
    }

    pub(super) fn insert_delivery(&mut self, delivery: Arc<Delivery>) {
        let (of, key) = (
            Under::Hook(delivery.hook.clone()),
            Key::Delivery(delivery.id),
        );
        let notify = &mut self.notify;
        notify.deliveries_of.insert(of, UNRANKED, key.clone());
        if let Some(due) = delivery.due() {
            notify.due.insert(Under::All, due.as_nanosecond(), key);
        }
        notify.deliveries.put(Record::Delivery(delivery));
    }

    pub(super) fn forget_webhook(&mut self, key: &Key) {
        self.notify.webhooks.remove(key);
    }

    pub(super) fn forget_delivery(&mut self, key: &Key) {
        let notify = &mut self.notify;
        let Some(Record::Delivery(old)) = notify.deliveries.remove(key) else {
            return;
        };
        if let Some(due) = old.due() {
            let rank = due.as_nanosecond();
            notify.due.remove(Under::All, rank, key.clone());
        }
        let of = Under::Hook(old.hook.clone());
        notify.deliveries_of.remove(of, UNRANKED, key.clone());
    }
}
