//! Webhooks: each is told what it asked for from then on, once, within bounds.

use super::*;
use crate::state::{
    event::Draft,
    notify::{
        Delivery, DeliveryStage, HookName, KEPT_DEAD, MAX_WAITING, Retry, TEST_KIND, Target,
        Webhook,
    },
};

fn name(text: &str) -> HookName {
    text.parse().unwrap()
}

impl World {
    fn hooked(
        &mut self,
        hook: &str,
        kind: &str,
        machine: Option<&str>,
    ) -> Result<Webhook, WebhookError> {
        self.does(&CreateWebhook {
            name: name(hook),
            target: Target::Mail {
                address: "ann@example.org".parse().unwrap(),
            },
            kinds: vec![kind.parse().unwrap()],
            machine: machine.map(|m| MachineRef(m.to_owned())),
            by: "ann".to_owned(),
        })
    }

    fn happens(&mut self, draft: Draft) {
        let event = Event {
            seq: self.view.next_event(),
            at: self.now,
            draft,
        };
        self.view.absorb(&Record::Event(event.into()).into());
    }

    fn happens_often(&mut self, kind: &str, times: usize) {
        for _ in 0..times {
            self.happens(Draft::new(kind, "it happened"));
        }
    }

    /// Queues until nothing is left to queue.
    fn queues(&mut self) {
        while anything_to_queue(&self.view) {
            self.does(&QueueDeliveries);
        }
    }

    fn deliveries(&self, hook: &str) -> Vec<Delivery> {
        let all = self.view.deliveries_of(&name(hook));
        all.map(|d| Delivery::clone(d)).collect()
    }

    fn kinds(&self, hook: &str) -> Vec<String> {
        let kind = |d: Delivery| d.event.draft.kind;
        self.deliveries(hook).into_iter().map(kind).collect()
    }

    fn settles(&mut self, delivery: &Delivery, word: Word) {
        self.does(&SettleDelivery {
            id: delivery.id,
            event: delivery.event.seq,
            word,
            retry: Retry::default(),
            dice: 0.0,
        });
    }

    fn kills(&mut self, hook: &str) {
        for delivery in self.deliveries(hook) {
            self.settles(&delivery, Word::Gone("it is gone".to_owned()));
        }
    }
}

