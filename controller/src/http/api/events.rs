//! Events: the record as a list, and live as server-sent events that can be resumed.

mod elsewhere;
mod stream;

use std::collections::BTreeMap;

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use ipxe::MacAddr;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use self::stream::{EVENT, RESET, ResetDoc};
pub(super) use self::stream::{KEEP_ALIVE, last_seen};
use super::{Page, page::page_limit, search::Words};
use crate::{
    http::{
        Api,
        answer::Json,
        error::{Code, Problem},
        extract::{Params, parse},
        scope::Scope,
    },
    state::{
        Timestamp, View,
        event::{Event, Recorded},
        machine::MachineId,
    },
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Event)]
pub struct EventDoc {
    /// Grows with each event.
    pub seq: u64,
    /// When, by the controller's clock.
    pub at: Timestamp,
    /// Stable name, `subject.verb`, such as `activation.served`.
    pub kind: String,
    /// The id of the machine it is about.
    pub machine: Option<String>,
    /// That machine's name now.
    pub machine_name: Option<String>,
    /// The station it is about.
    #[schema(value_type = Option<String>)]
    pub mac: Option<MacAddr>,
    /// One sentence for a person.
    pub text: String,
    /// Values for programs.
    pub fields: BTreeMap<String, String>,
}

impl EventDoc {
    fn of(event: &Event, view: &View) -> Self {
        let draft = &event.draft;
        let by_id = draft.machine.as_ref().and_then(|id| view.machine(id));
        let known = by_id.or_else(|| draft.mac.and_then(|mac| view.machine_by_mac(mac)));
        Self {
            seq: event.seq,
            at: event.at,
            kind: draft.kind.clone(),
            machine: draft.machine.as_ref().map(ToString::to_string),
            machine_name: known.map(|m| m.name.to_string()),
            mac: draft.mac,
            text: draft.text.clone(),
            fields: draft.fields.clone(),
        }
    }
}

/// Whose events to show; without a machine everybody's.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    about: Option<(Option<MachineId>, Vec<MacAddr>)>,
    words: Option<Words>,
    scope: Scope,
}

impl Filter {
    /// Events of the machine that `text` names; an unknown MAC is fine, it may show up yet.
    pub(super) fn parse(text: Option<&str>, view: &View, scope: &Scope) -> Result<Self, Problem> {
        let Some(text) = text else {
            return Ok(Self {
                scope: scope.clone(),
                ..Self::default()
            });
        };
        let about = match (scope.find(view, text), text.parse()) {
            (Ok(machine), _) => (
                Some(machine.id.clone()),
                machine.macs.iter().copied().collect(),
            ),
            (Err(_), Ok(mac)) => (None, vec![mac]),
            (Err(problem), Err(_)) => return Err(problem),
        };
        Ok(Self {
            about: Some(about),
            words: None,
            scope: scope.clone(),
        })
    }

    /// Whether it is within reach by what `view` has, and is looked for.
    pub(super) fn admits(&self, event: &Event, view: &View) -> bool {
        let draft = &event.draft;
        if self.scope.labels().is_some() {
            let by_mac = || draft.mac.and_then(|mac| view.machine_by_mac(mac));
            let machine = draft.machine.as_ref().or_else(|| by_mac().map(|m| &m.id));
            if !self.scope.reaches(machine, view) {
                return false;
            }
        }
        if let Some(words) = &self.words {
            let fields = draft.fields.values().map(String::as_str);
            let texts = [draft.kind.as_str(), draft.text.as_str()];
            if !words.stand_in(texts.into_iter().chain(fields)) {
                return false;
            }
        }
        let Some((id, macs)) = &self.about else {
            return true;
        };
        let same_machine = id.is_some() && draft.machine == *id;
        same_machine || draft.mac.is_some_and(|mac| macs.contains(&mac))
    }
}

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only events with a larger number; without it, the newest ones.
    #[serde(default)]
    after: Option<u64>,
    /// Name, id or MAC of a machine.
    #[serde(default)]
    machine: Option<String>,
    /// Only entries in which all these words stand, in any case: names, addresses, texts.
    #[serde(default)]
    q: Option<String>,
    /// Entries wanted, 1 to 1000.
    #[serde(default)]
    limit: Option<usize>,
    /// `next` of the page before; the same as `after`.
    #[serde(default)]
    cursor: Option<String>,
}

/// Lists events, oldest first: those behind `after`, or without it the newest ones.
#[utoipa::path(get, path = "/events", tag = "events", operation_id = "events_list", params(ListQuery),
    responses((status = 200, body = Page<EventDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<EventDoc>>, Problem> {
    let view = api.store.view();
    let filter = Filter {
        words: Words::parse(query.q.as_deref())?,
        ..Filter::parse(query.machine.as_deref(), &view, &scope)?
    };
    let cursor = query.cursor.map(|c| parse(&c, "cursor")).transpose()?;
    let limit = page_limit(query.limit)?;
    Ok(Json(match cursor.or(query.after) {
        Some(after) => page_after(&view, &filter, after, limit),
        None => newest(&view, &filter, limit),
    }))
}

fn page_after(view: &View, filter: &Filter, after: u64, limit: usize) -> Page<EventDoc> {
    let mut found: Vec<&Recorded> = view
        .events_after(after)
        .filter(|e| filter.admits(e, view))
        .take(limit + 1)
        .collect();
    let more = found.len() > limit;
    found.truncate(limit);
    Page {
        next: found.last().filter(|_| more).map(|e| e.seq.to_string()),
        items: found.into_iter().map(|e| EventDoc::of(e, view)).collect(),
    }
}

fn newest(view: &View, filter: &Filter, limit: usize) -> Page<EventDoc> {
    let newest = view
        .events_after(0)
        .rev()
        .filter(|e| filter.admits(e, view));
    let mut items: Vec<EventDoc> = newest.take(limit).map(|e| EventDoc::of(e, view)).collect();
    items.reverse();
    Page { items, next: None }
}

/// Where to start a live view.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// Start behind this event; without it (and without `Last-Event-ID`) only what happens from now on.
    #[serde(default)]
    after: Option<u64>,
    /// Name, id or MAC of a machine.
    #[serde(default)]
    machine: Option<String>,
    /// Events of this other site, as far as it shows them, numbered as there; then without `machine`.
    #[serde(default)]
    site: Option<String>,
}

/// Streams events as they happen (server-sent events).
///
/// Each has its number as `id`; a client that comes back with
/// `Last-Event-ID` misses nothing. When events it has not seen are gone, an event `reset` says so first: read again
/// what was built from events.
#[utoipa::path(get, path = "/events/stream", tag = "events", operation_id = "events_stream",
    params(StreamQuery, ("Last-Event-ID" = Option<u64>, Header, description = "The last number the client has seen")),
    responses((status = 200, body = EventDoc, content_type = "text/event-stream")))]
pub(crate) async fn stream(
    State(api): State<Api>,
    scope: Scope,
    Params(query): Params<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let seen = stream::last_seen(&headers)?.or(query.after);
    if let Some(site) = &query.site {
        scope.whole()?;
        if query.machine.is_some() {
            let text = "site: `machine` is for events of this site only";
            return Err(Problem::new(Code::BadValue, text));
        }
        let site = parse(site, "site")?;
        let federation = api.mesh()?.federation().clone();
        let live = elsewhere::live(federation, site, seen, api.stop).await?;
        return Ok(live.into_response());
    }
    let filter = Filter::parse(query.machine.as_deref(), &api.store.view(), &scope)?;
    Ok(stream::live(api.store, filter, seen, api.stop).into_response())
}
