//! Members: the machines whose agents have, or had, a link to this controller, the members of providers, and the verdict on each.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Page, PageQuery, machines,
    search::{has_labels, labels},
    words::{Habitat, KeyKind, Level, MemberState},
};
use crate::{
    http::{
        Api,
        answer::Json,
        error::{Code, Problem},
        extract::{Params, Segment},
        scope::Scope,
    },
    ordered::Gather as _,
    state::{Timestamp, View, machine::MachineId, member::Member, provider::ProviderMember},
};

/// The source of members that have an agent of ours.
const MESH: &str = "mesh";

/// A machine's agent in the mesh, or a member of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Member)]
pub struct MemberDoc {
    /// The machine's name; the member's at its provider, when it describes no machine.
    pub name: String,
    /// Who knows it: `mesh`, or a provider such as `serf lab`.
    #[serde(default)]
    pub source: String,
    /// The machine's id; also the node's. Absent: its tags describe no machine.
    pub machine: Option<String>,
    /// Its name at its provider; absent in the mesh.
    #[serde(default)]
    pub node: Option<String>,
    /// Its tags at its provider.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The controller's verdict.
    pub state: MemberState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// What the agent runs in.
    pub habitat: Option<Habitat>,
    /// What the agent says it does now.
    pub doing: Option<String>,
    /// What the agent says went wrong last.
    pub error: Option<String>,
    /// Where its link comes from, `address:port`; its address, as a provider says.
    pub address: Option<String>,
    /// Where it gossips; absent in leaf mode.
    pub gossip: Option<String>,
    /// How well its key was proved; a provider's member has none.
    pub level: Option<Level>,
    /// Which kind of key.
    pub key: Option<KeyKind>,
    /// The agent's version.
    pub agent: Option<String>,
    /// The boot it runs in.
    pub boot_id: Option<String>,
    /// Counts its hellos.
    pub generation: Option<u32>,
    /// When its last hello came; when a provider told of it first.
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
            source: MESH.to_owned(),
            machine: Some(member.machine.to_string()),
            node: None,
            tags: BTreeMap::new(),
            state: member.state.into(),
            since: member.since,
            why: member.why.clone(),
            habitat: Some(member.habitat.into()),
            doing: status.as_ref().map(|s| s.stage.clone()),
            error: status.and_then(|s| s.error),
            address: Some(member.address.to_string()),
            gossip: member.gossips_at().map(|at| at.to_string()),
            level: Some(member.level.into()),
            key: Some(member.kind.into()),
            agent: Some(member.agent.clone()),
            boot_id: Some(member.boot_id.clone()),
            generation: Some(member.generation),
            joined: member.joined,
        }
    }

    fn provided(member: &ProviderMember, view: &View) -> Self {
        let machine = member.machine.as_ref().and_then(|id| view.machine(id));
        let tags = member.tags.iter();
        Self {
            name: machine.map_or_else(|| member.node.to_string(), |m| m.name.to_string()),
            source: member.source(),
            machine: machine.map(|m| m.id.to_string()),
            node: Some(member.node.to_string()),
            tags: tags.map(|(n, v)| (n.to_owned(), v.to_owned())).gather(),
            state: member.state.into(),
            since: member.since,
            why: member.why.clone(),
            habitat: None,
            doing: None,
            error: None,
            address: member.address.map(|a| a.to_string()),
            gossip: None,
            level: None,
            key: None,
            agent: None,
            boot_id: None,
            generation: None,
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
    /// Only those whose machine's labels fit: `pool=web`, `rack!=r1`, `!spare`; repeat it for more.
    #[serde(default)]
    #[param(value_type = Option<Vec<String>>, style = Form, explode)]
    label: Option<String>,
    /// Only entries in which all these words stand, in any case: names, addresses, texts.
    #[serde(default)]
    q: Option<String>,
    /// Entries wanted, 1 to 1000.
    #[serde(default)]
    limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

/// One of either kind.
#[derive(Clone, Copy)]
enum One<'v> {
    Ours(&'v Member),
    Theirs(&'v ProviderMember),
}

impl One<'_> {
    fn state(&self) -> MemberState {
        match self {
            Self::Ours(m) => m.state.into(),
            Self::Theirs(m) => m.state.into(),
        }
    }

    fn machine(&self) -> Option<&MachineId> {
        match self {
            Self::Ours(m) => Some(&m.machine),
            Self::Theirs(m) => m.machine.as_ref(),
        }
    }

    /// Ours first: machines' ids are of hex digits.
    fn key(&self) -> String {
        match self {
            Self::Ours(m) => m.machine.to_string(),
            Self::Theirs(m) => format!("provider {} {}", m.provider, m.node),
        }
    }
}

/// Lists members: those of the mesh by machine, then those of each provider.
#[utoipa::path(get, path = "/members", tag = "members", operation_id = "members_list", params(ListQuery),
    responses((status = 200, body = Page<MemberDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<MemberDoc>>, Problem> {
    let view = api.store.view();
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
        q: query.q,
    };
    let labels = labels(query.label.as_deref())?;
    let labelled = |m: &One<'_>| {
        let fits = |id| has_labels(labels.as_ref(), id, &view);
        let labelled = labels.is_none() || m.machine().is_some_and(fits);
        labelled && scope.reaches(m.machine(), &view)
    };
    let theirs = view.provider_members().map(|m| One::Theirs(m));
    let all = view.members().map(|m| One::Ours(m)).chain(theirs);
    page.cut(
        all.filter(|m| query.state.is_none_or(|s| s == m.state()) && labelled(m)),
        One::key,
        |m| match m {
            One::Ours(m) => MemberDoc::of(m, &view, &api),
            One::Theirs(m) => MemberDoc::provided(m, &view),
        },
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
    if let Some(member) = view.member(&machine.id) {
        return Ok(Json(MemberDoc::of(member, &view, &api)));
    }
    let theirs = view.provider_members_of(&machine.id).next();
    let member = theirs.ok_or_else(none)?;
    Ok(Json(MemberDoc::provided(member, &view)))
}
