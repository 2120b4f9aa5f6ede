//! A person's word on machines: accept, refuse, decide between two claims, revoke.

use axum::extract::State;
use mesh_proto::pairing::PairingCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::machines::{self, MachineDoc};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        error::Problem,
        extract::{JsonBody, Segment, parse},
    },
    state::ops::{Keep as KeepState, MachineRef},
};

/// Accepting a machine.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptBody {
    /// The code on the machine's screen, when somebody compared it: the key then counts as well proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// Accepts a machine, and with it the key that waits: from now on its disk may be written to.
#[utoipa::path(post, path = "/machines/{machine}/accept", tag = "machines", operation_id = "machines_accept", request_body = AcceptBody,
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn accept(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
    JsonBody(body): JsonBody<AcceptBody>,
) -> Result<Json<MachineDoc>, Problem> {
    let code: Option<PairingCode> = body.code.map(|c| parse(&c, "code")).transpose()?;
    let accepted = api
        .mesh()?
        .accept(MachineRef(machine), code, &caller.name)
        .await??;
    Ok(Json(MachineDoc::of(&accepted, &api.store.view())))
}

/// Says that a machine is not ours: what waits is turned away, its keys end at once, and it is only seen.
#[utoipa::path(post, path = "/machines/{machine}/refuse", tag = "machines", operation_id = "machines_refuse",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn refuse(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
) -> Result<Json<MachineDoc>, Problem> {
    api.mesh()?
        .refuse(MachineRef(machine.clone()), &caller.name)
        .await??;
    now(&api, &machine)
}

/// Who stays when two claim to be one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// The one that was there.
    Enrolled,
    /// The one that came; it takes the place when it asks again.
    Newcomer,
}

/// The end of a dispute.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveBody {
    /// Who stays.
    pub keep: Keep,
}

/// Ends a dispute about which machine is the one.
#[utoipa::path(post, path = "/machines/{machine}/resolve", tag = "machines", operation_id = "machines_resolve", request_body = ResolveBody,
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn resolve(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
    JsonBody(body): JsonBody<ResolveBody>,
) -> Result<Json<MachineDoc>, Problem> {
    let keep = match body.keep {
        Keep::Enrolled => KeepState::Enrolled,
        Keep::Newcomer => KeepState::Newcomer,
    };
    api.mesh()?
        .resolve(MachineRef(machine.clone()), keep, &caller.name)
        .await??;
    now(&api, &machine)
}

/// Revokes all keys of a machine: its links close, and the group key of the gossip changes. It may enrol anew.
#[utoipa::path(post, path = "/machines/{machine}/revoke", tag = "machines", operation_id = "machines_revoke",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
) -> Result<Json<MachineDoc>, Problem> {
    let reason = format!("{} said so", caller.name);
    api.mesh()?
        .revoke(MachineRef(machine.clone()), reason)
        .await??;
    now(&api, &machine)
}

/// The machine as it is now.
fn now(api: &Api, machine: &str) -> Result<Json<MachineDoc>, Problem> {
    let view = api.store.view();
    Ok(Json(MachineDoc::of(
        &*machines::find(&view, machine)?,
        &view,
    )))
}
