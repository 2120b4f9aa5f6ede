//! The live view of another site's events: what that site shows of its machines, numbered as there. A link that breaks is
//! waited for, and nothing is lost by it.

use std::{convert::Infallible, time::Duration};

use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use futures_util::Stream;
use tokio_util::sync::CancellationToken;

use super::{
    EVENT, EventDoc, RESET, ResetDoc,
    stream::{KEEP_ALIVE, data},
};
use crate::{
    federation::{Federation, Heard, Watched},
    http::error::{Code, Problem},
    state::{peer::SiteName, shown::heard::HeardEvent},
};

/// The pause before a site is asked again whose link broke; its links are dialled anew after a second at the earliest.
const PAUSE: Duration = Duration::from_secs(1);

impl EventDoc {
    fn heard(site: &SiteName, event: HeardEvent) -> Self {
        Self {
            seq: event.seq,
            at: event.at,
            kind: event.kind,
            machine: None,
            machine_name: Some(event.machine.to_string()),
            mac: event.mac,
            text: event.text,
            fields: [("site".to_owned(), site.to_string())].into(),
        }
    }
}

/// The stream, until the client goes, the controller stops, or the site is a peer no more.
pub(super) async fn live(
    federation: Federation,
    site: SiteName,
    after: Option<u64>,
    stop: CancellationToken,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, Problem> {
    let refused = |why: String| Problem::new(Code::PeerRefused, format!("{site}: {why}"));
    let watched = federation.watch_events(&site, after).await;
    let mut watched = Some(watched.map_err(refused)?);
    let mut seen = after;
    let stream = async_stream::stream! {
        loop {
            let heard = tokio::select! {
                heard = next(&federation, &site, &mut watched, seen) => heard,
                () = stop.cancelled() => return,
            };
            match heard {
                Ok(heard) => {
                    let before = seen.replace(heard.seen);
                    for message in messages(&site, before, heard) {
                        yield Ok(message);
                    }
                }
                Err(_) if federation.is_joined(&site) => {
                    watched = None;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(_) => return,
            }
        }
    };
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// What is heard next, looking on anew where that ended.
async fn next(
    federation: &Federation,
    site: &SiteName,
    watched: &mut Option<Watched>,
    seen: Option<u64>,
) -> Result<Heard, String> {
    let mut looking_on = match watched.take() {
        Some(looking_on) => looking_on,
        None => federation.watch_events(site, seen).await?,
    };
    let heard = looking_on.next().await?;
    *watched = Some(looking_on);
    Ok(heard)
}

fn messages(site: &SiteName, before: Option<u64>, heard: Heard) -> Vec<SseEvent> {
    let mut messages = Vec::new();
    if heard.lost {
        let reset = ResetDoc {
            after: before.unwrap_or_default(),
            resumes_after: heard.seen,
        };
        messages.push(data(RESET, heard.seen, &reset));
    }
    for event in heard.events {
        messages.push(data(EVENT, event.seq, &EventDoc::heard(site, event)));
    }
    // Where the reader stands, also when nothing of it was for them.
    messages.push(
        SseEvent::default()
            .id(heard.seen.to_string())
            .comment("live"),
    );
    messages
}
