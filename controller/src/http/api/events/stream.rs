//! The live view of events: a cursor over the record that waits for the store to grow.

use std::{convert::Infallible, time::Duration};

use axum::{
    http::HeaderMap,
    response::sse::{Event as SseEvent, KeepAlive, Sse},
};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::{EventDoc, Filter};
use crate::{
    http::{error::Problem, extract::parse},
    state::View,
    store::Store,
};

/// The name of ordinary events in the stream.
pub const EVENT: &str = "event";
/// The name of the event that says that others are lost.
pub const RESET: &str = "reset";
/// Events written between two looks at the store: keeps a slow reader's memory small.
const BATCH: usize = 256;
/// A comment line after this long without an event, so that both sides notice a dead connection.
pub(in crate::http::api) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What a reset says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Reset)]
pub struct ResetDoc {
    /// The number the client had.
    pub after: u64,
    /// The stream goes on behind this number.
    pub resumes_after: u64,
}

/// The number in `Last-Event-ID`, which browsers and our client send when they come back.
pub(in crate::http::api) fn last_seen(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    parse(value.to_str().unwrap_or("(not text)"), "Last-Event-ID").map(Some)
}

/// What to write next.
#[derive(Debug, PartialEq)]
enum Step {
    /// Events were lost.
    Reset(ResetDoc),
    /// These, and the cursor behind all that was looked at.
    Events(Vec<EventDoc>, u64),
}

/// What follows `after`. Lost are events that were dropped from the record, and all when the record is a younger one
/// than the client's (a restored backup).
fn step(view: &View, filter: &Filter, after: u64) -> Step {
    let newest = view.next_event() - 1;
    let oldest = view.oldest_event().unwrap_or(newest + 1);
    if after > newest || after + 1 < oldest {
        let resumes_after = if after > newest { newest } else { oldest - 1 };
        return Step::Reset(ResetDoc {
            after,
            resumes_after,
        });
    }
    let looked_at = view.events_after(after).take(BATCH);
    let mut cursor = after;
    let mut found = Vec::new();
    for event in looked_at {
        cursor = event.seq;
        if filter.admits(event, view) {
            found.push(EventDoc::of(event, view));
        }
    }
    Step::Events(found, cursor)
}

/// The stream, until the client goes or the controller stops.
pub(super) fn live(
    store: Store,
    filter: Filter,
    seen: Option<u64>,
    stop: CancellationToken,
) -> Sse<impl Stream<Item = Result<SseEvent, Infallible>>> {
    let stream = async_stream::stream! {
        let mut grown = store.subscribe();
        let mut cursor = seen.unwrap_or_else(|| store.view().next_event() - 1);
        // The client learns where it stands even when nothing happens for long.
        yield Ok(SseEvent::default().id(cursor.to_string()).comment("live"));
        loop {
            grown.borrow_and_update();
            let before = cursor;
            match step(&store.view(), &filter, cursor) {
                Step::Reset(reset) => {
                    cursor = reset.resumes_after;
                    yield Ok(data(RESET, cursor, &reset));
                }
                Step::Events(found, looked_at) => {
                    cursor = looked_at;
                    for event in found {
                        yield Ok(data(EVENT, event.seq, &event));
                    }
                }
            }
            if cursor != before {
                continue;
            }
            tokio::select! {
                changed = grown.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    };
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// An event of the stream. Its data is JSON, which has no line breaks.
pub(super) fn data<T: Serialize>(name: &str, seq: u64, value: &T) -> SseEvent {
    SseEvent::default()
        .event(name)
        .id(seq.to_string())
        .data(serde_json::to_string(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::{
        http::scope::Scope,
        state::{
            Key, Record, Timestamp, Write,
            event::{Draft, Event},
        },
    };

    /// A record of the events `from..=to`.
    fn view(from: u64, to: u64) -> View {
        let mut view = View::default();
        for seq in 1..=to {
            let event = Event {
                seq,
                at: Timestamp::UNIX_EPOCH,
                draft: Draft::new("test.happened", "it happened"),
            };
            view.absorb(&Write::Put(Record::Event(event.into())));
        }
        (1..from).for_each(|seq| view.absorb(&Write::Delete(Key::Event(seq))));
        view
    }

    fn numbers(step: Step) -> Vec<u64> {
        match step {
            Step::Events(found, _) => found.iter().map(|e| e.seq).collect(),
            Step::Reset(reset) => panic!("{reset:?}"),
        }
    }

    #[test]
    fn a_reader_that_missed_nothing_goes_on() {
        let all = Filter::default();
        assert_eq!(numbers(step(&view(5, 8), &all, 4)), [5, 6, 7, 8]);
        assert_eq!(numbers(step(&view(5, 8), &all, 8)), [0; 0]);
        assert_eq!(numbers(step(&View::default(), &all, 0)), [0; 0]);
    }

    #[test]
    fn lost_events_are_told() {
        let reset = |after, resumes_after| {
            Step::Reset(ResetDoc {
                after,
                resumes_after,
            })
        };
        let all = Filter::default();
        assert_eq!(step(&view(5, 8), &all, 3), reset(3, 4));
        assert_eq!(step(&view(5, 8), &all, 0), reset(0, 4));
        // The record is younger than the client: a backup was restored.
        assert_eq!(step(&view(1, 8), &all, 9), reset(9, 8));
        assert_eq!(step(&View::default(), &all, 9), reset(9, 0));
    }

    #[test]
    fn the_cursor_passes_what_the_filter_hides() {
        let nobody = Filter {
            about: Some((None, vec![])),
            words: None,
            scope: Scope::default(),
        };
        assert_eq!(
            step(&view(1, 8), &nobody, 2),
            Step::Events(vec![], 8),
            "or the stream would look at the same events for ever"
        );
    }
}
