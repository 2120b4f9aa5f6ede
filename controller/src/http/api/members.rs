//! Members: the machines whose agents have, or had, a link to this controller, and the verdict on each.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Page, PageQuery, machines,
    words::{Habitat, KeyKind, Level, MemberState},
};
use crate::{
    http::{
        Api,
        error::{Code, Problem},
        extract::{Params, Segment},
    },
    state::{Timestamp, View, member::Member},
};

/// A machine's agent in the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberDoc {
    /// The machine's name.
    pub name: String,
    /// The machine's id; also the node's.
    pub machine: String,
    /// The controller's verdict.
    pub state: MemberState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// What the agent runs in.
    pub habitat: Habitat,
    /// What the agent says it does now.
    pub doing: Option<String>,
    /// What the agent says went wrong last.
    pub error: Option<String>,
    /// Where its link comes from, `address:port`.
    pub address: String,
    /// Where it gossips; absent in leaf mode.
    pub gossip: Option<String>,
    /// How well its key was proved.
    pub level: Level,
    /// Which kind of key.
    pub key: KeyKind,
    /// The agent's version.
    pub agent: String,
    /// The boot it runs in.
    pub boot_id: String,
    /// Counts its hellos.
    pub generation: u32,
    /// When its last hello came.
    pub joined: Timestamp,
}

impl MemberDoc {
    fn of(member: &Member, view: &View, api: &Api) -> Self {
        let status = api
            .mesh()
            .ok()
            .and_then(|mesh| mesh.status(&member.machine));
        Self {
            name: view.machine_name(&member.machine),
            machine: member.machine.to_string(),
            state: member.state.into(),
            since: member.since,
            why: member.why.clone(),
            habitat: member.habitat.into(),
            doing: status.as_ref().map(|s| s.stage.clone()),
            error: status.and_then(|s| s.error),
            address: member.address.to_string(),
            gossip: member.gossips_at().map(|at| at.to_string()),
            level: member.level.into(),
            key: member.kind.into(),
            agent: member.agent.clone(),
            boot_id: member.boot_id.clone(),
            generation: member.generation,
            joined: member.joined,
        }
    }
}

/// Which members to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only members of this verdict.
    #[serde(default)]
    state: Option<MemberState>,
    /// Entries wanted, 1 to 1000.
    #[serde(default)]
    limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

/// Lists members, by machine.
#[utoipa::path(get, path = "/members", tag = "members", operation_id = "members_list", params(ListQuery),
    responses((status = 200, body = Page<MemberDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<MemberDoc>>, Problem> {
    let view = api.store.view();
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    page.cut(
        view.members()
            .filter(|m| query.state.is_none_or(|s| s == MemberState::from(m.state))),
        |m| m.machine.to_string(),
        |m| MemberDoc::of(m, &view, &api),
    )
}

/// Shows a member, named by its machine.
#[utoipa::path(get, path = "/members/{machine}", tag = "members", operation_id = "members_show",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MemberDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    Segment(machine): Segment,
) -> Result<Json<MemberDoc>, Problem> {
    let view = api.store.view();
    let machine = machines::find(&view, &machine)?;
    let none = || {
        let text = format!(
            "{} is no member: no agent of it ever had a link; start it into the management OS, or install the agent",
            machine.name
        );
        Problem::new(Code::MemberNotFound, text)
    };
    let member = view.member(&machine.id).ok_or_else(none)?;
    Ok(Json(MemberDoc::of(member, &view, &api)))
}
