//! What every backend promises, as tests that run on each of them.
//!
//! A [`Place`] is where rows outlive a store: a folder, a pretend disk, shared memory. To hold a new backend to the
//! promises, add a row to [`claims!`].

use std::{sync::Arc, time::Duration};

use ipxe::MacAddr;
use tokio::task::JoinSet;

use super::{Backend, ManualClock, Redb, Store, Table, fault::Disk, memory::Memory, records};
use crate::state::{
    Changes, Key, Timestamp, Transition, View, Write,
    event::Draft,
    lease::{Declined, LeaseRecord, Reservation},
    machine::{Machine, MachineId, Standing},
    matching::Mark,
    policy::Policy,
    view::MAX_EVENTS,
};

/// Where rows outlive a store.
trait Place {
    type Kept: Backend;
    fn empty() -> Self;
    fn backend(&self) -> Self::Kept;
}

struct Folder(tempfile::TempDir);

impl Place for Folder {
    type Kept = Redb;

    fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn backend(&self) -> Redb {
        Redb::open(self.0.path().join("enforcer.redb")).unwrap()
    }
}

impl Place for Disk {
    type Kept = Redb;

    fn empty() -> Self {
        Self::default()
    }

    fn backend(&self) -> Redb {
        let disk = self.clone();
        Redb::on("a pretend disk", move || disk.clone()).unwrap()
    }
}

impl Place for Memory {
    type Kept = Self;

    fn empty() -> Self {
        Self::contended(7)
    }

    fn backend(&self) -> Self {
        self.clone()
    }
}

macro_rules! claims {
    ($($claim:ident),+ $(,)? on $($backend:ident: $place:ty),+ $(,)?) => {
        claims!(@each [$($claim),+] $($backend: $place),+);
    };
    (@each $claims:tt $($backend:ident: $place:ty),+) => {
        $(claims!(@on $claims $backend: $place);)+
    };
    (@on [$($claim:ident),+] $backend:ident: $place:ty) => {
        mod $backend {
            use super::*;
            $(#[tokio::test]
            async fn $claim() {
                super::$claim::<$place>().await;
            })+
        }
    };
}

