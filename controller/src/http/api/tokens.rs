//! API tokens: what programs show in place of people.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Page, PageQuery,
    words::{Role, TokenStanding},
};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::Problem,
        extract::{JsonBody, Params, Segment, parse},
    },
    state::{
        Timestamp, View,
        api_token::{ApiToken, ApiTokenText, TokenName, TokenPrefix},
        ops::{ApiTokenError, CreateApiToken, RevokeApiToken, TokenMaker},
        revision::Subject,
    },
};

/// An API token. Its secret is not shown: only its digest is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ApiToken)]
pub struct TokenDoc {
    /// Its name.
    pub name: String,
    /// The start of its text, behind `enf_`.
    pub prefix: String,
    /// Where it stands.
    pub state: TokenStanding,
    /// What it may now: what it was made for, and never more than whose it is.
    pub role: Role,
    /// Whose it is; `root`: the site's.
    pub user: String,
    /// Only machines with these labels are within its reach; absent: all.
    #[serde(default)]
    pub labels: Option<String>,
    /// Who made it.
    pub by: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was used last, to a quarter of an hour.
    pub used: Option<Timestamp>,
}

impl TokenDoc {
    fn of(token: &ApiToken, view: &View, now: Timestamp) -> Self {
        Self {
            name: token.name.to_string(),
            prefix: token.prefix.to_string(),
            state: token.standing(view, now).into(),
            role: token.role(view).into(),
            user: token.account().to_owned(),
            labels: token.labels.as_ref().map(ToString::to_string),
            by: token.by.clone(),
            created: token.created,
            expires: token.expires,
            used: token.used,
        }
    }
}

/// A token to make.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = CreateApiToken)]
#[serde(deny_unknown_fields)]
pub struct CreateTokenBody {
    /// What to call it.
    pub name: String,
    /// What it may at most; `viewer` when absent. Never more than its maker and than whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whose it is to be; its maker's when absent. Only admins make tokens for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Only machines with these labels shall be within its reach: `pool=web,rack!=r1`; all when absent. Such a token is refused
    /// where more than single machines is at stake.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// How long it is good, seconds, from a minute to 366 days; 30 days when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

/// A token that was just made: its text is shown here and never again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CreatedApiToken)]
pub struct CreatedTokenDoc {
    /// What a program sends, as `Authorization: Bearer …`.
    pub token: String,
    /// What is kept of it.
    pub kept: TokenDoc,
}

/// Makes an API token. Its text is in this answer only. A token makes no tokens.
#[utoipa::path(post, path = "/tokens", tag = "tokens", operation_id = "tokens_create", request_body = CreateTokenBody,
    responses((status = 201, body = CreatedTokenDoc)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    JsonBody(body): JsonBody<CreateTokenBody>,
) -> Result<(StatusCode, Json<CreatedTokenDoc>), Problem> {
    let text = ApiTokenText::fresh(TokenPrefix::from_random(rand::random()), rand::random());
    let user = body.user.as_deref().map(|user| parse(user, "user"));
    let labels = body.labels.as_deref().map(|text| parse(text, "labels"));
    let create = CreateApiToken {
        prefix: text.prefix,
        name: parse(&body.name, "name")?,
        secret_sha256: text.digest(),
        role: body.role.map(Into::into),
        user: user.transpose()?,
        labels: labels.transpose()?,
        lives: body
            .seconds
            .map(|s| jiff::SignedDuration::from_secs(s.into())),
        maker: TokenMaker {
            by_token: caller.is_token(),
            caller: caller.name,
            role: caller.role,
        },
    };
    let token = api.store.apply(create).await??;
    let created = CreatedTokenDoc {
        token: text.reveal(),
        kept: TokenDoc::of(&token, &api.store.view(), api.store.now()),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Lists API tokens, also those that are over: one's own; all for admins.
#[utoipa::path(get, path = "/tokens", tag = "tokens", operation_id = "tokens_list", params(PageQuery),
    responses((status = 200, body = Page<TokenDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<TokenDoc>>, Problem> {
    let (view, now) = (api.store.view(), api.store.now());
    page.cut(
        view.api_tokens().filter(|t| is_shown(t, &caller)),
        |t| t.name.to_string(),
        |t| TokenDoc::of(t, &view, now),
    )
}

/// Shows an API token. Its text is not kept.
#[utoipa::path(get, path = "/tokens/{token}", tag = "tokens", operation_id = "tokens_show",
    params(("token" = String, Path, description = "Its name")),
    responses((status = 200, body = TokenDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
) -> Result<Tagged<TokenDoc>, Problem> {
    let name: TokenName = name.parse("token")?;
    let view = api.store.view();
    let known = view.api_token_named(&name);
    let token = known.filter(|t| is_shown(t, &caller));
    let token = token.ok_or(ApiTokenError::NotFound(name))?;
    let document = TokenDoc::of(token, &view, api.store.now());
    Ok(Tagged::new(&**token, document))
}

/// Takes an API token back, from the next request on. It stays in the list until its name is used again.
#[utoipa::path(delete, path = "/tokens/{token}", tag = "tokens", operation_id = "tokens_revoke",
    params(("token" = String, Path, description = "Its name"), IfMatch),
    responses((status = 204)))]
pub(crate) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    read: IfMatch,
) -> Result<StatusCode, Problem> {
    let name: TokenName = name.parse("token")?;
    let about = Subject::ApiToken(name.clone());
    let revoke = RevokeApiToken {
        name,
        admin: caller.asker().admin,
        by: caller.name,
    };
    read.apply(&api, about, revoke).await??;
    Ok(StatusCode::NO_CONTENT)
}

fn is_shown(token: &ApiToken, caller: &Caller) -> bool {
    caller.asker().admin || token.account() == caller.account()
}
