//! Claims about delivery, against real receivers: an HTTP server that misbehaves on purpose, and a mail server.

mod mails;
mod receiver;

use std::time::Duration;

use jiff::SignedDuration;
use mesh_proto::message::Secret;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::task::JoinHandle;

use self::receiver::{Act, Got, Receiver};
use super::*;
use crate::{
    state::{
        event::Draft,
        notify::{DeliveryStage, Target},
        ops::{CreateWebhook, Replay},
        policy::Policy,
    },
    store::{
        Redb, SystemClock,
        fault::{Disk, Faults},
        memory::Memory,
    },
};

/// Impatient enough for a test.
const QUICK: Retry = Retry {
    first: SignedDuration::from_millis(10),
    most: SignedDuration::from_millis(40),
    give_up: SignedDuration::from_secs(60),
};
/// What never comes fails a test instead of hanging it.
const SOON: Duration = Duration::from_secs(20);

/// A store with a running notifier.
struct World {
    store: Store,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl World {
    fn start(retry: Retry, courier: Courier) -> Self {
        let store = Store::open(Memory::contended(5), Policy::default(), SystemClock).unwrap();
        Self::on(store, retry, courier)
    }

    fn on(store: Store, retry: Retry, courier: Courier) -> Self {
        let (stop, metrics) = (CancellationToken::new(), Arc::new(Metrics::default()));
        let notifier = Notifier::new(store.clone(), courier, Arc::clone(&metrics), retry);
        let running = tokio::spawn(notifier.run(stop.clone()));
        Self {
            store,
            metrics,
            stop,
            running,
        }
    }

    async fn subscribe(&self, name: &str, target: Target, kind: &str) {
        let create = CreateWebhook {
            name: name.parse().unwrap(),
            target,
            kinds: vec![kind.parse().unwrap()],
            machine: None,
            by: "ann".to_owned(),
        };
        self.store.apply(create).await.unwrap().unwrap();
    }

    async fn happens(&self, kind: &str) {
        self.store.note(Draft::new(kind, "it happened"));
        self.store.flush().await.unwrap();
    }

    /// Waits until the store shows it.
    async fn until(&self, holds: impl Fn(&View) -> bool) {
        let look = async {
            while !holds(&self.store.view()) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(SOON, look).await;
        waited.unwrap_or_else(|_| panic!("it never came to this"));
    }

    fn delivery(&self, hook: &str) -> Arc<Delivery> {
        only(&self.store.view(), hook)
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

fn only(view: &View, hook: &str) -> Arc<Delivery> {
    let mut all = view.deliveries_of(&hook.parse().unwrap()).cloned();
    let one = all.next().unwrap();
    assert_eq!(all.next(), None);
    one
}

fn was_tried(view: &View, hook: &str) -> bool {
    let mut all = view.deliveries_of(&hook.parse().unwrap());
    all.any(|d| d.last.is_some())
}

fn is_delivered(view: &View, hook: &str) -> bool {
    let mut all = view.deliveries_of(&hook.parse().unwrap());
    all.any(|d| matches!(d.stage, DeliveryStage::Delivered { .. }))
}

fn is_dead(view: &View, hook: &str) -> bool {
    let mut all = view.deliveries_of(&hook.parse().unwrap());
    all.any(|d| matches!(d.stage, DeliveryStage::Dead { .. }))
}

fn target(receiver: &Receiver) -> Target {
    Target::Http {
        url: format!("http://{}/hook", receiver.at).parse().unwrap(),
        secret: secret(),
    }
}

fn secret() -> Secret {
    sign::fresh([9; 32])
}

#[tokio::test]
async fn what_is_subscribed_arrives_once_and_signed_and_nothing_else_does() {
    let (world, mut receiver) = (
        World::start(QUICK, Courier::new(None)),
        Receiver::start(|_| Act::Take).await,
    );
    world.happens("deployment.online").await;
    world
        .subscribe("ci", target(&receiver), "deployment.*")
        .await;
    for kind in ["machine.seen", "deployment.failed", "machine.seen"] {
        world.happens(kind).await;
    }
    let Got {
        id,
        timestamp,
        signature,
        body,
        ..
    } = receiver.next().await;
    assert_eq!(
        (body["type"].as_str(), &body["data"]["text"]),
        (Some("deployment.failed"), &"it happened".into())
    );
    assert_eq!(body["id"], id.as_str());
    let raw = receiver.last_body();
    let key = sign::key(&secret()).unwrap();
    assert_eq!(signature, sign::signature(&key, &id, timestamp, &raw));
    assert!((world.store.now().as_second() - timestamp).abs() < 60);
    world.until(|v| is_delivered(v, "ci")).await;
    assert_eq!(world.delivery("ci").last.as_deref(), Some("200 OK"));
    world.stop().await;
    assert_eq!(receiver.so_far(), 0, "no more than one");
}

#[tokio::test]
async fn an_answer_that_is_lost_costs_a_second_message_with_the_same_id() {
    let lose_the_first = |n| if n == 0 { Act::LoseAnswer } else { Act::Take };
    let (world, mut receiver) = (
        World::start(QUICK, Courier::new(None)),
        Receiver::start(lose_the_first).await,
    );
    world
        .subscribe("ci", target(&receiver), "deployment.online")
        .await;
    world.happens("deployment.online").await;
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!(first.id, second.id);
    assert_eq!(first.body, second.body);
    world.until(|v| is_delivered(v, "ci")).await;
    assert_eq!(world.delivery("ci").attempts, 2);
    world.stop().await;
    assert_eq!(receiver.so_far(), 0, "no more than two");
}

#[tokio::test]
async fn a_receiver_that_fails_for_a_while_gets_it_when_it_works() {
    let fail_twice = |n| if n < 2 { Act::Answer(500) } else { Act::Take };
    let (world, mut receiver) = (
        World::start(QUICK, Courier::new(None)),
        Receiver::start(fail_twice).await,
    );
    world.subscribe("ci", target(&receiver), "*").await;
    world.happens("machine.seen").await;
    for _ in 0..3 {
        receiver.next().await;
    }
    world.until(|v| is_delivered(v, "ci")).await;
    assert_eq!(world.delivery("ci").attempts, 3);
    assert_eq!(world.metrics.value(Counter::Notifications, "failed"), 2);
    world.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_only_itself() {
    let mut courier = Courier::new(None);
    courier.hook_within = Duration::from_secs(3600);
    let world = World::start(QUICK, courier);
    let mut hanging = Receiver::start(|_| Act::Hang).await;
    let mut good = Receiver::start(|_| Act::Take).await;
    world.subscribe("hanging", target(&hanging), "*").await;
    world.subscribe("good", target(&good), "machine.*").await;
    world.happens("machine.seen").await;
    hanging.next().await;
    good.next().await;
    world.happens("machine.seen").await;
    good.next().await;
    assert_eq!(hanging.so_far(), 0, "one message at a time");
    world.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_is_given_up_after_its_time() {
    let mut courier = Courier::new(None);
    courier.hook_within = Duration::from_millis(30);
    let (world, mut receiver) = (
        World::start(QUICK, courier),
        Receiver::start(|n| if n == 0 { Act::Hang } else { Act::Take }).await,
    );
    world
        .subscribe("ci", target(&receiver), "machine.seen")
        .await;
    world.happens("machine.seen").await;
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!(first.id, second.id);
    world.stop().await;
}

#[tokio::test]
async fn a_dead_letter_is_seen_and_replayed_under_its_id() {
    let impatient = Retry {
        give_up: SignedDuration::from_millis(50),
        ..QUICK
    };
    let works = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let now_works = Arc::clone(&works);
    let act = move |_| match now_works.load(std::sync::atomic::Ordering::SeqCst) {
        true => Act::Take,
        false => Act::Answer(503),
    };
    let (world, mut receiver) = (
        World::start(impatient, Courier::new(None)),
        Receiver::start(act).await,
    );
    world
        .subscribe("ci", target(&receiver), "deployment.failed")
        .await;
    world.happens("deployment.failed").await;
    world.until(|v| is_dead(v, "ci")).await;
    let dead = world.delivery("ci");
    assert_eq!(
        dead.last.as_deref(),
        Some("it answered 503 Service Unavailable")
    );
    let told = |v: &View| v.events_after(0).any(|e| e.draft.kind == "webhook.dead");
    world.until(told).await;
    works.store(true, std::sync::atomic::Ordering::SeqCst);
    receiver.forget();
    let replay = Replay {
        name: "ci".parse().unwrap(),
        id: None,
        by: "ann".to_owned(),
    };
    assert_eq!(world.store.apply(replay).await.unwrap(), Ok(1));
    assert_eq!(receiver.next().await.id, dead.message_id());
    world.until(|v| is_delivered(v, "ci")).await;
    world.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_not_asked_again_and_a_redirect_is_not_followed() {
    let world = World::start(QUICK, Courier::new(None));
    let mut gone = Receiver::start(|_| Act::Answer(410)).await;
    let mut moved = Receiver::start(|n| if n == 0 { Act::Answer(302) } else { Act::Take }).await;
    world.subscribe("gone", target(&gone), "machine.seen").await;
    world
        .subscribe("moved", target(&moved), "machine.seen")
        .await;
    world.happens("machine.seen").await;
    gone.next().await;
    world.until(|v| is_dead(v, "gone")).await;
    moved.next().await;
    assert_eq!(moved.next().await.path, "/hook");
    world.stop().await;
    assert_eq!(gone.so_far(), 0);
}

/// Killed after the receiver has the message and before that is written down.
#[tokio::test]
async fn a_crash_between_send_and_mark_sends_the_same_id_again() {
    let disk = Disk::default();
    let at_the_first = disk.clone();
    let mut receiver = Receiver::start(move |n| {
        if n == 0 {
            let dark = Faults {
                power_for: Some(0),
                ..Faults::default()
            };
            at_the_first.set_faults(dark);
        }
        Act::Take
    })
    .await;
    let open = |disk: &Disk| {
        let disk = disk.clone();
        let redb = Redb::on("a pretend disk", move || disk.clone()).unwrap();
        Store::open(redb, Policy::default(), SystemClock).unwrap()
    };
    let world = World::on(open(&disk), QUICK, Courier::new(None));
    world
        .subscribe("ci", target(&receiver), "deployment.online")
        .await;
    world.happens("deployment.online").await;
    let first = receiver.next().await;
    world.running.abort();
    assert!(disk.is_dark());
    for luck in 0..4 {
        let disk = disk.after_power_cut(&mut StdRng::seed_from_u64(luck));
        let world = World::on(open(&disk), QUICK, Courier::new(None));
        assert_eq!(receiver.next().await.id, first.id);
        world.until(|v| is_delivered(v, "ci")).await;
        world.stop().await;
    }
}
