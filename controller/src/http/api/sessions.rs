//! Sessions: people sign in with a password, see who they are, and sign out.

use axum::{
    Extension,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery, words::Role};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        cookie::Cookie,
        door::Door,
        error::{Code, Problem},
        extract::{JsonBody, Params, Segment},
        known::SignedIn,
        sign_in::{Refused, Try},
    },
    state::{
        Timestamp,
        ops::{EndSession, SessionError, SignIn},
        password::MAX_BYTES,
        session::{Session, SessionName, SessionText},
    },
};

/// A session: somebody signed in, in one browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Session)]
pub struct SessionDoc {
    /// What it is called here; it opens nothing.
    pub name: String,
    /// Who signed in.
    pub user: String,
    /// From which address; absent: on the controller's host.
    pub from: Option<String>,
    /// When they signed in.
    pub created: Timestamp,
    /// When it was used last, to a quarter of an hour.
    pub used: Timestamp,
    /// When it ends if nobody uses it before.
    pub ends: Timestamp,
    /// When it ends at the latest.
    pub last: Timestamp,
}

impl SessionDoc {
    fn of(session: &Session) -> Self {
        Self {
            name: session.name().to_string(),
            user: session.user.to_string(),
            from: session.from.map(|ip| ip.to_string()),
            created: session.created,
            used: session.used,
            ends: session.ends(),
            last: session.last(),
        }
    }
}

/// Who asks, and until when they are signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SignedIn)]
pub struct SignedInDoc {
    /// As events name them: `session:ann`, `local:ann`, `token/ci:ann`.
    pub name: String,
    /// The name of their account.
    pub user: String,
    /// What they may.
    pub role: Role,
    /// Their session; absent when they came with a token or over the local socket.
    pub session: Option<SessionDoc>,
}

impl SignedInDoc {
    fn of(caller: Caller, session: Option<&Session>) -> Self {
        Self {
            user: caller.account().to_owned(),
            role: caller.role.into(),
            name: caller.name,
            session: session.map(SessionDoc::of),
        }
    }
}

/// Who somebody says to be, and what shows it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInBody {
    /// Their name.
    pub name: String,
    /// Their password.
    #[schema(value_type = String)]
    pub password: Secret,
}

/// Signs in: the answer gives the browser a cookie (`HttpOnly`, `SameSite=Strict`, over TLS `Secure`), good for seven days at
/// most and for eight hours unused. A session that the browser had before ends. A page of another origin is refused. Who is wrong
/// too often has to wait (429, `Retry-After`), by name and by address.
#[utoipa::path(post, path = "/session", tag = "sessions", operation_id = "session_create", request_body = SignInBody,
    responses((status = 201, body = SignedInDoc, headers(("Set-Cookie" = String, description = "The session")))))]
pub(crate) async fn create(
    State(api): State<Api>,
    door: Door,
    before: Option<Extension<SignedIn>>,
    JsonBody(body): JsonBody<SignInBody>,
) -> Result<Response, Refused> {
    door.may_sign_in()?;
    if !passwords_open(&api) {
        let text = "passwords open no door here: sign in at the identity provider";
        return Err(Problem::new(Code::SignInRefused, text).into());
    }
    let password = text(&body.password)?;
    let who = Try {
        user: body.name.parse().ok(),
        from: door.from,
    };
    let shown = api.sign_ins.verify(&api, who, password).await?;
    let text = SessionText::fresh(rand::random());
    let sign_in = SignIn {
        id: text.digest(),
        shown,
        from: door.from,
        replaces: before.map(|Extension(SignedIn(session))| session.id),
    };
    let session = api.store.apply(sign_in).await.map_err(Problem::from)?;
    let session = session.map_err(Problem::from)?;
    let view = api.store.view();
    let user = view.user(&session.user).ok_or(SessionError::Changed);
    let user = user.map_err(Problem::from)?;
    let caller = Caller::session(user.name.as_str(), user.role);
    let signed_in = Json(SignedInDoc::of(caller, Some(&session)));
    let cookie = Cookie::Session.set(&text, door.secure);
    Ok(with_cookie(StatusCode::CREATED, cookie, signed_in))
}

