//! Boot helpers: agents that serve boot on their own segments, because a person said so.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::machines::{MachineDoc, on};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        error::Problem,
        extract::{JsonBody, Segment},
    },
    state::{
        Timestamp,
        helper::HelperRole,
        ops::{MachineRef, SetHelper},
    },
};

/// The role to give, or to take away.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HelperBody {
    /// Whether its agent shall serve boot on its segment.
    pub on: bool,
    /// Interfaces to serve, by name; empty: all that are up and have an IPv4 address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
}

/// A machine's role as a boot helper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Helper)]
pub struct HelperDoc {
    /// Since when.
    pub since: Timestamp,
    /// Who gave it.
    pub by: String,
    /// Interfaces it serves; empty: all.
    pub interfaces: Vec<String>,
    /// How its agent says it goes: `starting`, `serving`, `failed` or `off`; absent while its link is down, and in lists.
    pub state: Option<String>,
    /// The same in a sentence.
    pub text: Option<String>,
}

impl HelperDoc {
    pub(super) fn of(role: &HelperRole) -> Self {
        Self {
            since: role.since,
            by: role.by.clone(),
            interfaces: role.interfaces.clone(),
            state: None,
            text: None,
        }
    }
}

/// Adds what only the link knows: how the helper says it goes.
pub(super) fn with_report(mut document: MachineDoc, api: &Api) -> MachineDoc {
    let machine = document.id.parse().ok();
    let report = api.mesh().ok().zip(machine);
    let report = report.and_then(|(mesh, machine)| mesh.helping(&machine));
    if let (Some(helper), Some(report)) = (&mut document.helper, report) {
        helper.state = serde_json::to_value(report.state)
            .ok()
            .and_then(|word| word.as_str().map(ToOwned::to_owned));
        helper.text = Some(report.text);
    }
    document
}

/// Makes a machine's agent a boot helper, or ends that: it serves DHCP-proxy, TFTP and boot HTTP on its own segment, asks
/// the controller each question, and needs no DHCP relay. Only for agents on an installed OS that are well proved (t2) and
/// gossip.
#[utoipa::path(post, path = "/machines/{machine}/helper", tag = "machines", operation_id = "machines_helper", request_body = HelperBody,
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn set(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
    JsonBody(body): JsonBody<HelperBody>,
) -> Result<Json<MachineDoc>, Problem> {
    let mesh = api.mesh()?;
    let set = SetHelper {
        machine: MachineRef(machine.clone()),
        role: body.on.then_some(body.interfaces),
        by: caller.name.clone(),
    };
    let machine = api.store.apply(on(machine, &caller, set)).await???;
    mesh.tell_helper(&machine.id);
    let document = MachineDoc::of(&machine, &api.store.view());
    Ok(Json(with_report(document, &api)))
}
