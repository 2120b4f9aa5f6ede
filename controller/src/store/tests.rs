//! How the store behaves when things go wrong around it, and what notes promise.

mod audit;
mod files;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use ipxe::MacAddr;
use tokio::sync::oneshot;

use super::{
    Backend, BackendError, ManualClock, Options, RawWrite, Redb, Store, StoreError, SystemClock,
    backend::Visitor,
    fault::{Disk, Faults},
    job::{Asked, Job},
    memory::Memory,
    writer::Writer,
};
use crate::state::{
    Changes, Timestamp, Transition, View,
    event::Draft,
    machine::{Machine, MachineId},
    policy::{Discovery, Policy},
};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

/// Counts in a machine's serial, and makes an event of it.
struct Count;

impl Transition for Count {
    type Outcome = u32;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, u32) {
        let next = count(view) + 1;
        let mut machine = Machine::seen(MachineId::from_random(1), MAC, now);
        machine.serial = Some(next.to_string());
        let mut changes = Changes::none();
        changes.write(machine);
        changes.event(Draft::new("test.counted", next.to_string()));
        (changes, next)
    }
}

fn count(view: &View) -> u32 {
    let machine = view.machine_by_mac(MAC);
    machine
        .and_then(|m| m.serial.as_ref())
        .map_or(0, |text| text.parse().unwrap())
}

/// Sets the machine's `last_seen` to a value.
struct Seen(Timestamp);

impl Transition for Seen {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut machine = Machine::seen(MachineId::from_random(1), MAC, now);
        machine.serial = Some(count(view).to_string());
        machine.last_seen = self.0;
        let mut changes = Changes::none();
        changes.write(machine);
        (changes, ())
    }
}

struct Panics;

impl Transition for Panics {
    type Outcome = ();

    fn run(&self, _view: &View, _now: Timestamp) -> (Changes, ()) {
        panic!("a mistake of ours")
    }
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn open(backend: impl Backend) -> Store {
    let clock = ManualClock::new(start());
    Store::open(backend, Policy::default(), clock).unwrap()
}

fn on(disk: &Disk) -> Store {
    let disk = disk.clone();
    open(Redb::on("a pretend disk", move || disk.clone()).unwrap())
}

fn sentence(result: Result<impl Sized, impl std::error::Error>) -> String {
    result.err().expect("refused").to_string()
}

#[tokio::test]
async fn a_full_disk_is_told_plainly_and_used_again_once_it_has_room() {
    let disk = Disk::default();
    let store = on(&disk);
    assert_eq!(store.apply(Count).await.unwrap(), 1);
    disk.set_faults(Faults {
        capacity: Some(0),
        ..Faults::default()
    });
    store.note(Draft::new("test.noted", "waits"));
    for _ in 0..3 {
        let told = sentence(store.apply(Count).await);
        assert!(told.contains("is full; make room"), "{told}");
        assert_eq!(count(&store.view()), 1, "the view stays as it was");
    }
    disk.set_faults(Faults::default());
    assert_eq!(store.apply(Count).await.unwrap(), 2);
    store.close().await;
    let view = on(&disk).view();
    let kinds: Vec<_> = view
        .events_after(0)
        .map(|e| e.draft.kind.as_str())
        .collect();
    assert_eq!(kinds, ["test.counted", "test.noted", "test.counted"]);
    assert_eq!(store.stats().failures, 3);
}

#[tokio::test]
async fn after_a_failed_sync_the_view_is_what_the_disk_has() {
    let disk = Disk::default();
    let store = on(&disk);
    for round in 0..10 {
        store.apply(Count).await.unwrap();
        disk.set_faults(Faults {
            sync_fails: true,
            ..Faults::default()
        });
        let told = sentence(store.apply(Count).await);
        assert!(told.contains("kernel's log"), "round {round}: {told}");
    }
    // Each failed one may have been kept or not; then the view says so.
    let last = store.apply(Count).await.unwrap();
    assert!((11..=21).contains(&last), "{last}");
    let view = store.view();
    store.close().await;
    assert_eq!(*on(&disk).view(), *view);
}

#[tokio::test]
async fn a_transition_that_panics_costs_only_its_own_answer() {
    let store = open(Memory::calm());
    assert!(matches!(
        store.apply(Panics).await,
        Err(StoreError::Panicked)
    ));
    assert_eq!(store.apply(Count).await.unwrap(), 1);
}

/// Somebody else always writes first.
struct Contested;

impl Backend for Contested {
    fn load(&mut self, _visit: &mut Visitor<'_>) -> Result<(), BackendError> {
        Ok(())
    }