/// Whether passwords open the door: a person can leave that to the identity provider alone.
pub(super) fn passwords_open(api: &Api) -> bool {
    let provider = api.oidc.as_ref();
    provider.is_none_or(|provider| provider.settings().passwords)
}

/// A password as it is shown; one that is too long for any fits none.
pub(super) fn text(password: &Secret) -> Result<String, Problem> {
    let text = password.expose();
    match text.len() <= MAX_BYTES {
        true => Ok(text.to_owned()),
        false => Err(crate::state::password::BadPassword::Long.into()),
    }
}

fn with_cookie(status: StatusCode, cookie: HeaderValue, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::SET_COOKIE, cookie);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Says who asks, and until when they are signed in.
#[utoipa::path(get, path = "/session", tag = "sessions", operation_id = "session_show",
    responses((status = 200, body = SignedInDoc)))]
pub(crate) async fn current(
    caller: Caller,
    session: Option<Extension<SignedIn>>,
) -> Json<SignedInDoc> {
    let session = session.map(|Extension(SignedIn(session))| session);
    Json(SignedInDoc::of(caller, session.as_deref()))
}

/// Signs out: the session ends, and the browser's cookie with it.
#[utoipa::path(delete, path = "/session", tag = "sessions", operation_id = "session_delete",
    responses((status = 204, headers(("Set-Cookie" = String, description = "Takes the session back")))))]
pub(crate) async fn sign_out(
    State(api): State<Api>,
    caller: Caller,
    door: Door,
    session: Option<Extension<SignedIn>>,
) -> Result<Response, Problem> {
    let Some(Extension(SignedIn(session))) = session else {
        let text = "you did not sign in: you came with a token, or over the local socket";
        return Err(Problem::new(Code::SessionNotFound, text));
    };
    let end = EndSession {
        name: session.name(),
        admin: false,
        by: caller.name,
    };
    api.store.apply(end).await??;
    let cookie = Cookie::Session.clear(door.secure);
    Ok(with_cookie(StatusCode::NO_CONTENT, cookie, ()))
}

/// Lists who is signed in: one's own sessions; all for admins.
#[utoipa::path(get, path = "/sessions", tag = "sessions", operation_id = "sessions_list", params(PageQuery),
    responses((status = 200, body = Page<SessionDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<SessionDoc>>, Problem> {
    let (view, now) = (api.store.view(), api.store.now());
    let good = view.sessions().filter(|s| s.stands(&view, now));
    page.cut(
        good.filter(|s| is_shown(s, &caller)),
        |s| format!("{} {}", s.user, s.name()),
        |s| SessionDoc::of(s),
    )
}

/// Shows a session.
#[utoipa::path(get, path = "/sessions/{session}", tag = "sessions", operation_id = "sessions_show",
    params(("session" = String, Path, description = "What it is called")),
    responses((status = 200, body = SessionDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
) -> Result<Json<SessionDoc>, Problem> {
    let name: SessionName = name.parse("session")?;
    let (view, now) = (api.store.view(), api.store.now());
    let known = view.session_named(&name);
    let known = known.filter(|s| s.stands(&view, now) && is_shown(s, &caller));
    let session = known.ok_or(SessionError::NotFound(name))?;
    Ok(Json(SessionDoc::of(session)))
}

/// Ends a session, from the next request on: one's own; any for admins.
#[utoipa::path(delete, path = "/sessions/{session}", tag = "sessions", operation_id = "sessions_revoke",
    params(("session" = String, Path, description = "What it is called")),
    responses((status = 204)))]
pub(crate) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
) -> Result<StatusCode, Problem> {
    let end = EndSession {
        name: name.parse("session")?,
        admin: caller.asker().admin,
        by: caller.name,
    };
    api.store.apply(end).await??;
    Ok(StatusCode::NO_CONTENT)
}

fn is_shown(session: &Session, caller: &Caller) -> bool {
    caller.asker().admin || session.user.is(&caller.name)
}