claims! {
    what_was_acknowledged_is_there_after_reopening,
    a_view_is_the_same_after_reopening,
    each_of_the_newer_records_is_kept_and_deleted,
    concurrent_changes_of_one_record_lose_no_update,
    an_acknowledged_change_is_in_the_next_view,
    a_deleted_record_stays_deleted,
    events_are_numbered_without_gaps_and_resume_after_reopening,
    the_oldest_events_make_room,
    notes_are_kept_after_closing,
    a_transition_without_changes_commits_nothing
    on
    redb: Folder,
    redb_on_a_pretend_disk: Disk,
    memory_with_conflicts: Memory,
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn open<P: Place>(place: &P) -> Store {
    let clock = ManualClock::new(start());
    Store::open(place.backend(), Policy::default(), clock).unwrap()
}

fn mac(n: u16) -> MacAddr {
    let [high, low] = n.to_be_bytes();
    MacAddr([0x52, 0x54, 0, 0, high, low])
}

fn id(n: u16) -> MachineId {
    MachineId::from_random(n.into())
}

/// Makes a machine.
struct Make(u16);

impl Transition for Make {
    type Outcome = ();

    fn run(&self, _view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        changes.write(Machine::seen(id(self.0), mac(self.0), now));
        (changes, ())
    }
}

/// Adds one to a number that is kept in a machine's serial; tells the new one.
struct Count(u16);

impl Transition for Count {
    type Outcome = u32;

    fn run(&self, view: &View, _now: Timestamp) -> (Changes, u32) {
        let mut machine = Machine::clone(view.machine(&id(self.0)).unwrap());
        let next = count(&machine) + 1;
        machine.serial = Some(next.to_string());
        let mut changes = Changes::none();
        changes.write(machine);
        (changes, next)
    }
}

fn count(machine: &Machine) -> u32 {
    machine
        .serial
        .as_ref()
        .map_or(0, |text| text.parse().unwrap())
}

/// Any writes and events.
#[derive(Clone, Default)]
struct Raw(Vec<Write>, Vec<Draft>);

impl Transition for Raw {
    type Outcome = ();

    fn run(&self, _view: &View, _now: Timestamp) -> (Changes, ()) {
        let changes = Changes {
            writes: self.0.clone(),
            events: self.1.clone(),
        };
        (changes, ())
    }
}

async fn what_was_acknowledged_is_there_after_reopening<P: Place>() {
    let place = P::empty();
    let store = open(&place);
    for n in 0..40 {
        store.apply(Make(n)).await.unwrap();
    }
    store.close().await;
    let again = open(&place);
    assert_eq!(again.view().machines().count(), 40);
    assert!(again.view().machine_by_mac(mac(39)).is_some());
}

async fn a_view_is_the_same_after_reopening<P: Place>() {
    let place = P::empty();
    let store = open(&place);
    for n in 0..20 {
        store.apply(Make(n)).await.unwrap();
    }
    let ip = "10.0.0.9".parse().unwrap();
    let (soon, mac1) = (start() + Duration::from_secs(60), mac(1));
    let mut registered = Machine::seen(id(3), mac(300), start());
    registered.standing = Standing::Registered;
    let lease = LeaseRecord {
        mac: mac1,
        ip,
        expires: soon,
        hostname: None,
    };
    let reservation = Reservation {
        mac: mac1,
        ip,
        hostname: Some("nine".to_owned()),
    };
    let writes = vec![
        lease.into(),
        reservation.into(),
        Declined { ip, until: soon }.into(),
        registered.into(),
    ];
    let mesh = records::all(&id(3), start()).into_iter().map(Write::Put);
    let writes = writes.into_iter().chain(mesh).collect();
    let event = Draft::new("test.said", "a sentence")
        .mac(mac1)
        .field("a", "b");
    store.apply(Raw(writes, vec![event])).await.unwrap();
    let before = store.view();
    store.close().await;
    let after = open(&place).view();
    assert!(
        before.machine_by_mac(mac(3)).is_none(),
        "it moved to another NIC"
    );
    let board = Mark::Board("BOARD-7".to_owned());
    assert_eq!(after.machines_with(&board).collect::<Vec<_>>(), [&id(3)]);
    assert_eq!(*before, *after);
}

async fn each_of_the_newer_records_is_kept_and_deleted<P: Place>() {
    let place = P::empty();
    let store = open(&place);
    store.apply(Make(1)).await.unwrap();
    let empty = store.view();
    let all = records::all(&id(1), start());
    let keys: Vec<Write> = all.iter().map(|r| r.key().into()).collect();
    assert_eq!(
        keys.len(),
        Table::ALL.len() - 8,
        "one of each table of mesh, notifications and jobs"
    );
    let put = all.into_iter().map(Write::Put).collect();
    store.apply(Raw(put, vec![])).await.unwrap();
    store.close().await;
    let store = open(&place);
    let view = store.view();
    assert!(view.key(&view.keys().next().unwrap().serial).is_some());
    assert_eq!(
        (view.pending_of(&id(1)).count(), view.tokens().count()),
        (1, 1)
    );
    assert!(view.facts(&id(1)).is_some() && view.member(&id(1)).is_some());
    assert_eq!(
        (view.open_commands().count(), view.ring().keys.len()),
        (1, 1)
    );
    assert!(view.stamp().is_some());
    let job = view.active_deployment(&id(1)).unwrap();
    assert!(view.deployment_by_nonce(&job.nonce).is_some());
    assert_eq!(view.answers().count(), 1);
    assert_eq!(
        (view.open_deployments().count(), view.image_roots().count()),
        (1, 1)
    );
    assert_eq!((view.rollouts().count(), view.setups().count()), (1, 1));
    store.apply(Raw(keys, vec![])).await.unwrap();
    store.close().await;
    assert_eq!(*open(&place).view(), *empty, "nothing is left, in no index");
}

async fn concurrent_changes_of_one_record_lose_no_update<P: Place>() {
    let place = P::empty();
    let store = open(&place);
    store.apply(Make(1)).await.unwrap();
    let mut askers = JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        askers.spawn(async move {
            let mut told = Vec::new();
            for _ in 0..25 {
                told.push(store.apply(Count(1)).await.unwrap());
            }
            told
        });
    }
    let mut told: Vec<u32> = askers.join_all().await.concat();
    told.sort_unstable();
    assert_eq!(
        told,
        (1..=200).collect::<Vec<_>>(),
        "each was told its own number"
    );
    store.close().await;
    assert_eq!(count(open(&place).view().machine(&id(1)).unwrap()), 200);
}

