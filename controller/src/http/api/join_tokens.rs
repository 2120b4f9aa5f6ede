//! Join tokens: a person's word, given in advance, that whoever shows one is ours.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery, words::TokenState};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::Problem,
        extract::{JsonBody, Params, Segment},
    },
    state::{
        Timestamp, View,
        ops::{CreateToken, MachineRef, RevokeToken, TokenError},
        revision::Subject,
        trust::{
            Digest,
            token::{JoinToken, TokenId, TokenScope, TokenText},
        },
    },
};

/// A join token. Its secret is not shown: only its digest is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = JoinToken)]
pub struct JoinTokenDoc {
    /// Its name.
    pub id: String,
    /// Where it stands.
    pub state: TokenState,
    /// The machine it is for; absent: any.
    pub machine: Option<String>,
    /// Who made it.
    pub by: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// The machine that used it.
    pub used_by: Option<String>,
}

impl JoinTokenDoc {
    fn of(token: &JoinToken, view: &View, now: Timestamp) -> Self {
        Self {
            id: token.id.to_string(),
            state: token.state(now).into(),
            machine: match &token.scope {
                TokenScope::Any => None,
                TokenScope::Machine { machine } => Some(view.machine_name(machine)),
            },
            by: token.by.clone(),
            created: token.created,
            expires: token.expires,
            used_by: token
                .used_by
                .as_ref()
                .map(|used| view.machine_name(&used.machine)),
        }
    }
}

/// A token to make.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = CreateJoinToken)]
#[serde(deny_unknown_fields)]
pub struct CreateBody {
    /// Only for this machine: name, id or MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// How long it is good, seconds, from a minute to seven days; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
}

/// A token that was just made: its text is shown here and never again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = CreatedJoinToken)]
pub struct CreatedDoc {
    /// The text to give to the machine.
    pub token: String,
    /// The line to type on the machine, as root.
    pub line: String,
    /// What is kept of it.
    pub kept: JoinTokenDoc,
}

/// Makes a join token. Its text is in this answer only.
#[utoipa::path(post, path = "/join-tokens", tag = "join-tokens", operation_id = "join_tokens_create", request_body = CreateBody,
    responses((status = 201, body = CreatedDoc)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<(StatusCode, Json<CreatedDoc>), Problem> {
    let mesh = api.mesh()?;
    let id = TokenId::from_random(rand::random());
    let text = TokenText::fresh(id.clone(), rand::random(), &Digest(mesh.ca().sha256()));
    let create = CreateToken {
        id,
        secret_sha256: text.digest(),
        machine: body.machine.map(MachineRef),
        lives: body
            .seconds
            .map(|s| jiff::SignedDuration::from_secs(s.into())),
        by: caller.name,
    };
    let token = api.store.apply(create).await??;
    let controllers: Vec<String> = mesh
        .controllers()
        .iter()
        .map(|at| format!(" --controller {at}"))
        .collect();
    let text = text.reveal();
    let created = CreatedDoc {
        line: format!("enforcer-agent join {text}{}", controllers.concat()),
        token: text,
        kept: JoinTokenDoc::of(&token, &api.store.view(), api.store.now()),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// Lists join tokens, also spent ones.
#[utoipa::path(get, path = "/join-tokens", tag = "join-tokens", operation_id = "join_tokens_list", params(PageQuery),
    responses((status = 200, body = Page<JoinTokenDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<JoinTokenDoc>>, Problem> {
    let (view, now) = (api.store.view(), api.store.now());
    page.cut(
        view.tokens(),
        |t| t.id.to_string(),
        |t| JoinTokenDoc::of(t, &view, now),
    )
}

/// Shows a join token. Its text is not kept.
#[utoipa::path(get, path = "/join-tokens/{id}", tag = "join-tokens", operation_id = "join_tokens_show",
    params(("id" = String, Path, description = "Its name")),
    responses((status = 200, body = JoinTokenDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    id: Segment,
) -> Result<Tagged<JoinTokenDoc>, Problem> {
    let id: TokenId = id.parse("join token")?;
    let view = api.store.view();
    let missing = || TokenError::NotFound(id.to_string());
    let token = view.token(&id).ok_or_else(missing)?;
    let document = JoinTokenDoc::of(token, &view, api.store.now());
    Ok(Tagged::new(&**token, document))
}

/// Takes a join token back. A key that was enrolled by it stays.
#[utoipa::path(delete, path = "/join-tokens/{id}", tag = "join-tokens", operation_id = "join_tokens_delete",
    params(("id" = String, Path, description = "Its name"), IfMatch),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    id: Segment,
    read: IfMatch,
) -> Result<StatusCode, Problem> {
    let id: TokenId = id.parse("join token")?;
    let about = Subject::JoinToken(id.clone());
    read.apply(&api, about, RevokeToken(id)).await??;
    Ok(StatusCode::NO_CONTENT)
}