    fn commit(&mut self, _writes: &[RawWrite]) -> Result<(), BackendError> {
        Err(BackendError::Conflict)
    }
}

#[tokio::test]
async fn endless_conflicts_are_given_up() {
    let store = open(Contested);
    let told = sentence(store.apply(Count).await);
    assert!(told.contains("ask again"), "{told}");
    assert_eq!(count(&store.view()), 0);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let store = open(Memory::calm());
    store.close().await;
    store.close().await;
    assert!(matches!(store.apply(Count).await, Err(StoreError::Closed)));
    assert!(store.flush().await.is_err());
}

#[tokio::test]
async fn other_rules_are_in_the_view_when_set_policy_returns() {
    let store = open(Memory::calm());
    store.apply(Count).await.unwrap();
    let policy = Policy {
        discovery: Discovery::All,
        ..Policy::default()
    };
    store.set_policy(policy).await.unwrap();
    assert_eq!(store.view().policy.discovery, Discovery::All);
    store.apply(Count).await.unwrap();
    assert_eq!(store.view().policy.discovery, Discovery::All);
}

#[tokio::test]
async fn a_note_is_kept_in_time_without_anybody_asking() {
    let options = Options {
        flush_after: Duration::from_millis(20),
        ..Options::default()
    };
    let clock = ManualClock::new(start());
    let store = Store::open_with(Memory::calm(), Policy::default(), clock, options).unwrap();
    let mut newest = store.subscribe();
    for round in 1..=3 {
        store.note(Draft::new("test.noted", "x"));
        // A transition that changes nothing must not make it wait for another.
        store.apply(Nothing).await.unwrap();
        newest.wait_for(|seq| *seq == round).await.unwrap();
    }
}

struct Nothing;

impl Transition for Nothing {
    type Outcome = ();

    fn run(&self, _view: &View, _now: Timestamp) -> (Changes, ()) {
        (Changes::none(), ())
    }
}

/// Counts how often it is asked; it changes something.
struct Asks(Arc<AtomicU32>);

impl Transition for Asks {
    type Outcome = u32;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, u32) {
        self.0.fetch_add(1, Ordering::Relaxed);
        Count.run(view, now)
    }
}

#[test]
fn a_batch_is_looked_at_until_one_changes_something_and_then_run_as_a_whole() {
    let clock = Box::new(ManualClock::new(start()));
    let mut writer = Writer::open(Box::new(Memory::calm()), Policy::default(), clock).unwrap();
    let asks: [_; 3] = Default::default();
    let ((reply, mut idle), mut answers) = (oneshot::channel(), Vec::new());
    let mut batch: Vec<Box<dyn Job>> = vec![Box::new(Asked::new(Nothing, reply))];
    for asked in &asks {
        let (reply, answer) = oneshot::channel();
        batch.push(Box::new(Asked::new(Asks(Arc::clone(asked)), reply)));
        answers.push(answer);
    }
    writer.run(batch, false);
    let counted = asks.map(|asked| asked.load(Ordering::Relaxed));
    assert_eq!(counted, [2, 1, 1]);
    assert!(idle.try_recv().unwrap().is_ok());
    for (n, mut answer) in (1..).zip(answers) {
        let made = answer.try_recv().unwrap().unwrap();
        assert_eq!(made.downcast_ref::<u32>(), Some(&n));
    }
}

#[tokio::test]
async fn notes_ride_along_in_front_and_keep_their_time() {
    let clock = ManualClock::new(start());
    let store = Store::open(Memory::calm(), Policy::default(), clock.clone()).unwrap();
    store.note(Draft::new("test.noted", "x"));
    clock.advance(Duration::from_millis(300));
    store.apply(Count).await.unwrap();
    let view = store.view();
    let told: Vec<_> = view
        .events_after(0)
        .map(|e| (e.draft.kind.as_str(), e.at))
        .collect();
    let later = start() + Duration::from_millis(300);
    assert_eq!(told, [("test.noted", start()), ("test.counted", later)]);
    assert_eq!(store.stats().commits, 1);
}

#[tokio::test]
async fn a_later_change_of_a_station_replaces_the_one_that_waits() {
    let store = open(Memory::calm());
    for s in 1..=1_000 {
        store.note_change(MAC, Seen(start() + Duration::from_secs(s)));
    }
    store.flush().await.unwrap();
    assert_eq!(store.stats().commits, 1);
    let machine = store.view().machine_by_mac(MAC).unwrap().clone();
    assert_eq!(machine.last_seen, start() + Duration::from_secs(1_000));
}

#[tokio::test]
async fn a_full_buffer_drops_and_counts() {
    let disk = Disk::default();
    let store = on(&disk);
    disk.set_faults(Faults {
        capacity: Some(0),
        ..Faults::default()
    });
    for n in 0..12_000 {
        store.note(Draft::new("test.noted", n.to_string()));
    }
    assert_eq!(store.stats().dropped_notes, 2_000);
    store.flush().await.unwrap();
    assert_eq!(
        store.stats().dropped_notes,
        2_000,
        "those that wait are not dropped"
    );
    disk.set_faults(Faults::default());
    store.flush().await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(store.view().event_count(), 10_000);
}
