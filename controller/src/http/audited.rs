//! What the audit has of requests: what they changed is written by the transaction that changes it (`store::Behalf`); what was
//! refused, failed, or changed no record is noted here, once it is answered.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{FromRequestParts as _, MatchedPath, Query, RawPathParams, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header, request::Parts},
    middleware::Next,
    response::Response,
};
use ipxe_net::Quota;

use super::{
    Api,
    api::machines,
    auth::Caller,
    error::{Code, Problem, Why, short},
    network::Remote,
    scope::MACHINE,
};
use crate::{
    state::{
        audit::{ANSWERED, FAILED, REFUSED},
        event::{Draft, Origin},
    },
    store::{Behalf, Store},
};

/// The request's id, in the answer to what is written down: the lines of the audit have it too.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest reason that is written down, characters.
const MAX_WHY: usize = 300;
/// Refusals of one caller that are written down in a minute, and of all together whom nobody knows: who is refused in a loop
/// does not push everything else out of the record. All are counted.
const REFUSED_PER_MINUTE: u32 = 60;
/// Parameters of queries that name a machine: `explain` has the second.
const QUERIED: [&str; 2] = [MACHINE, "mac"];
/// Where images come in piece by piece: what they become is written down, not each piece.
const PIECES: [&str; 2] = ["/have", "/chunks"];

/// What is written down also when it is only read: the database with every secret, and disks that may hold some.
const SECRETS: [&str; 3] = [
    "/api/v1/database",
    "/api/v1/images/{name}/versions/{version}/raw",
    "/api/v1/images/{name}/versions/{version}/zstd",
];

/// The user of a caller of the local socket, as the kernel knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocalUser(pub(super) u32);

/// How often each caller was refused; `None`: who is not known.
#[derive(Debug, Clone)]
pub(super) struct Refusals(Arc<Mutex<Quota<Option<String>>>>);

impl Default for Refusals {
    fn default() -> Self {
        let quota = Quota::per(REFUSED_PER_MINUTE, Duration::from_secs(60));
        Self(Arc::new(Mutex::new(quota)))
    }
}

impl Refusals {
    fn admits(&self, by: Option<String>) -> bool {
        let mut quota = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        quota.admit(by, Instant::now())
    }
}

/// Serves a request on behalf of its caller, and writes down what nobody else does.
pub(super) async fn audited(State(api): State<Api>, request: Request, next: Next) -> Response {
    // Without a matched path there is no handler behind.
    let Some(path) = request.extensions().get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    let looks = request.method().is_safe() && !SECRETS.contains(&path.as_str());
    let (mut parts, body) = request.into_parts();
    let asked = Asked::of(&mut parts, path.as_str()).await;
    let request = Request::from_parts(parts, body);
    let behalf = &asked.behalf;
    let mut response = Arc::clone(behalf).during(next.run(request)).await;
    let kind = match looks {
        // Of looking only that it was tried in vain.
        true => (response.status() == StatusCode::FORBIDDEN).then_some(REFUSED),
        false => kind(response.status(), path.as_str(), behalf),
    };
    // Who shows nothing is nobody, and could fill the book.
    let by = behalf.origin().by.clone();
    if let Some(kind) = kind.filter(|_| by.is_some())
        && (kind != REFUSED || api.refusals.admits(by))
    {
        note(&api.store, &asked, kind, &response);
    }
    if !looks || behalf.is_written() {
        let id = behalf.origin().request.as_deref().unwrap_or_default();
        if let Ok(id) = HeaderValue::from_str(id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
    }
    response
}

/// What is left to be told of an answer.
fn kind(status: StatusCode, path: &str, behalf: &Behalf) -> Option<&'static str> {
    if status.is_server_error() {
        return Some(FAILED);
    }
    if status.is_client_error() {
        return Some(REFUSED);
    }
    let is_piece = PIECES.iter().any(|end| path.ends_with(end));
    (!behalf.is_written() && !is_piece).then_some(ANSWERED)
}

