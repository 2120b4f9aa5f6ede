//! The audit: who did what, from where, how it ended, and what machines were told to boot.

use std::{cell::Cell, collections::BTreeMap};

use axum::extract::State;
use ipxe::MacAddr;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Page, events::Filter, page::page_limit};
use crate::{
    http::{
        Api,
        answer::Json,
        error::{Code, Problem},
        extract::{Params, parse},
        scope::Scope,
    },
    state::{Timestamp, View, audit::Outcome, event::Event, user::account},
    store::{AuditPage, StoreError},
};

/// What a cursor that goes back begins with.
const BACK: char = '-';
/// Going back ends only so far behind `since`: a clock that was set back a little hides no line.
const SLACK: SignedDuration = SignedDuration::from_hours(24);

/// How a line of the audit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It was refused.
    Refused,
    /// It was not refused and not done either.
    Failed,
    /// A machine was told something.
    Told,
}

impl AuditOutcome {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Told => "told",
        }
    }
}

impl From<Outcome> for AuditOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::Done,
            Outcome::Refused => Self::Refused,
            Outcome::Failed => Self::Failed,
            Outcome::Told => Self::Told,
        }
    }
}

/// A line of the audit: an event, and who asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AuditLine)]
pub struct AuditDoc {
    /// The number of its event; grows.
    pub seq: u64,
    /// When, by the controller's clock.
    pub at: Timestamp,
    /// What, as events are called: `machine.registered`; `api.changed`, `api.answered`, `api.refused` and `api.failed` are requests
    /// that no other event tells of, `boot.told` is what a machine was told.
    pub what: String,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Who: `local:ann`, `token/ci:ann`, `peer:lab`; absent: nobody that is known, or nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// From where: an address, or `uid 1000` at the local socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The request's id (`X-Request-Id` of its answer), or a boot's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Method and path of the operation, as the document has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The path that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The id of the machine it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// That machine's name now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_name: Option<String>,
    /// The station it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mac: Option<MacAddr>,
    /// One sentence for a person.
    pub text: String,
    /// Values for programs.
    pub fields: BTreeMap<String, String>,
}

impl AuditDoc {
    /// The line of an event.
    #[must_use]
    pub fn of(event: &Event, view: &View) -> Self {
        let draft = &event.draft;
        let by_id = draft.machine.as_ref().and_then(|id| view.machine(id));
        let known = by_id.or_else(|| draft.mac.and_then(|mac| view.machine_by_mac(mac)));
        let field = |name: &str| draft.fields.get(name).cloned();
        let origin = draft.origin.as_deref().cloned().unwrap_or_default();
        Self {
            seq: event.seq,
            at: event.at,
            what: draft.kind.clone(),
            outcome: Outcome::of(&draft.kind).into(),
            by: origin.by,
            from: origin.from.or_else(|| field("from")),
            request: origin.request.or_else(|| field("session")),
            operation: origin.operation,
            target: origin.target,
            machine: draft.machine.as_ref().map(ToString::to_string),
            machine_name: known.map(|m| m.name.to_string()),
            mac: draft.mac,
            text: draft.text.clone(),
            fields: draft.fields.clone(),
        }
    }
}

/// Which lines to list.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only lines with a larger number, the oldest first; without it (and without `since` and `cursor`) the newest ones.
    #[serde(default)]
    after: Option<u64>,
    /// The newest lines with a smaller number, going back from there also with `since`. Not with `after`.
    #[serde(default)]
    before: Option<u64>,
    /// Who: an account (`ann`: by whatever way), or a caller as lines have them (`token/ci:ann`).
    #[serde(default)]
    who: Option<String>,
    /// What: one kind, such as `machine.registered`, or a family, such as `machine.*`.
    #[serde(default)]
    what: Option<String>,
    /// How it ended.
    #[serde(default)]
    outcome: Option<AuditOutcome>,
    /// Name, id or MAC of a machine.
    #[serde(default)]
    machine: Option<String>,
    /// Only lines of this time and later.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Only lines before this time.
    #[serde(default)]
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<String>,
    /// Entries wanted, 1 to 1000. A page may have fewer, or none, also where `next` says that there is more to look at.
    #[serde(default)]
    limit: Option<usize>,
    /// `next` of the page before: goes on the way that page went, ahead or back.
    #[serde(default)]
    cursor: Option<String>,
}

/// From where a page is read, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Lines with a larger number, the oldest of them.
    Ahead(u64),
    /// Lines with a smaller number, the newest of them.
    Back(u64),
}

impl Way {
    fn of(query: &AuditQuery) -> Result<Self, Problem> {
        match (query.cursor.as_deref(), query.after, query.before) {
            (Some(cursor), ..) => match cursor.strip_prefix(BACK) {
                Some(before) => parse(before, "cursor").map(Self::Back),
                None => parse(cursor, "cursor").map(Self::Ahead),
            },
            (None, Some(_), Some(_)) => {
                let text = "before: it goes back from there; leave out `after`";
                Err(Problem::new(Code::BadValue, text))
            }
            (None, Some(after), None) => Ok(Self::Ahead(after)),
            (None, None, Some(before)) => Ok(Self::Back(before)),
            (None, None, None) if query.since.is_some() => Ok(Self::Ahead(0)),
            (None, None, None) => Ok(Self::Back(u64::MAX)),
        }
    }

