//! Events become deliveries, in the transaction that moves the webhook's mark.

use std::sync::Arc;

use crate::state::{
    Changes, Timestamp, Transition, View,
    event::{Event, Recorded},
    machine::Machine,
    notify::{Delivery, DeliveryId, DeliveryStage, MAX_WAITING, Webhook},
};

/// Events looked at for one webhook in one transaction: keeps commits small.
const AT_ONCE: usize = 256;
/// How far a mark may lag behind events that nobody wants before it is written for its own sake: what is looked at again
/// after a restart.
const LAG: u64 = 512;

/// Whether [`QueueDeliveries`] would write something.
#[must_use]
pub fn anything_to_queue(view: &View) -> bool {
    view.webhooks().any(|hook| {
        let lag = (view.next_event() - 1).saturating_sub(hook.looked);
        lag >= LAG || wanted(view, hook).next().is_some()
    })
}

/// Looks at what happened since each webhook's mark.
#[derive(Debug, Clone, Copy)]
pub struct QueueDeliveries;

impl Transition for QueueDeliveries {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        let mut next = view.next_delivery();
        for hook in view.webhooks() {
            queue(view, hook, now, &mut next, &mut changes);
        }
        (changes, ())
    }
}

fn queue(
    view: &View,
    hook: &Webhook,
    now: Timestamp,
    next: &mut DeliveryId,
    changes: &mut Changes,
) {
    let found: Vec<_> = wanted(view, hook).take(AT_ONCE).collect();
    let newest = view.next_event() - 1;
    let looked = match found.last() {
        Some((event, _)) if found.len() == AT_ONCE => event.seq,
        Some(_) => newest,
        None if newest.saturating_sub(hook.looked) >= LAG => newest,
        None => return,
    };
    let is_waiting = |d: &&Arc<Delivery>| d.due().is_some();
    let mut waiting = view.deliveries_of(&hook.name).filter(is_waiting).count();
    for (event, machine) in found {
        let room = waiting < MAX_WAITING;
        waiting += usize::from(room);
        let why = || format!("{MAX_WAITING} others waited already");
        changes.write(Delivery {
            id: *next,
            hook: hook.name.clone(),
            event: Event::clone(event),
            machine_name: machine.map(|m| m.name.to_string()),
            stage: if room {
                DeliveryStage::Waiting { next: now }
            } else {
                DeliveryStage::Dead { at: now }
            },
            attempts: 0,
            since: now,
            last: (!room).then(why),
        });
        next.0 += 1;
    }
    let oldest = view.oldest_event().unwrap_or(newest + 1);
    let unseen = oldest.saturating_sub(1).saturating_sub(hook.looked);
    changes.write(Webhook {
        looked,
        lost: hook.lost + unseen,
        ..hook.clone()
    });
}

/// The events behind the mark that the webhook wants, and their machines.
fn wanted<'a>(
    view: &'a View,
    hook: &'a Webhook,
) -> impl Iterator<Item = (&'a Recorded, Option<&'a Arc<Machine>>)> {
    view.events_after(hook.looked).filter_map(move |event| {
        let draft = &event.draft;
        let by_id = || view.machine(draft.machine.as_ref()?);
        let machine = by_id().or_else(|| view.machine_by_mac(draft.mac?));
        let id = machine.map(|m| &m.id).or(draft.machine.as_ref());
        hook.wants(event, id).then_some((event, machine))
    })
}
