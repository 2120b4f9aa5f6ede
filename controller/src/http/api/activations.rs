//! Activations: boot configs made due for machines, and how they went.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Page, PageQuery, by_number, machines,
    search::{has_labels, labels},
    words::{Evidence, Kind, Stage},
};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        error::{Code, Problem},
        extract::{JsonBody, Params, Segment, parse},
        scope::Scope,
    },
    state::{
        Timestamp, View,
        activation::{Activation, ActivationId},
        answered::Made,
        ops::{Deactivate, DeactivateSelected, KeyReused, MachineRef},
    },
};

/// A boot config made due for one machine. Its nonce is not shown: who knows it can speak for the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Activation)]
pub struct ActivationDoc {
    /// Its number; later ones are larger.
    pub id: u64,
    /// The machine's id.
    pub machine: String,
    /// The machine's name.
    pub machine_name: String,
    /// The boot config.
    pub config: String,
    /// The config's revision when this was armed.
    pub revision: u64,
    /// One-shot or standing.
    pub kind: Kind,
    /// The selector that chose the machine; absent: a person named it.
    pub selector: Option<String>,
    /// Of two standing ones by selectors the one with the higher priority is served.
    pub priority: Option<i32>,
    /// Where it stands.
    pub stage: Stage,
    /// What closes it.
    pub evidence: Evidence,
    /// Boots that fetched files.
    pub boots: usize,
    /// Boots that fetched only the script.
    pub scripts: usize,
    /// The site whose it is; absent: ours.
    pub owner_site: Option<String>,
    /// The site that may serve it, as its machine boots there.
    pub granted_to: Option<String>,
    /// The boot helper, by name, into whose hands it is put.
    pub lent_to: Option<String>,
    /// Since it has it: until when it alone serves it.
    pub lent_until: Option<Timestamp>,
    /// Why it was closed.
    pub reason: Option<String>,
    /// Not served after this.
    pub until: Option<Timestamp>,
    /// When it was armed.
    pub armed: Timestamp,
    /// When it was closed.
    pub closed: Option<Timestamp>,
}

impl ActivationDoc {
    pub(super) fn of(activation: &Activation, view: &View) -> Self {
        let (boots, scripts) = activation.served();
        let lent = activation.lent.as_ref();
        Self {
            id: activation.id.0,
            machine: activation.machine.to_string(),
            machine_name: view.machine_name(&activation.machine),
            config: activation.config.name.to_string(),
            revision: activation.config.revision,
            kind: activation.kind.into(),
            selector: activation.selected.as_ref().map(|s| s.selector.to_string()),
            priority: activation.selected.as_ref().map(|s| s.priority),
            stage: activation.stage.into(),
            evidence: activation.config.evidence.into(),
            boots,
            scripts,
            owner_site: activation.taken.as_ref().map(|t| t.site.to_string()),
            granted_to: activation.given.as_ref().map(|g| g.site.to_string()),
            lent_to: lent.map(|l| view.machine_name(&l.to)),
            lent_until: lent.and_then(|l| l.until),
            reason: activation.reason.clone(),
            until: activation.until,
            armed: activation.armed,
            closed: activation.closed,
        }
    }
}

/// Which activations to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only those of this machine.
    #[serde(default)]
    machine: Option<String>,
    /// Only open (`true`) or closed ones (`false`).
    #[serde(default)]
    open: Option<bool>,
    /// Only those that stand so.
    #[serde(default)]
    #[param(inline)]
    state: Option<Stage>,
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

