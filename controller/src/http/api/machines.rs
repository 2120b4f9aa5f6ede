//! Machines: known ones, registering, inspecting, forgetting. What people change about one is in [`update`].

mod document;
pub mod sites;
pub mod update;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use self::document::{ActiveDoc, MachineDoc, MemberWord, PendingDoc, ProviderWord};
use self::sites::MachineListDoc;
use super::{
    Page, PageQuery, helpers,
    search::{has_labels, labels},
    words::Standing,
};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::{Code, Problem},
        extract::{JsonBody, Params, Segment, parse},
        scope::Scope,
    },
    state::{
        View,
        label::Selector,
        machine::{Machine, MachineId},
        ops::{
            DeleteMachine, InspectMachine, MachineError, MachineRef, OnMachine, RegisterMachine,
        },
        revision::Subject,
        user::UserName,
    },
};

/// Which machines to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only machines of this standing.
    #[serde(default)]
    state: Option<Standing>,
    /// Only machines whose labels fit: `pool=web,rack!=r1`.
    #[serde(default)]
    selector: Option<String>,
    /// Only machines of this owner.
    #[serde(default)]
    owner: Option<String>,
    /// Machines of this site, or of `all`: ours, and what joined sites show of theirs. Then without other filters.
    #[serde(default)]
    site: Option<String>,
    /// Only those whose labels fit: `pool=web`, `rack!=r1`, `!spare`; repeat it for more.
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

/// Lists machines, by name.
///
/// With `site` they are those of other sites too, asked now and within 1.5 s: rows that can only be looked at, and which
/// sites did not answer.
#[utoipa::path(get, path = "/machines", tag = "machines", operation_id = "machines_list", params(ListQuery),
    responses((status = 200, body = MachineListDoc)))]
pub(crate) async fn list(
    State(api): State<Api>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<MachineListDoc>, Problem> {
    if let Some(site) = &query.site {
        scope.whole()?;
        let filters = [&query.selector, &query.owner, &query.label, &query.q];
        if query.state.is_some() || filters.iter().any(|f| f.is_some()) {
            let text = "site: other filters are for machines of this site only";
            return Err(Problem::new(Code::BadValue, text));
        }
        let page = (query.limit, query.cursor.clone());
        let listed = sites::list(&api, site, page).await?;
        return Ok(Json(MachineListDoc::Sites(listed)));
    }
    let Json(page) = list_here(&api, &scope, query)?;
    Ok(Json(MachineListDoc::Here(page)))
}

fn list_here(
    api: &Api,
    scope: &Scope,
    query: ListQuery,
) -> Result<Json<Page<MachineDoc>>, Problem> {
    let view = api.store.view();
    let selector = query.selector.map(|s| parse(&s, "selector")).transpose()?;
    let labels = labels(query.label.as_deref())?;
    let wanted = |m: &&std::sync::Arc<Machine>| {
        let owner = m.owner.as_ref().map(UserName::as_str);
        query.state.is_none_or(|s| s == Standing::from(m.standing))
            && query.owner.as_deref().is_none_or(|o| owner == Some(o))
            && selector
                .as_ref()
                .is_none_or(|s: &Selector| s.fits(&m.labels))
            && has_labels(labels.as_ref(), &m.id, &view)
            && scope.reaches(Some(&m.id), &view)
    };
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
        q: query.q,
    };
    page.cut(
        view.machines().filter(wanted),
        |m| m.name.to_string(),
        |m| MachineDoc::listed(m, &view),
    )
}

/// Shows a machine, named by its name, id or MAC in any spelling.
#[utoipa::path(get, path = "/machines/{machine}", tag = "machines", operation_id = "machines_show",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    Segment(machine): Segment,
) -> Result<Tagged<MachineDoc>, Problem> {
    let view = api.store.view();
    let found = find(&view, &machine)?;
    let document = MachineDoc::of(&found, &view);
    Ok(Tagged::new(&*found, helpers::with_report(document, &api)))
}

/// The machine that `text` names.
pub(in crate::http) fn find(view: &View, text: &str) -> Result<std::sync::Arc<Machine>, Problem> {
    MachineRef(text.to_owned())
        .find(view)
        .ok_or_else(|| MachineError::NotFound(crate::http::error::short(text)).into())
}

/// A machine to register.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The MAC of one of its NICs, in any spelling.
    pub mac: String,
    /// Its name; without one a new machine is named by its MAC, a known one keeps its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Registers a machine: a person's word that it is ours. Doing it again changes nothing.
#[utoipa::path(post, path = "/machines", tag = "machines", operation_id = "machines_register", request_body = Register,
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn register(
    State(api): State<Api>,
    JsonBody(body): JsonBody<Register>,
) -> Result<Json<MachineDoc>, Problem> {
    let transition = RegisterMachine {
        mac: parse(&body.mac, "mac")?,
        name: body.name.map(|n| parse(&n, "name")).transpose()?,
        fresh_id: MachineId::from_random(rand::random()),
    };
    let machine = api.store.apply(transition).await??;
    Ok(Json(MachineDoc::of(&machine, &api.store.view())))
}

/// What the caller asks for, refused while somebody else has the machine.
pub(super) fn on<T>(machine: String, caller: &Caller, wants: T) -> OnMachine<T> {
    OnMachine {
        machine: MachineRef(machine),
        caller: caller.name.clone(),
        wants,
    }
}

/// Lets a machine boot the management OS next time, once, also when its hardware is known.
#[utoipa::path(post, path = "/machines/{machine}/inspect", tag = "machines", operation_id = "machines_inspect",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn inspect(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
) -> Result<Json<MachineDoc>, Problem> {
    let inspect = InspectMachine(MachineRef(machine.clone()));
    let machine = api.store.apply(on(machine, &caller, inspect)).await???;
    Ok(Json(MachineDoc::of(&machine, &api.store.view())))
}

/// Forgets a machine and its activations. If it asks again it is seen anew.
#[utoipa::path(delete, path = "/machines/{machine}", tag = "machines", operation_id = "machines_delete",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling"), IfMatch),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
    read: IfMatch,
) -> Result<StatusCode, Problem> {
    let machine_ref = MachineRef(machine.clone());
    let delete = on(machine, &caller, DeleteMachine(machine_ref.clone()));
    let delete = read.on(Subject::Machine(machine_ref.clone()), delete);
    match api.mesh() {
        Ok(mesh) => mesh.forget(&machine_ref, delete).await????,
        Err(_) => api.store.apply(delete).await????,
    }
    Ok(StatusCode::NO_CONTENT)
}
