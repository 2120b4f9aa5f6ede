//! Boots cut out of events, and properties of the comparison.

use proptest::prelude::*;

use super::*;
use crate::state::event::Draft;

const WAY: [&str; 5] = [
    "boot.firmware-offered",
    "boot.firmware-loaded",
    "boot.script-offered",
    TOLD,
    "activation.confirmed",
];

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn event(seq: u64, kind: &str, at_ms: i64) -> Event {
    let at = start() + jiff::SignedDuration::from_millis(at_ms);
    let draft = Draft::new(kind, "x");
    let draft = match kind {
        TOLD => draft.field("plan", "config"),
        _ => draft,
    };
    Event { seq, at, draft }
}

/// A boot on [`WAY`] with these pauses between its steps, in milliseconds.
fn boot(spans_ms: &[u64]) -> Boot {
    let mut at = 0;
    let mut made = Boot::begun(&event(1, WAY[0], 0));
    for (kind, ms) in WAY[1..].iter().zip(spans_ms) {
        at += i64::try_from(*ms).unwrap();
        made.take(&event(2, kind, at));
    }
    made
}

fn cut(kinds: &[(&str, i64)]) -> Vec<Vec<String>> {
    let numbered = kinds.iter().zip(1..);
    let events: Vec<Event> = numbered
        .map(|((kind, s), n)| event(n, kind, s * 1000))
        .collect();
    let kinds = |boot: Boot| boot.steps.into_iter().map(|s| s.kind).collect();
    boots(&events).into_iter().map(kinds).collect()
}

#[test]
fn a_boot_begins_when_firmware_asks_and_not_when_it_asks_again() {
    let again = [(WAY[0], 0), (WAY[0], 30), (WAY[2], 60), (TOLD, 61)];
    assert_eq!(cut(&again).len(), 1);
    // After it was told something, it asks because it started anew.
    let anew = [(WAY[0], 0), (WAY[2], 20), (TOLD, 21), (WAY[0], 50)];
    assert_eq!(cut(&anew).len(), 2);
    // A silence ends it; what people do meanwhile is no part of it.
    let silent = [
        (WAY[0], 0),
        ("machine.changed", 1700),
        ("member.joined", 1900),
    ];
    assert_eq!(cut(&silent), [[WAY[0]], ["member.joined"]]);
    // Members come and go long after a boot.
    let flaps = [
        (WAY[0], 0),
        ("member.joined", 20),
        ("member.unreachable", 900),
    ];
    assert_eq!(cut(&flaps), [[WAY[0], "member.joined"]]);
    assert!(cut(&[]).is_empty());
}

#[test]
fn only_what_is_finished_and_went_the_same_way_is_compared() {
    let usual = boot(&[1000, 1000, 1000, 1000]);
    let unfinished = boot(&[1000, 1000, 1000]);
    assert!(!unfinished.is_finished());
    assert_eq!(compare(&unfinished, &[usual.clone(), usual.clone()]), None);
    let other = Boot {
        plan: Some("management-os".to_owned()),
        ..usual.clone()
    };
    let before = [usual.clone(), unfinished, other];
    assert_eq!(compare(&usual, &before), None, "one is no habit");
}

#[test]
fn it_says_by_how_much_and_at_which_step() {
    let before = [
        boot(&[1000, 2000, 500, 30_000]),
        boot(&[1100, 2000, 500, 31_000]),
        boot(&[900, 2100, 500, 300_000]),
    ];
    let slow = boot(&[1000, 14_000, 500, 31_000]);
    let compared = compare(&slow, &before).unwrap();
    assert_eq!(compared.usual, Duration::from_millis(34_600));
    let expected = Slower {
        by: Duration::from_millis(11_900),
        at: "boot.firmware-loaded".to_owned(),
        at_by: Duration::from_millis(12_000),
    };
    assert_eq!(compared.slower, Some(expected));
}

#[test]
fn it_takes_the_least_time_and_a_fifth_of_the_usual_to_be_called_slower() {
    let slower = |usual_ms: u64, by_ms: u64| {
        let usual = boot(&[usual_ms, 0, 0, 0]);
        let this = boot(&[usual_ms + by_ms, 0, 0, 0]);
        compare(&this, &[usual.clone(), usual]).unwrap().slower
    };
    let least = u64::try_from(LEAST_SLOWER.as_millis()).unwrap();
    for (usual, by, expected) in [
        (100_000, 20_000, false),
        (100_000, 20_001, true),
        (1000, least - 1, false),
        (1000, least, true),
    ] {
        assert_eq!(slower(usual, by).is_some(), expected, "{usual} {by}");
    }
}

fn spans() -> impl Strategy<Value = Vec<u64>> {
    proptest::collection::vec(0..100_000_u64, WAY.len() - 1)
}

proptest! {
    #[test]
    fn a_boot_like_all_before_it_is_not_slower(spans in spans(), n in 2..8_usize) {
        let usual = boot(&spans);
        let compared = compare(&usual, &vec![usual.clone(); n]).unwrap();
        prop_assert_eq!(compared.slower, None);
        prop_assert_eq!((compared.usual, compared.boots), (usual.took(), n.min(COMPARED)));
    }

    #[test]
    fn time_that_is_lost_at_one_step_is_found_there(spans in spans(), step in 0..WAY.len() - 1, n in 2..6_usize) {
        let usual = boot(&spans);
        let lost = 2_000 + u64::try_from(usual.took().as_millis()).unwrap();
        let mut late = spans;
        late[step] += lost;
        let slower = compare(&boot(&late), &vec![usual; n]).unwrap().slower.unwrap();
        let lost = Duration::from_millis(lost);
        prop_assert_eq!((slower.by, slower.at_by), (lost, lost));
        prop_assert_eq!(slower.at, WAY[step]);
    }

    #[test]
    fn the_order_of_those_before_does_not_count_and_neither_does_one_odd_one(
        mut before in proptest::collection::vec(spans(), COMPARED), this in spans(), odd in spans(),
    ) {
        let told = |all: &[Vec<u64>]| {
            let all: Vec<Boot> = all.iter().map(|s| boot(s)).collect();
            compare(&boot(&this), &all).unwrap()
        };
        let compared = told(&before);
        before.reverse();
        prop_assert_eq!(told(&before), compared);
        // Whatever one of them did, the usual stays between others of them.
        before[0] = odd;
        let mut rest: Vec<Duration> = before[1..].iter().map(|s| boot(s).took()).collect();
        rest.sort_unstable();
        let usual = told(&before).usual;
        prop_assert!(rest[1] <= usual && usual <= rest[2], "{usual:?} in {rest:?}");
    }

    #[test]
    fn a_faster_boot_is_never_called_slower(spans in spans(), faster in 0..100_u64) {
        let usual = boot(&spans);
        let fast: Vec<u64> = spans.iter().map(|ms| ms * faster / 100).collect();
        prop_assert_eq!(compare(&boot(&fast), &vec![usual; 3]).unwrap().slower, None);
    }

    #[test]
    fn no_event_of_a_boot_is_lost_or_counted_twice(
        kinds in proptest::collection::vec((0..WAY.len(), 0..4_000_000_i64), 0..60),
    ) {
        let mut at = 0;
        let events: Vec<Event> = kinds.iter().zip(1..).map(|((kind, pause), n)| {
            at += pause;
            event(n, WAY[*kind], at)
        }).collect();
        let all = boots(&events);
        let seqs: Vec<u64> = all.iter().flat_map(|b| &b.steps).map(|s| s.seq).collect();
        prop_assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
        prop_assert!(all.iter().all(|b| !b.steps.is_empty()));
    }
}