    /// The cursor of the page behind one that looked as far as `seen`.
    fn cursor(self, seen: u64) -> String {
        match self {
            Self::Ahead(_) => seen.to_string(),
            Self::Back(_) => format!("{BACK}{seen}"),
        }
    }
}

/// What lines have to fit.
#[derive(Debug, Default)]
struct Wanted {
    who: Option<String>,
    what: Option<String>,
    outcome: Option<AuditOutcome>,
    about: Filter,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Wanted {
    fn of(query: &AuditQuery, view: &View) -> Result<Self, Problem> {
        let time = |text: &Option<String>, what| {
            let text = text.as_deref();
            text.map(|text| parse(text, what)).transpose()
        };
        Ok(Self {
            who: query.who.clone(),
            what: query.what.clone(),
            outcome: query.outcome,
            about: Filter::parse(query.machine.as_deref(), view, &Scope::default())?,
            since: time(&query.since, "since")?,
            until: time(&query.until, "until")?,
        })
    }

    fn fits(&self, event: &Event, view: &View) -> bool {
        let draft = &event.draft;
        let by = draft.origin.as_ref().and_then(|o| o.by.as_deref());
        let who = |who: &String| by.is_some_and(|by| by == who || account(by) == who);
        let what = |what: &String| match what.strip_suffix('*') {
            Some(family) => draft.kind.starts_with(family),
            None => draft.kind == *what,
        };
        let outcome = AuditOutcome::from(Outcome::of(&draft.kind));
        self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
            && self.who.as_ref().is_none_or(who)
            && self.what.as_ref().is_none_or(what)
            && self.outcome.is_none_or(|wanted| wanted == outcome)
            && self.about.admits(event, view)
    }

    /// Whether a line is so much older than what is wanted that the ones before it are, too.
    fn is_behind(&self, event: &Event) -> bool {
        let end = self.since.and_then(|since| since.checked_sub(SLACK).ok());
        end.is_some_and(|end| event.at < end)
    }
}

/// The newest line that is behind what is wanted, of those that were looked at; 0: none was. The books are looked at one by one,
/// and the one with fewer lines reaches further back.
#[derive(Debug, Default)]
struct Behind(Cell<u64>);

impl Behind {
    fn look(&self, wanted: &Wanted, event: &Event) {
        if wanted.is_behind(event) {
            self.0.set(self.0.get().max(event.seq));
        }
    }

    /// Whether all lines before the number `seen` are behind.
    fn reaches(&self, seen: u64) -> bool {
        self.0.get() >= seen
    }
}

/// Lists the audit, oldest first: lines behind `after` or of the time from `since` on, or without these the newest ones.
///
/// What people, programs and other sites changed, what they were refused, and what machines were told to boot. Of each half of the
/// audit, changes and the others, at most 20,000 lines are looked at for one page.
#[utoipa::path(get, path = "/audit", tag = "audit", operation_id = "audit_list", params(AuditQuery),
    responses((status = 200, body = Page<AuditDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<AuditQuery>,
) -> Result<Json<Page<AuditDoc>>, Problem> {
    let limit = page_limit(query.limit)?;
    let view = api.store.view();
    let wanted = Wanted::of(&query, &view)?;
    let way = Way::of(&query)?;
    let audit = api.store.audit().await?;
    let looked = tokio::task::spawn_blocking(move || {
        let behind = Behind::default();
        let fits = |event: &Event| {
            behind.look(&wanted, event);
            wanted.fits(event, &view)
        };
        match way {
            Way::Ahead(after) => audit.after(after, limit, &fits),
            Way::Back(before) => audit.newest(before, limit, &fits).map(|page| AuditPage {
                next: page.next.filter(|seen| !behind.reaches(*seen)),
                ..page
            }),
        }
    });
    let failed = |e| Problem::new(Code::Internal, format!("the audit cannot be read: {e}"));
    let AuditPage { events, next } = looked.await.map_err(failed)?.map_err(StoreError::from)?;
    let view = api.store.view();
    Ok(Json(Page {
        next: next.map(|seen| way.cursor(seen)),
        items: events.iter().map(|e| AuditDoc::of(e, &view)).collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::event::Draft;

    #[test]
    fn going_back_ends_a_day_behind_the_time_that_is_asked_for() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let wanted = Wanted {
            since: Some(at("2026-01-10T00:00:00Z")),
            ..Wanted::default()
        };
        let event = |text: &str| Event {
            seq: 5,
            at: at(text),
            draft: Draft::new("x", "x"),
        };
        for (text, is_behind) in [
            ("2026-01-10T00:00:01Z", false),
            ("2026-01-09T00:00:00Z", false),
            ("2026-01-08T23:59:59Z", true),
        ] {
            assert_eq!(wanted.is_behind(&event(text)), is_behind, "{text}");
            let behind = Behind::default();
            behind.look(&wanted, &event(text));
            // The other book was looked at down to line 9 only: lines 6 to 8 may still be wanted.
            assert!(!behind.reaches(9), "{text}");
            assert_eq!(behind.reaches(5), is_behind, "{text}");
        }
        let all = Wanted::default();
        assert!(!all.is_behind(&event("1970-01-01T00:00:00Z")));
    }
}
