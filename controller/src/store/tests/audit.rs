//! What the audit promises: it is in the transaction of what it tells of, outlives the record, and has an end.

use super::*;
use crate::{
    state::{
        audit::{CHANGED, Retention, TOLD},
        event::{Event, Origin},
    },
    store::Behalf,
};

/// Sets a mark on the machine, of which no event tells.
struct Quietly;

impl Transition for Quietly {
    type Outcome = ();

    fn run(&self, _view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        changes.write(Machine::seen(MachineId::from_random(1), MAC, now));
        (changes, ())
    }
}

/// Changes nothing.
struct Nothing;

impl Transition for Nothing {
    type Outcome = ();

    fn run(&self, _view: &View, _now: Timestamp) -> (Changes, ()) {
        (Changes::none(), ())
    }
}

fn ann() -> std::sync::Arc<Behalf> {
    Behalf::new(Origin {
        by: Some("local:ann".to_owned()),
        operation: Some("PUT /api/v1/x/{y}".to_owned()),
        target: Some("/api/v1/x/1".to_owned()),
        ..Origin::default()
    })
}

async fn all(store: &Store) -> Vec<Event> {
    let audit = store.audit().await.unwrap();
    let (mut all, mut after) = (Vec::new(), Some(0));
    while let Some(seq) = after {
        let page = audit.after(seq, 100, &|_| true).unwrap();
        assert!(page.events.len() <= 100);
        all.extend(page.events);
        after = page.next;
    }
    assert!(
        all.is_sorted_by(|a, b| a.seq < b.seq),
        "in order, each once"
    );
    all
}

fn kinds(events: &[Event]) -> Vec<&str> {
    events.iter().map(|e| e.draft.kind.as_str()).collect()
}

fn told() -> Draft {
    Draft::new(TOLD, "told to boot its own disk").mac(MAC)
}

#[tokio::test]
async fn what_somebody_changes_is_signed_by_the_transaction_itself() {
    for backend in [Memory::calm(), Memory::contended(3)] {
        let store = open(backend.clone());
        let behalf = ann();
        let work = async {
            store.apply(Nothing).await.unwrap();
            assert!(!behalf.is_written(), "nothing was changed");
            store.apply(Count).await.unwrap();
            assert!(behalf.is_written());
            store.apply(Quietly).await.unwrap();
        };
        behalf.clone().during(work).await;
        store.apply(Count).await.unwrap();
        store.close().await;
        // It is there after a restart, and only what somebody asked for.
        let store = open(backend);
        let lines = all(&store).await;
        assert_eq!(kinds(&lines), ["test.counted", CHANGED]);
        assert_eq!(lines[1].draft.text, "local:ann: PUT /api/v1/x/1");
        let by = |e: &Event| e.draft.origin.clone().unwrap().by.unwrap();
        assert!(lines.iter().all(|e| by(e) == "local:ann"));
        let recorded: Vec<Event> = store
            .view()
            .events_after(0)
            .map(|e| (**e).clone())
            .collect();
        assert_eq!(recorded.len(), 3);
        assert_eq!(lines, recorded[..2], "the same lines as in the record");
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_not_said_to_be() {
    let store = open(Contested);
    let behalf = ann();
    let refused = behalf
        .clone()
        .during(async { store.apply(Count).await })
        .await;
    assert!(refused.is_err() && !behalf.is_written());
}

fn bounded(backend: impl Backend, retention: Retention) -> (Store, ManualClock) {
    let clock = ManualClock::new(start());
    let policy = Policy {
        audit: retention,
        ..Policy::default()
    };
    (Store::open(backend, policy, clock.clone()).unwrap(), clock)
}

#[tokio::test]
async fn what_strangers_cause_displaces_no_change_and_has_a_bound() {
    let retention = Retention {
        keep_s: None,
        max_bytes: 40_000,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("enforcer.redb");
    let (store, _) = bounded(Redb::open(&path).unwrap(), retention);
    ann()
        .during(async { store.apply(Count).await })
        .await
        .unwrap();
    for _ in 0..40 {
        (0..50).for_each(|_| store.note(told()));
        store.flush().await.unwrap();
    }
    store.close().await;
    // The sums outlive a restart, too.
    let (store, _) = bounded(Redb::open(&path).unwrap(), retention);
    for _ in 0..3 {
        store.note(told());
        store.flush().await.unwrap();
    }
    let lines = all(&store).await;
    assert_eq!(lines[0].draft.kind, "test.counted");
    let bytes = |e: &Event| serde_json::to_vec(e).unwrap().len();
    let answers: usize = lines[1..].iter().map(bytes).sum();
    assert!((15_000..=20_000).contains(&answers), "{answers}");
    let newest = store.view().next_event() - 1;
    assert_eq!(lines.last().unwrap().seq, newest, "the oldest go first");
}

#[tokio::test]
async fn what_is_too_old_goes() {
    let (store, clock) = bounded(Memory::calm(), Retention::default());
    let day = Duration::from_secs(86_400);
    for _ in 0..4 {
        ann()
            .during(async { store.apply(Count).await })
            .await
            .unwrap();
        clock.advance(day * 30);
    }
    // Day 120: days 0 is over; day 30 is on its edge and stays. The next commit deletes what the one before has found.
    for _ in 0..2 {
        ann()
            .during(async { store.apply(Count).await })
            .await
            .unwrap();
    }
    let ages = |lines: &[Event]| -> Vec<i64> {
        let days = |e: &Event| e.at.duration_since(start()).as_hours() / 24;
        lines.iter().map(days).collect()
    };
    assert_eq!(ages(&all(&store).await), [30, 60, 90, 120, 120]);
    clock.advance(day);
    for _ in 0..2 {
        ann()
            .during(async { store.apply(Count).await })
            .await
            .unwrap();
    }
    assert_eq!(ages(&all(&store).await), [60, 90, 120, 120, 121, 121]);
}

#[tokio::test]
async fn pages_are_in_order_over_both_books_and_the_newest_are_the_newest() {
    let store = open(Memory::calm());
    for n in 0..30 {
        match n % 3 {
            0 => ann()
                .during(async { store.apply(Count).await })
                .await
                .map(drop)
                .unwrap(),
            _ => store.note(told()),
        }
    }
    store.flush().await.unwrap();
    let whole = all(&store).await;
    assert_eq!(whole.len(), 30);
    let audit = store.audit().await.unwrap();
    for limit in [1, 2, 7, 30] {
        let (mut paged, mut after) = (Vec::new(), Some(0));
        while let Some(seq) = after {
            let page = audit.after(seq, limit, &|_| true).unwrap();
            paged.extend(page.events);
            after = page.next;
        }
        assert_eq!(paged, whole, "{limit}");
        let newest = audit.newest(u64::MAX, limit, &|_| true).unwrap().events;
        assert_eq!(newest, whole[30 - limit..], "{limit}");
        let older = audit.newest(whole[20].seq, limit, &|_| true).unwrap();
        assert_eq!(older.events, whole[20_usize.saturating_sub(limit)..20]);
        let (mut back, mut before) = (Vec::new(), Some(u64::MAX));
        while let Some(seq) = before {
            let page = audit.newest(seq, limit, &|_| true).unwrap();
            back.splice(..0, page.events);
            before = page.next;
        }
        assert_eq!(back, whole, "back, {limit}");
    }
    let changes = |e: &Event| e.draft.kind == "test.counted";
    let found = audit.newest(u64::MAX, 3, &changes).unwrap().events;
    let expected: Vec<Event> = whole.iter().filter(|e| changes(e)).cloned().collect();
    assert_eq!(found, expected[expected.len() - 3..]);
}
