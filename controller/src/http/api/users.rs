//! People: who they are, and what they may.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery, words::Role};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::Problem,
        extract::{JsonBody, Params, Segment, parse},
        scope::Scope,
    },
    state::{
        Timestamp,
        ops::{CreateUser, DeleteUser, SetUser, UserError},
        revision::Subject,
        user::{OidcLink, User, UserName},
    },
};

/// A person. A caller of the local socket is the one named like their account on the controller's host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = User)]
pub struct UserDoc {
    /// Their name: that of their account on the controller's host, or, where the host knows none, its number.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// An admin shut them out: they may nothing.
    pub disabled: bool,
    /// When their password was set; absent: they have none, and cannot sign in.
    pub password_set: Option<Timestamp>,
    /// Whether they sign in at the identity provider; absent: they do not.
    pub oidc: Option<OidcStanding>,
    /// Words about them.
    pub note: Option<String>,
    /// Who wrote them down.
    pub by: String,
    /// When.
    pub created: Timestamp,
}

/// Whether somebody signs in at the identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OidcStanding {
    /// Whoever signs in there by their name first is them.
    Awaited,
    /// They did.
    Bound,
}

impl OidcStanding {
    fn of(link: &OidcLink) -> Option<Self> {
        match link {
            OidcLink::None => None,
            OidcLink::Awaited => Some(Self::Awaited),
            OidcLink::Bound(_) => Some(Self::Bound),
        }
    }

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Awaited => "awaited",
            Self::Bound => "bound",
        }
    }
}

impl UserDoc {
    pub(super) fn of(user: &User) -> Self {
        Self {
            name: user.name.to_string(),
            role: user.role.into(),
            disabled: user.disabled,
            password_set: user.password_set,
            oidc: OidcStanding::of(&user.oidc),
            note: user.note.clone(),
            by: user.by.clone(),
            created: user.created,
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Who)]
pub struct WhoDoc {
    /// As events name them: `local:ann`, `token/ci:ann`, `session:ann`.
    pub name: String,
    /// The name of their account.
    pub user: String,
    /// What they may.
    pub role: Role,
    /// They came with a token for machines with these labels only; absent: for all.
    #[serde(default)]
    pub labels: Option<String>,
}

/// Says who asks, and what they may.
#[utoipa::path(get, path = "/whoami", tag = "users", operation_id = "whoami",
    responses((status = 200, body = WhoDoc)))]
pub(crate) async fn whoami(caller: Caller, scope: Scope) -> Json<WhoDoc> {
    Json(WhoDoc {
        labels: scope.labels().map(ToString::to_string),
        user: caller.account().to_owned(),
        role: caller.role.into(),
        name: caller.name,
    })
}

/// Lists people, by name. Members of the host's group `enforcer` who are not written down are operators and not listed.
#[utoipa::path(get, path = "/users", tag = "users", operation_id = "users_list", params(PageQuery),
    responses((status = 200, body = Page<UserDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<UserDoc>>, Problem> {
    let view = api.store.view();
    page.cut(view.users(), |u| u.name.to_string(), |u| UserDoc::of(u))
}

/// Shows a person.
#[utoipa::path(get, path = "/users/{user}", tag = "users", operation_id = "users_show",
    params(("user" = String, Path, description = "Their name")),
    responses((status = 200, body = UserDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    name: Segment,
) -> Result<Tagged<UserDoc>, Problem> {
    let name = name.parse("user")?;
    let view = api.store.view();
    let found = view.user(&name).ok_or(UserError::NotFound(name))?;
    Ok(Tagged::new(&**found, UserDoc::of(found)))
}

/// A person to write down.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUserBody {
    /// Their name: that of their account on the controller's host.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// Who signs in at the identity provider by their name first is them. Their role is then what the provider's claims make it.
    #[serde(default)]
    pub oidc: bool,
    /// Words about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Writes a person down: from their next request on they may what their role says, whatever their group says.
#[utoipa::path(post, path = "/users", tag = "users", operation_id = "users_create", request_body = CreateUserBody,
    responses((status = 201, body = UserDoc)))]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller,
    JsonBody(body): JsonBody<CreateUserBody>,
) -> Result<(StatusCode, Json<UserDoc>), Problem> {
    let create = CreateUser {
        name: parse(&body.name, "name")?,
        role: body.role.into(),
        oidc: body.oidc,
        note: body.note,
        by: caller.name,
    };
    let user = api.store.apply(create).await??;
    Ok((StatusCode::CREATED, Json(UserDoc::of(&user))))
}

/// What to change of a person; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// What they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether they are shut out: they may nothing, and their tokens neither; their sessions end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Whether who signs in at the identity provider by their name first is them; with `false` who was is so no more, and their
    /// sessions end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<bool>,
    /// Words about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Changes what a person may, from their next request on.
#[utoipa::path(patch, path = "/users/{user}", tag = "users", operation_id = "users_update", request_body = UserChange,
    params(("user" = String, Path, description = "Their name"), IfMatch),
    responses((status = 200, body = UserDoc)))]
pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    read: IfMatch,
    JsonBody(body): JsonBody<UserChange>,
) -> Result<Tagged<UserDoc>, Problem> {
    let set = SetUser {
        name: name.parse("user")?,
        role: body.role.map(Into::into),
        disabled: body.disabled,
        oidc: body.oidc,
        note: body.note,
        by: caller.name,
    };
    let about = Subject::User(set.name.clone());
    let user = read.apply(&api, about, set).await??;
    Ok(Tagged::new(&user, UserDoc::of(&user)))
}

/// Strikes a person out. They are again what the host says; what they own stays theirs; their tokens, their password and their
/// sessions are gone.
#[utoipa::path(delete, path = "/users/{user}", tag = "users", operation_id = "users_delete",
    params(("user" = String, Path, description = "Their name"), IfMatch),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    read: IfMatch,
) -> Result<StatusCode, Problem> {
    let name: UserName = name.parse("user")?;
    let about = Subject::User(name.clone());
    let delete = DeleteUser {
        name,
        by: caller.name,
    };
    read.apply(&api, about, delete).await??;
    Ok(StatusCode::NO_CONTENT)
}
