//! Who calls, settled once for each request before anything else looks: a token that is shown, else whom the transport saw.

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
use tracing::debug;

use super::{
    Api,
    auth::{Caller, Role, challenged},
    error::{Code, Problem},
};
use crate::state::{
    api_token::{ApiToken, ApiTokenText, TokenPrefix, TokenStanding},
    ops::NoteTokenUse,
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
    let settled = match shown(request.headers()) {
        Ok(Some(text)) => by_token(&api, &text).await.map(Some),
        Ok(None) => by_transport(&api, request.extensions().get::<Caller>()),
        Err(problem) => Err(problem),
    };
    match settled {
        Ok(Some(caller)) => {
            request.extensions_mut().insert(caller);
        }
        Ok(None) => {}
        Err(problem) if problem.code == Code::TooManyRequests => {
            return too_many(problem, Duration::from_secs(1));
        }
        Err(problem) => return challenged(problem),
    }
    next.run(request).await
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
async fn by_token(api: &Api, text: &ApiTokenText) -> Result<Caller, Problem> {
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
    Ok(Caller::token(
        token.name.as_str(),
        token.account(),
        token.role(&view),
    ))
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
fn by_transport(api: &Api, seen: Option<&Caller>) -> Result<Option<Caller>, Problem> {
    let Some(caller) = seen else {
        return Ok(None);
    };
    let mut caller = caller.clone();
    let view = api.store.view();
    let user = caller.asker().user();
    if caller.role != Role::Admin
        && let Some(user) = user.and_then(|name| view.user(&name))
    {
        if user.disabled {
            let text = format!(
                "{} is disabled; an admin can run `enforcer users set {} --enable`",
                user.name, user.name
            );
            return Err(Problem::new(Code::Forbidden, text));
        }
        caller.role = user.role;
    }
    Ok(Some(caller))
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
