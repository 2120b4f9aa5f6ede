//! Signing in at the identity provider: a browser goes there, comes back with a code, and gets the session that a password gives.

mod back;
mod page;

use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use utoipa::{IntoParams, ToSchema};

use super::sessions::passwords_open;
use crate::{
    http::{
        Api,
        answer::Json,
        cookie::Cookie,
        door::Door,
        error::{Code, Problem},
        extract::Params,
        known::SignedIn,
        local::is_account,
        sign_in::{Begun, Refused},
    },
    metrics::Counter,
    oidc::{Oidc, OidcSettings, attempt::Attempt, claims::Claims},
    state::{
        ops::{NewSession, SignInByOidc},
        session::SessionText,
        trust::Digest,
        user::Identity,
    },
};

/// Longest code or state that is looked at, characters: the longest honest codes have some kilobytes.
const MAX_SHOWN: usize = 8 << 10;

/// How people sign in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = SignInWays)]
pub struct WaysDoc {
    /// With a password: `POST /session`.
    pub password: bool,
    /// At an identity provider; absent when there is none.
    pub oidc: Option<OidcWayDoc>,
}

/// An identity provider (OpenID Connect).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OidcWay)]
pub struct OidcWayDoc {
    /// What it is called: "Sign in with …".
    pub name: String,
    /// Where a browser goes; add `?return=` and a path to come back to.
    pub url: String,
}

/// Says how people sign in here.
#[utoipa::path(get, path = "/sign-in", tag = "sessions", operation_id = "sign_in_ways",
    responses((status = 200, body = WaysDoc)))]
pub(crate) async fn ways(State(api): State<Api>) -> Json<WaysDoc> {
    let way = |oidc: &Oidc| OidcWayDoc {
        name: oidc.settings().name.clone(),
        url: oidc.settings().login_url(),
    };
    Json(WaysDoc {
        password: passwords_open(&api),
        oidc: api.oidc.as_ref().map(way),
    })
}

/// Where a browser goes once its person has signed in.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LoginQuery {
    /// A path of the controller's own, such as `/#/machines`; `/` when absent.
    #[serde(rename = "return")]
    pub back: Option<String>,
}

/// Sends a browser to the identity provider. It gets a cookie that shows, when it comes back within ten minutes, that it went from
/// here. A browser is told of refusals on a page.
#[utoipa::path(get, path = "/oidc/login", tag = "sessions", operation_id = "oidc_login", params(LoginQuery),
    responses((status = 302, headers(("Location" = String, description = "The provider"), ("Set-Cookie" = String, description = "The attempt")))))]
pub(crate) async fn login(
    State(api): State<Api>,
    door: Door,
    headers: HeaderMap,
    Params(query): Params<LoginQuery>,
) -> Response {
    let begun = begin(&api, &door, query.back).await;
    begun.unwrap_or_else(|refused| page::refused(&headers, refused))
}

async fn begin(api: &Api, door: &Door, back: Option<String>) -> Result<Response, Refused> {
    let oidc = api.oidc()?;
    let back = back::path(back.as_deref().unwrap_or("/")).map_err(Problem::from)?;
    let attempt = Attempt::fresh(rand::random());
    let url = oidc.url(&attempt).await.map_err(|error| {
        warn!(%error, "the identity provider cannot be used");
        Problem::from(error)
    });
    let url = url.inspect_err(|problem| api.sign_ins.refused_elsewhere(api, door.from, problem))?;
    let text = SessionText::fresh(rand::random());
    let begun = Begun {
        attempt,
        browser: text.digest(),
        back,
    };
    api.sign_ins.begin_elsewhere(begun, door.from)?;
    let mut response = StatusCode::FOUND.into_response();
    let headers = response.headers_mut();
    let location = HeaderValue::try_from(url);
    let wrong = |_| Problem::new(Code::Internal, "the provider's address is no header");
    headers.insert(header::LOCATION, location.map_err(wrong)?);
    headers.insert(header::SET_COOKIE, Cookie::Begun.set(&text, door.secure));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// With what the identity provider sends a browser back. Providers add words of their own.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CallbackQuery {
    /// What an ID token is given for.
    pub code: Option<String>,
    /// What the browser was sent with.
    pub state: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
    /// Who sends it (RFC 9207).
    pub iss: Option<String>,
}

