//! The audit: who did what, from where, how it ended, and what machines were told to boot.

use std::collections::BTreeMap;

use axum::extract::State;
use ipxe::MacAddr;
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
    /// The newest lines with a smaller number: to go back from the first line of a page. Not with `after`, `since` or `cursor`.
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
    /// `next` of the page before; the same as `after`.
    #[serde(default)]
    cursor: Option<String>,
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
}

/// Lists the audit, oldest first: lines behind `after` or of the time from `since` on, or without these the newest ones.
///
/// What people, programs and other sites changed, what they were refused, and what machines were told to boot. Where the newest
/// ones are asked for, 20,000 lines of changes and as many of the others are looked at, back from the newest or from `before`.
#[utoipa::path(get, path = "/audit", tag = "audit", operation_id = "audit_list", params(AuditQuery),
    responses((status = 200, body = Page<AuditDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<AuditQuery>,
) -> Result<Json<Page<AuditDoc>>, Problem> {
    let limit = page_limit(query.limit)?;
    let view = api.store.view();
    let wanted = Wanted::of(&query, &view)?;
    let cursor = query
        .cursor
        .as_ref()
        .map(|c| parse(c, "cursor"))
        .transpose()?;
    let after = cursor.or(query.after).or(wanted.since.map(|_| 0));
    let before = query.before;
    if after.is_some() && before.is_some() {
        let text = "before: it goes back from there; leave out `after`, `since` and `cursor`";
        return Err(Problem::new(Code::BadValue, text));
    }
    let audit = api.store.audit().await?;
    let looked = tokio::task::spawn_blocking(move || {
        let fits = |event: &Event| wanted.fits(event, &view);
        match after {
            Some(after) => audit.after(after, limit, &fits),
            None => audit.newest(before.unwrap_or(u64::MAX), limit, &fits),
        }
    });
    let failed = |e| Problem::new(Code::Internal, format!("the audit cannot be read: {e}"));
    let AuditPage { events, next } = looked.await.map_err(failed)?.map_err(StoreError::from)?;
    let view = api.store.view();
    Ok(Json(Page {
        next: next.map(|seq| seq.to_string()),
        items: events.iter().map(|e| AuditDoc::of(e, &view)).collect(),
    }))
}
