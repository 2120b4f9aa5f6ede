//! People's passwords: set and taken away, never shown.

use axum::extract::State;
use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{sessions::text, users::UserDoc};
use crate::{
    http::{
        Api,
        auth::Caller,
        conditional::Tagged,
        door::Door,
        error::Problem,
        extract::{JsonBody, Segment},
        sign_in::{Refused, Try},
    },
    state::{
        ops::{ClearPassword, PasswordError, PasswordSetter, SetPassword, UserError},
        password::{Password, check_password},
        user::UserName,
    },
};

/// A password to set.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPasswordBody {
    /// The new one: 15 characters at least.
    #[schema(value_type = String)]
    pub password: Secret,
    /// The one they have, when people change their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub present: Option<Secret>,
}

/// Sets a person's password: by it they sign in. Their sessions end. People set their own, and show the one they have; admins set
/// those of others. A token sets none.
#[utoipa::path(put, path = "/users/{user}/password", tag = "users", operation_id = "users_password_set",
    request_body = SetPasswordBody, params(("user" = String, Path, description = "Their name")),
    responses((status = 200, body = UserDoc)))]
pub(crate) async fn set(
    State(api): State<Api>,
    caller: Caller,
    door: Door,
    name: Segment,
    JsonBody(body): JsonBody<SetPasswordBody>,
) -> Result<Tagged<UserDoc>, Refused> {
    let name: UserName = name.parse("user")?;
    check_password(&name, body.password.expose()).map_err(Problem::from)?;
    let by = setter(&api, caller, &door, &name, body.present.as_ref()).await?;
    // What will be refused is not hashed first.
    by.may_set(&api.store.view(), &name)
        .map_err(Problem::from)?;
    known(&api, &name)?;
    let new = text(&body.password)?;
    let password = api.sign_ins.make(name, new).await?;
    let set = api.store.apply(SetPassword { password, by }).await;
    let user = set.map_err(Problem::from)?.map_err(Problem::from)?;
    Ok(Tagged::new(&user, UserDoc::of(&user)))
}

/// Takes a person's password away: they cannot sign in any more, and their sessions end.
#[utoipa::path(delete, path = "/users/{user}/password", tag = "users", operation_id = "users_password_delete",
    params(("user" = String, Path, description = "Their name")),
    responses((status = 200, body = UserDoc)))]
pub(crate) async fn clear(
    State(api): State<Api>,
    caller: Caller,
    door: Door,
    name: Segment,
) -> Result<Tagged<UserDoc>, Refused> {
    let name: UserName = name.parse("user")?;
    let by = setter(&api, caller, &door, &name, None).await?;
    let clear = api.store.apply(ClearPassword { name, by }).await;
    let user = clear.map_err(Problem::from)?.map_err(Problem::from)?;
    Ok(Tagged::new(&user, UserDoc::of(&user)))
}

/// Who sets it; the present password that they show is looked at, as when they sign in.
async fn setter(
    api: &Api,
    caller: Caller,
    door: &Door,
    name: &UserName,
    present: Option<&Secret>,
) -> Result<PasswordSetter, Refused> {
    let own = name.is(&caller.name) && !caller.is_token();
    let shown: Option<Password> = match present.filter(|_| own) {
        Some(present) => {
            let who = Try {
                user: Some(name.clone()),
                from: door.from,
            };
            Some(api.sign_ins.verify(api, who, text(present)?).await?)
        }
        None => None,
    };
    Ok(PasswordSetter {
        admin: caller.asker().admin,
        by_token: caller.is_token(),
        caller: caller.name,
        shown,
    })
}

fn known(api: &Api, name: &UserName) -> Result<(), Problem> {
    let view = api.store.view();
    match view.user(name) {
        Some(_) => Ok(()),
        None => Err(PasswordError::from(UserError::NotFound(name.clone())).into()),
    }
}