/// Takes a browser back from the identity provider, and signs its person in: the answer gives it the cookie of a session, as
/// `POST /session` does, and a page that goes on to where it came from. A browser is told of refusals on a page too.
#[utoipa::path(get, path = "/oidc/callback", tag = "sessions", operation_id = "oidc_callback", params(CallbackQuery),
    responses((status = 200, body = String, content_type = "text/html", headers(("Set-Cookie" = String, description = "The session")))))]
pub(crate) async fn callback(
    State(api): State<Api>,
    door: Door,
    headers: HeaderMap,
    before: Option<Extension<SignedIn>>,
    Params(query): Params<CallbackQuery>,
) -> Response {
    let shown = Cookie::Begun.shown(&headers, door.secure);
    let before = before.map(|Extension(SignedIn(session))| session.id);
    let ended = end(&api, &door, shown, before, query).await;
    let mut response = match ended {
        Ok(response) => response,
        Err(problem) => {
            api.sign_ins.refused_elsewhere(&api, door.from, &problem);
            page::refused(&headers, problem.into())
        }
    };
    // What was begun is over, however it ended.
    response
        .headers_mut()
        .append(header::SET_COOKIE, Cookie::Begun.clear(door.secure));
    response
}

async fn end(
    api: &Api,
    door: &Door,
    shown: Option<SessionText>,
    replaces: Option<Digest>,
    query: CallbackQuery,
) -> Result<Response, Problem> {
    let oidc = api.oidc()?;
    let bounded = |text: &String| text.len() <= MAX_SHOWN;
    let state = query.state.filter(bounded).unwrap_or_default();
    let begun = api
        .sign_ins
        .end_elsewhere(&state, shown.map(|s| s.digest()));
    let begun = begun.ok_or_else(|| not_begun(oidc.settings()))?;
    if let Some(error) = query.error {
        return Err(denied(&error));
    }
    let code = query
        .code
        .filter(bounded)
        .ok_or_else(|| denied("no code"))?;
    let (named, now) = (query.iss.as_deref(), api.store.now());
    let claims = oidc.claims(&begun.attempt, &code, named, now).await;
    let claims = claims.map_err(|error| {
        warn!(%error, "the identity provider did not say who signed in");
        Problem::from(error)
    })?;
    let text = SessionText::fresh(rand::random());
    let browser = NewSession {
        id: text.digest(),
        from: door.from,
        replaces,
    };
    let sign_in = of_claims(oidc.settings(), &claims, browser)?;
    let session = api.store.apply(sign_in).await??;
    api.metrics.count(Counter::SignIns, "good-oidc");
    info!(user = %session.user, "signed in at the identity provider");
    Ok(page::goes_on(
        &begun.back,
        Cookie::Session.set(&text, door.secure),
    ))
}

/// Who signs in, by what the provider says and by what the configuration makes of it.
fn of_claims(
    settings: &OidcSettings,
    claims: &Claims,
    browser: NewSession,
) -> Result<SignInByOidc, Problem> {
    if !claims.is_of(&settings.email_domains) {
        let domains = settings.email_domains.join(", ");
        let text = format!(
            "only people with a verified e-mail address of these domains are let in: {domains}; an admin changes that with `oidc.email_domains`"
        );
        return Err(Problem::new(Code::OidcNoAccess, text));
    }
    let name = claims.name(&settings.name_claim);
    Ok(SignInByOidc {
        identity: Identity {
            issuer: settings.issuer.clone(),
            subject: claims.subject().to_owned(),
        },
        role: claims.role(&settings.roles),
        create: settings.create_users,
        is_account: name.as_ref().is_some_and(|name| is_account(name.as_str())),
        name,
        browser,
    })
}

fn not_begun(settings: &OidcSettings) -> Problem {
    let text = format!(
        "this browser did not begin to sign in here, or did so more than ten minutes ago, or came back already; begin again, at {}",
        settings.public_url
    );
    Problem::new(Code::OidcState, text)
}

/// The provider's word for why there is no code.
fn denied(word: &str) -> Problem {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "_-. ".contains(*c);
    let word: String = word.chars().filter(plain).take(64).collect();
    let text = format!(
        "the identity provider let nobody in: it says '{word}'; try again, or ask who runs it"
    );
    Problem::new(Code::OidcDenied, text)
}
