//! Who calls, settled once for each request before anything else looks: a token that is shown, else whom the transport saw, else
//! who signed in with the browser that asks.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use ipxe_net::Quota;
use tracing::{debug, info};

use super::{
    Api, audited,
    auth::{Caller, Role, challenged},
    cookie::Cookie,
    door::Door,
    error::{Code, Problem},
    lasting::{Shown, while_good},
    scope::Scope,
};
use crate::state::{
    api_token::{ApiToken, ApiTokenText, TokenPrefix, TokenStanding},
    ops::{NoteSessionUse, NoteTokenUse},
    session::{Session, SessionText},
};

/// Requests per second with one token: a page of the web app needs a dozen, a loop of `curl` some tens.
const PER_TOKEN: u32 = 100;

/// How often each token was shown.
#[derive(Debug, Clone)]
pub(super) struct TokenRate(Arc<Mutex<Quota<TokenPrefix>>>);

impl Default for TokenRate {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Quota::new(PER_TOKEN))))
    }
}

impl TokenRate {
    fn admits(&self, token: TokenPrefix) -> bool {
        let mut quota = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        quota.admit(token, Instant::now())
    }
}

/// Puts who calls into the request's extensions, or refuses.
pub(super) async fn known(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let seen = request.extensions().get::<Caller>().cloned();
    let door = Door::of(request.extensions(), request.headers());
    let all = Scope::default();
    let settled = match (shown(request.headers()), seen) {
        (Ok(Some(text)), _) => by_token(&api, &text).await.map(Some),
        (Ok(None), Some(seen)) => by_transport(&api, seen).map(|(c, by)| Some((c, by, all))),
        (Ok(None), None) => {
            let cookie = Cookie::Session.shown(request.headers(), door.secure);
            match by_session(&api, cookie, &door, !request.method().is_safe()).await {
                Ok(Some((caller, session))) => {
                    let by = Shown::Session(session.id);
                    request.extensions_mut().insert(SignedIn(session));
                    Ok(Some((caller, by, all)))
                }
                Ok(None) => Ok(None),
                Err(problem) => Err(problem),
            }
        }
        (Err(problem), _) => Err(problem),
    };
    match settled {
        Ok(Some((caller, by, scope))) => {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(scope);
            while_good(&api.store, by, next.run(request).await)
        }
        Ok(None) => next.run(request).await,
        Err(problem) if problem.code == Code::TooManyRequests => {
            too_many(problem, Duration::from_secs(1))
        }
        Err(problem) => {
            audited::refused(&api, request, &problem).await;
            challenged(problem)
        }
    }
}

/// The session that a request came with.
#[derive(Debug, Clone)]
pub(crate) struct SignedIn(pub(crate) Arc<Session>);

/// Who signed in with this browser, as long as their session is good. What ended is as good as no cookie: where nobody is asked
/// who they are it is in nobody's way, and elsewhere they are told to sign in.
async fn by_session(
    api: &Api,
    cookie: Option<SessionText>,
    door: &Door,
    changes: bool,
) -> Result<Option<(Caller, Arc<Session>)>, Problem> {
    let (view, now) = (api.store.view(), api.store.now());
    let session = cookie.and_then(|text| view.session(&text.digest()).cloned());
    let Some(session) = session.filter(|session| session.stands(&view, now)) else {
        return Ok(None);
    };
    let Some(user) = view.user(&session.user) else {
        return Ok(None);
    };
    if changes {
        let told = |_: &Problem| info!(user = %user.name, "a change with somebody's session did not come from a page of ours");
        door.may_change().inspect_err(told)?;
    }
    if session.is_use_to_note(now)
        && let Err(error) = api.store.apply(NoteSessionUse(session.id)).await
    {
        debug!(%error, user = %session.user, "that a session is used could not be noted");
    }
    let caller = Caller::session(user.name.as_str(), user.role);
    Ok(Some((caller, session)))
}

/// The token that a request shows (RFC 6750 §2.1).
fn shown(headers: &HeaderMap) -> Result<Option<ApiTokenText>, Problem> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let (scheme, text) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or_else(|| stranger("the header Authorization is none; send `Bearer` and a token"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(stranger(
            "only tokens are taken: send `Authorization: Bearer` and one of `enforcer tokens create`",
        ));
    }
    // What is no token of ours is answered as one that we do not know: an attacker learns nothing from the difference.
    text.trim().parse().map(Some).map_err(|_| unknown())
}

/// Who shows a token: it as long as it is good, with what it may now.
async fn by_token(api: &Api, text: &ApiTokenText) -> Result<(Caller, Shown, Scope), Problem> {
    let (view, now) = (api.store.view(), api.store.now());
    let known = view.api_token(text.prefix);
    let token = known
        .filter(|token| token.secret_sha256.is(&text.digest()))
        .ok_or_else(unknown)?;
    if let Some(why) = refusal(token, token.standing(&view, now)) {
        return Err(stranger(&why));
    }
    if !api.token_rate.admits(token.prefix) {
        let text = format!(
            "the token {} was shown more than {PER_TOKEN} times in a second; wait a second",
            token.name
        );
        return Err(Problem::new(Code::TooManyRequests, text));
    }
    if token.is_use_to_note(now)
        && let Err(error) = api.store.apply(NoteTokenUse(token.prefix)).await
    {
        debug!(%error, token = %token.name, "that a token is used could not be noted");
    }
    let caller = Caller::token(token.name.as_str(), token.account(), token.role(&view));
    let scope = Scope::of(token.labels.as_ref());
    Ok((caller, Shown::Token(token.prefix), scope))
}

/// Why a token is not good any more: told only to who knows its secret.
fn refusal(token: &ApiToken, standing: TokenStanding) -> Option<String> {
    let (name, user) = (&token.name, token.account());
    match standing {
        TokenStanding::Good => None,
        TokenStanding::Expired => Some(format!(
            "the token {name} ended at {}; make a new one with `enforcer tokens create`",
            token.expires
        )),
        TokenStanding::Revoked => Some(format!(
            "the token {name} was revoked; ask for a new one, or make it with `enforcer tokens create`"
        )),
        TokenStanding::NoUser => Some(format!(
            "the token {name} is {user}'s, who is disabled; ask an admin"
        )),
    }
}

/// What is written down about a caller counts, from the next request on, over the role that their group gives them. Whom
/// the host itself says to be an admin (root, the daemon's own user) stays one: nobody can lock the site's door from inside.
fn by_transport(api: &Api, mut caller: Caller) -> Result<(Caller, Shown), Problem> {
    let Some(name) = caller.asker().user().filter(|_| caller.role != Role::Admin) else {
        return Ok((caller, Shown::Host));
    };
    if let Some(user) = api.store.view().user(&name) {
        if user.disabled {
            let text = format!(
                "{} is disabled; an admin can run `enforcer users set {} --enable`",
                user.name, user.name
            );
            return Err(Problem::new(Code::Forbidden, text));
        }
        caller.role = user.role;
    }
    Ok((caller, Shown::Account(name)))
}

fn unknown() -> Problem {
    stranger("the token is not known here; `enforcer tokens list` shows those that are")
}

fn stranger(why: &str) -> Problem {
    Problem::new(Code::Unauthenticated, why)
}

/// A refusal that says when to come again.
pub(super) fn too_many(problem: Problem, wait: Duration) -> Response {
    let mut response = problem.into_response();
    // Whole seconds (RFC 9110 §10.2.3), and never too few.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}