#[test]
fn a_webhook_is_told_what_happens_from_then_on_and_each_event_once() {
    let mut world = World::new();
    world.happens_often("deployment.online", 1);
    world.hooked("ci", "deployment.*", None).unwrap();
    world.happens_often("deployment.failed", 2);
    world.happens_often("machine.seen", 1);
    world.queues();
    world.queues();
    assert_eq!(
        world.kinds("ci"),
        ["deployment.failed", "deployment.failed"]
    );
    let ids: Vec<String> = world
        .deliveries("ci")
        .iter()
        .map(Delivery::message_id)
        .collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_machines_webhook_is_not_told_of_others_also_when_only_a_card_is_named() {
    let mut world = World::new();
    let (one, two) = (world.registered(1), world.registered(2));
    world.hooked("web1", "*", Some("web1")).unwrap();
    world.happens(Draft::new("a", "a").machine(&one.id));
    world.happens(Draft::new("b", "b").machine(&two.id));
    world.happens(Draft::new("c", "c").mac(card(1)));
    world.happens(Draft::new("d", "d"));
    world.queues();
    assert_eq!(world.kinds("web1"), ["a", "c"]);
    assert_eq!(
        world.deliveries("web1")[0].machine_name.as_deref(),
        Some("web1")
    );
}

#[test]
fn a_test_reaches_only_the_webhook_that_is_tested() {
    let mut world = World::new();
    world.hooked("one", "deployment.online", None).unwrap();
    world.hooked("all", "*", None).unwrap();
    world.queues();
    let before = world.kinds("all");
    let test = TestWebhook {
        name: name("one"),
        by: "ann".to_owned(),
    };
    let event = world.does(&test).unwrap();
    world.queues();
    assert_eq!(world.kinds("one"), [TEST_KIND]);
    assert_eq!(world.deliveries("one")[0].event.seq, event);
    assert_eq!(world.kinds("all"), before);
}

#[test]
fn a_failure_is_told_to_others_and_never_feeds_itself() {
    let mut world = World::new();
    for hook in ["one", "two"] {
        world.hooked(hook, "*", None).unwrap();
    }
    world.happens_often("machine.seen", 1);
    for _ in 0..5 {
        world.queues();
        world.kills("one");
        world.kills("two");
    }
    let dead = |world: &World| world.told().iter().filter(|k| *k == "webhook.dead").count();
    assert_eq!(
        dead(&world),
        2,
        "one for each, whatever became of telling the other"
    );
    assert!(world.kinds("two").contains(&"webhook.dead".to_owned()));
    let its_own = |d: &Delivery| {
        d.event
            .draft
            .fields
            .get("webhook")
            .is_some_and(|w| w == "one")
    };
    assert!(!world.deliveries("one").iter().any(its_own));
}

#[test]
fn a_queue_has_an_end_and_what_comes_then_is_a_dead_letter() {
    let mut world = World::new();
    world.hooked("ci", "machine.seen", None).unwrap();
    world.happens_often("machine.seen", MAX_WAITING + 3);
    world.queues();
    let all = world.deliveries("ci");
    let waiting = all.iter().filter(|d| d.due().is_some()).count();
    assert_eq!((waiting, all.len()), (MAX_WAITING, MAX_WAITING + 3));
    assert!(
        all.last()
            .unwrap()
            .last
            .as_ref()
            .unwrap()
            .contains("waited already")
    );
}

#[test]
fn dead_letters_have_an_end_and_what_is_dropped_is_counted() {
    let mut world = World::new();
    world.hooked("ci", "machine.seen", None).unwrap();
    world.happens_often("machine.seen", KEPT_DEAD + 2);
    world.queues();
    world.kills("ci");
    assert_eq!(world.deliveries("ci").len(), KEPT_DEAD);
    assert_eq!(world.view.webhook(&name("ci")).unwrap().lost, 2);
}

#[test]
fn a_failed_delivery_waits_longer_each_time_and_is_dead_after_a_day() {
    let mut world = World::new();
    world.hooked("ci", "machine.seen", None).unwrap();
    world.happens_often("machine.seen", 1);
    world.queues();
    let (mut waits, start) = (Vec::new(), world.now);
    while let Some(next) = world.deliveries("ci")[0].due() {
        waits.push(next.duration_since(world.now).as_secs());
        world.now = next;
        let delivery = world.deliveries("ci").remove(0);
        world.settles(&delivery, Word::Failed("it answered 500".to_owned()));
    }
    assert_eq!(waits[..5], [0, 5, 10, 20, 40]);
    assert_eq!(waits.last(), Some(&3600));
    let hours = world.now.duration_since(start).as_hours();
    assert!((22..=24).contains(&hours), "{hours}");
    assert!(
        world
            .last_told()
            .starts_with("webhook.dead: webhook ci gave up on machine.seen: it answered 500")
    );
}

#[test]
fn a_settled_delivery_stays_settled_and_a_replayed_one_keeps_its_id() {
    let mut world = World::new();
    world.hooked("ci", "machine.seen", None).unwrap();
    world.happens_often("machine.seen", 1);
    world.queues();
    let first = world.deliveries("ci").remove(0);
    world.settles(&first, Word::Delivered("200 OK".to_owned()));
    world.settles(&first, Word::Failed("late".to_owned()));
    assert!(matches!(
        world.deliveries("ci")[0].stage,
        DeliveryStage::Delivered { .. }
    ));
    let replay = |id| Replay {
        name: name("ci"),
        id,
        by: "ann".to_owned(),
    };
    assert_eq!(world.does(&replay(None)), Ok(0), "it is not dead");
    assert_eq!(world.does(&replay(Some(first.id))), Ok(1));
    let again = world.deliveries("ci").remove(0);
    assert_eq!(
        (again.message_id(), again.due()),
        (first.message_id(), Some(world.now))
    );
}

#[test]
fn a_deleted_webhook_leaves_nothing_and_names_are_unique() {
    let mut world = World::new();
    world.hooked("ci", "*", None).unwrap();
    assert!(matches!(
        world.hooked("ci", "*", None),
        Err(WebhookError::Taken(_))
    ));
    assert!(matches!(
        world.hooked("x", "*", Some("nobody")),
        Err(WebhookError::Machine(_))
    ));
    world.happens_often("machine.seen", 3);
    world.queues();
    let delete = DeleteWebhook {
        name: name("ci"),
        by: "ann".to_owned(),
    };
    world.does(&delete).unwrap();
    assert!(world.does(&delete).is_err());
    assert!(world.deliveries("ci").is_empty() && world.view.deliveries_waiting().next().is_none());
}

#[test]
fn a_mark_that_lags_is_moved_though_nobody_wants_what_happened() {
    let mut world = World::new();
    world.hooked("ci", "deployment.online", None).unwrap();
    world.happens_often("machine.seen", 100);
    assert!(
        !anything_to_queue(&world.view),
        "no commit for each event of others"
    );
    world.happens_often("machine.seen", 1000);
    world.queues();
    let looked = world.view.webhook(&name("ci")).unwrap().looked;
    assert_eq!(looked, world.view.next_event() - 1);
}

#[test]
fn that_somebody_was_told_how_a_deployment_ended_is_written_down_and_feeds_nobody() {
    let mut world = World::new();
    let machine = world.registered(1);
    world.hooked("ann", "deployment.*", None).unwrap();
    world.hooked("all", "*", None).unwrap();
    let online = Draft::new("deployment.online", "debian@1 is online on web1")
        .machine(&machine.id)
        .field("deployment", "7");
    world.happens(online);
    world.happens_often("deployment.writing", 1);
    // Until nothing is left to send: it comes to an end.
    loop {
        world.queues();
        let waiting: Vec<_> = ["ann", "all"]
            .iter()
            .flat_map(|hook| world.deliveries(hook))
            .filter(|d| d.due().is_some())
            .collect();
        if waiting.is_empty() {
            break;
        }
        for delivery in waiting {
            world.settles(&delivery, Word::Delivered("200 OK".to_owned()));
        }
    }
    let told: Vec<_> = world
        .view
        .events_after(0)
        .filter(|e| e.draft.kind == "webhook.delivered")
        .cloned()
        .collect();
    assert_eq!(told.len(), 2, "once for each of them: {told:?}");
    assert!(told.iter().all(|e| e.draft.fields["deployment"] == "7"));
    assert_eq!(told[0].draft.machine.as_ref(), Some(&machine.id));
}
