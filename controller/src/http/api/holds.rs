//! Reservations of machines: who has one, and until when.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::machines::MachineDoc;
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        error::Problem,
        extract::{JsonBody, Segment, parse},
    },
    state::{
        Timestamp,
        hold::Hold,
        ops::{MachineRef, ReleaseMachine, ReserveMachine},
    },
};

/// Who has a machine for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Hold)]
pub struct HoldDoc {
    /// Who has it.
    pub holder: String,
    /// Until when.
    pub until: Timestamp,
    /// Who said so.
    pub by: String,
}

impl HoldDoc {
    pub(super) fn of(hold: &Hold) -> Self {
        Self {
            holder: hold.holder.to_string(),
            until: hold.until,
            by: hold.by.clone(),
        }
    }
}

/// A reservation to make.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReserveBody {
    /// For whom: a user's name; absent: for the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Until when, within a year.
    pub until: Timestamp,
}

/// Reserves a machine: until then others cannot deploy to it, activate, erase, restart, change or forget it. Who has it
/// may do so again, for longer or shorter, or hand it on.
#[utoipa::path(post, path = "/machines/{machine}/reserve", tag = "machines", operation_id = "machines_reserve", request_body = ReserveBody,
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn reserve(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
    JsonBody(body): JsonBody<ReserveBody>,
) -> Result<Json<MachineDoc>, Problem> {
    let reserve = ReserveMachine {
        machine: MachineRef(machine),
        holder: parse(body.holder.as_deref().unwrap_or(caller.account()), "holder")?,
        until: body.until,
        by: caller.name,
    };
    let machine = api.store.apply(reserve).await??;
    Ok(Json(MachineDoc::of(&machine, &api.store.view())))
}

/// Releases a machine before its time: for its holder, for who reserved it, for its owner, and for admins.
#[utoipa::path(post, path = "/machines/{machine}/release", tag = "machines", operation_id = "machines_release",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn release(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
) -> Result<Json<MachineDoc>, Problem> {
    let release = ReleaseMachine {
        machine: MachineRef(machine),
        by: caller.asker(),
    };
    let machine = api.store.apply(release).await??;
    Ok(Json(MachineDoc::of(&machine, &api.store.view())))
}