/// Somebody was turned away before it was asked what they want: their token does not count, they are shut out, or a page of
/// somebody else's asks with their cookie. Who shows nothing at all is not written down.
pub(super) async fn refused(api: &Api, request: Request, problem: &Problem) {
    let shows = request.headers().contains_key(header::AUTHORIZATION);
    if problem.code == Code::Unauthenticated && !shows {
        return;
    }
    let path = request.extensions().get::<MatchedPath>().cloned();
    let path = path.as_ref().map_or("", MatchedPath::as_str);
    let asked = Asked::of(&mut request.into_parts().0, path).await;
    if !api.refusals.admits(asked.behalf.origin().by.clone()) {
        return;
    }
    let text = format!("{}: {}", asked.behalf.sentence(), cut(&problem.detail));
    let draft = Draft::new(REFUSED, text)
        .field("status", problem.code.status().as_str())
        .field("code", problem.code.text());
    asked.write(&api.store, draft);
}

fn note(store: &Store, asked: &Asked, kind: &str, response: &Response) {
    let (status, code) = (response.status(), response.extensions().get::<Code>());
    let mut text = asked.behalf.sentence();
    if let Some(Why(why)) = response.extensions().get::<Why>() {
        // What is wrong with a value may quote it, and it may have been a password.
        let why = match code {
            Some(code) if quotes(status) => code.title().to_owned(),
            _ => cut(why),
        };
        text = format!("{text}: {why}");
    }
    let mut draft = Draft::new(kind, text).field("status", status.as_str());
    if let Some(code) = code {
        draft = draft.field("code", code.text());
    }
    asked.write(store, draft);
}

/// What is known of a request before it is served.
struct Asked {
    behalf: Arc<Behalf>,
    /// The machine that it names, as it is written there.
    machine: Option<String>,
}

impl Asked {
    async fn of(parts: &mut Parts, path: &str) -> Self {
        Self {
            behalf: Behalf::new(origin(parts, path)),
            machine: named(parts).await,
        }
    }

    /// Writes a line down, for the machine that was named, too: what was refused of it stands among its lines.
    fn write(&self, store: &Store, mut draft: Draft) {
        let name = self.machine.as_deref().unwrap_or_default();
        if let Ok(machine) = machines::find(&store.view(), name) {
            draft = draft.machine(&machine.id);
        }
        draft.asked_by(self.behalf.origin());
        store.note(draft);
    }
}

/// The machine that the path or else the query names, both without their percent-encoding.
///
/// Not one that only the body names: who may not is refused before it is read, and nobody's bytes are read for the record's
/// sake. What a handler then refuses may be about another machine, such as a helper or who has an address; a machine's lines
/// are shown to all who reach it, and they need not reach the other. A reservation's MAC is left out for that, too.
async fn named(parts: &mut Parts) -> Option<String> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok();
    let mut segments = params.iter().flatten();
    if let Some((_, text)) = segments.find(|(name, _)| *name == MACHINE) {
        return Some(text.to_owned());
    }
    // No query says which machine is changed: who adds one names nothing by it.
    if !parts.method.is_safe() {
        return None;
    }
    let query: Query<Vec<(String, String)>> = Query::try_from_uri(&parts.uri).ok()?;
    let mut pairs = query.0.into_iter();
    let found = pairs.find(|(name, _)| QUERIED.contains(&name.as_str()))?;
    Some(found.1)
}

/// Whether the reason is about a text that was sent.
fn quotes(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY
    )
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_WHY).collect()
}

fn origin(parts: &Parts, path: &str) -> Origin {
    let seen = &parts.extensions;
    let caller = seen.get::<Caller>().map(|caller| caller.name.clone());
    let remote = seen
        .get::<Remote>()
        .map(|Remote(ip)| ip.to_canonical().to_string());
    let local = || {
        seen.get::<LocalUser>()
            .map(|LocalUser(uid)| format!("uid {uid}"))
    };
    Origin {
        by: caller,
        from: remote.or_else(local),
        request: Some(format!("{:016x}", rand::random::<u64>())),
        operation: Some(format!("{} {path}", parts.method)),
        target: Some(short(parts.uri.path())),
    }
}