async fn an_acknowledged_change_is_in_the_next_view<P: Place>() {
    let store = open(&P::empty());
    let old = store.view();
    for n in 0..30 {
        store.apply(Make(n)).await.unwrap();
        assert!(store.view().machine(&id(n)).is_some());
    }
    assert_eq!(old.machines().count(), 0, "a view does not change");
}

async fn a_deleted_record_stays_deleted<P: Place>() {
    let place = P::empty();
    let store = open(&place);
    store.apply(Make(1)).await.unwrap();
    store.apply(Make(2)).await.unwrap();
    let delete = Raw(vec![Key::Machine(id(1)).into()], vec![]);
    store.apply(delete).await.unwrap();
    store.close().await;
    let view = open(&place).view();
    assert!(view.machine(&id(1)).is_none() && view.machine(&id(2)).is_some());
}

async fn events_are_numbered_without_gaps_and_resume_after_reopening<P: Place>() {
    let place = P::empty();
    for round in 1..=3 {
        let store = open(&place);
        let mut newest = store.subscribe();
        assert_eq!(*newest.borrow_and_update(), (round - 1) * 20);
        for n in 0..10 {
            let drafts = vec![Draft::new("test.first", n.to_string()); 2];
            store.apply(Raw(vec![], drafts)).await.unwrap();
        }
        assert!(newest.has_changed().unwrap());
        assert_eq!(*newest.borrow_and_update(), round * 20);
        store.close().await;
    }
    let view = open(&place).view();
    let seqs: Vec<u64> = view.events_after(0).map(|e| e.seq).collect();
    assert_eq!(seqs, (1..=60).collect::<Vec<_>>());
    assert!(view.events_after(0).all(|e| e.at == start()));
}

async fn the_oldest_events_make_room<P: Place>() {
    let place = P::empty();
    let store = open(&place);
    let drafts = vec![Draft::new("test.many", "x"); 3_000];
    for _ in 0..7 {
        store.apply(Raw(vec![], drafts.clone())).await.unwrap();
    }
    let view = store.view();
    assert!(view.event_count() <= MAX_EVENTS && view.event_count() > MAX_EVENTS / 2);
    assert_eq!(view.next_event(), 21_001);
    store.close().await;
    assert_eq!(*open(&place).view(), *view);
}

async fn notes_are_kept_after_closing<P: Place>() {
    let place = P::empty();
    let store = open(&place);
    store.note(Draft::new("test.noted", "first"));
    store.note_change(mac(5), Make(5));
    store.close().await;
    let view = open(&place).view();
    assert_eq!(view.event_count(), 1);
    assert!(view.machine(&id(5)).is_some());
}

async fn a_transition_without_changes_commits_nothing<P: Place>() {
    let store = open(&P::empty());
    store.apply(Raw::default()).await.unwrap();
    assert_eq!(store.stats().commits, 0);
    assert_eq!(store.stats().transitions, 1);
    let before = store.view();
    store.apply(Raw::default()).await.unwrap();
    assert!(Arc::ptr_eq(&before, &store.view()));
}