/// Lists activations, oldest first.
#[utoipa::path(get, path = "/activations", tag = "activations", operation_id = "activations_list", params(ListQuery),
    responses((status = 200, body = Page<ActivationDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<ActivationDoc>>, Problem> {
    let view = api.store.view();
    let machine = query
        .machine
        .map(|text| scope.find(&view, &text))
        .transpose()?;
    let labels = labels(query.label.as_deref())?;
    let wanted = |a: &&std::sync::Arc<Activation>| {
        machine.as_ref().is_none_or(|m| m.id == a.machine)
            && query.open.is_none_or(|open| open == a.is_open())
            && query.state.is_none_or(|s| s == a.stage.into())
            && has_labels(labels.as_ref(), &a.machine, &view)
            && scope.reaches(Some(&a.machine), &view)
    };
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
        q: query.q,
    };
    page.cut(
        view.activations().filter(wanted),
        |a| by_number(a.id.0),
        |a| ActivationDoc::of(a, &view),
    )
}

/// Shows an activation.
#[utoipa::path(get, path = "/activations/{id}", tag = "activations", operation_id = "activations_show",
    params(("id" = u64, Path, description = "Its number")),
    responses((status = 200, body = ActivationDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    scope: Scope,
    id: Segment,
) -> Result<Json<ActivationDoc>, Problem> {
    let view = api.store.view();
    let number = id.parse("activation")?;
    let found = view.activation(ActivationId(number));
    let found = found.filter(|a| scope.reaches(Some(&a.machine), &view));
    let found = found.ok_or_else(|| {
        Problem::new(
            Code::ActivationNotFound,
            format!(
                "there is no activation {number}; `enforcer activations list` shows the known ones"
            ),
        )
    })?;
    Ok(Json(ActivationDoc::of(found, &view)))
}

/// Activations as they stand, and machines that could not have one, with why.
pub(super) type Before = (Vec<ActivationDoc>, Vec<(String, String)>);

/// What was made due before, under a request's name, as it is now: activations, and machines that could not have it.
pub(super) fn before(made: &Made, view: &View) -> Result<Before, Problem> {
    let Made::Activations { ids, refused } = made else {
        return Err(KeyReused.into());
    };
    let kept = ids.iter().filter_map(|id| view.activation(*id));
    let kept: Vec<_> = kept.map(|a| ActivationDoc::of(a, view)).collect();
    if kept.is_empty() {
        let text =
            "it was activated for this Idempotency-Key, and the activation is no longer kept";
        return Err(Problem::new(Code::ActivationNotFound, text));
    }
    Ok((kept, refused.clone()))
}

/// For which machine.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeactivateBody {
    /// Name, id or MAC.
    pub machine: String,
}

/// Ends what is due for a machine; of several, what it would boot next.
#[utoipa::path(post, path = "/activations/deactivate", tag = "activations", operation_id = "activations_deactivate", request_body = DeactivateBody,
    responses((status = 200, body = ActivationDoc)))]
pub(crate) async fn deactivate(
    State(api): State<Api>,
    caller: Caller,
    scope: Scope,
    JsonBody(body): JsonBody<DeactivateBody>,
) -> Result<Json<ActivationDoc>, Problem> {
    scope.check(&api.store.view(), &body.machine)?;
    let deactivate = Deactivate(MachineRef(body.machine.clone()));
    let asked = machines::on(body.machine, &caller, deactivate);
    let activation = api.store.apply(asked).await???;
    tell_helpers(&api, &activation);
    Ok(Json(ActivationDoc::of(&activation, &api.store.view())))
}

/// The helpers that may answer for its machine shall look at once at what there is for it, and at who comes first.
pub(super) fn tell_helpers(api: &Api, activation: &Activation) {
    let Ok(mesh) = api.mesh() else { return };
    let view = api.store.view();
    let machine = view.machine(&activation.machine);
    let holder = activation.lent.as_ref().map(|lent| &lent.to);
    let hear = machine.iter().flat_map(|machine| &machine.heard_by);
    let others = hear.filter(|id| Some(*id) != holder);
    others.chain(holder).for_each(|id| mesh.tell_helper(id));
}

/// Which selector.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeactivateSelectorBody {
    /// As it was given when it was activated.
    pub selector: String,
}

/// Ends everything that a selector made due.
#[utoipa::path(post, path = "/activations/deactivate-selector", tag = "activations", operation_id = "activations_deactivate_selector", request_body = DeactivateSelectorBody,
    responses((status = 200, body = Vec<ActivationDoc>)))]
pub(crate) async fn deactivate_selector(
    State(api): State<Api>,
    caller: Caller,
    scope: Scope,
    JsonBody(body): JsonBody<DeactivateSelectorBody>,
) -> Result<Json<Vec<ActivationDoc>>, Problem> {
    let ended = DeactivateSelected {
        selector: scope.narrow(parse(&body.selector, "selector")?)?,
        within: scope.labels().cloned(),
        by: caller.name,
    };
    let ended = api.store.apply(ended).await??;
    let view = api.store.view();
    let told = ended.iter().map(|a| ActivationDoc::of(a, &view));
    Ok(Json(told.collect()))
}
