//! Deployments: jobs for machines' disks. Asked for, watched, moved, cancelled; for many machines at once as a rollout.

pub mod create;
mod document;
mod order;
pub mod stream;

use std::sync::Arc;

use axum::extract::State as Extract;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use create::{DeployBody, DeployedDoc, RefusedDoc};
pub use document::{DeploymentDoc, MomentDoc, ProgressDoc, WrittenDoc};
pub(super) use order::partition;
pub use order::{DiskRuleDoc, OrderBody, ProbeDoc, ProvisionFileDoc, SaveDoc, UntilDoc};

use super::{
    Page,
    page::page_limit,
    search::{Words, has_labels, labels},
    words::DeploymentState,
};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        error::Problem,
        extract::{JsonBody, Params, Segment, parse},
        scope::Scope,
    },
    images::IncomingId,
    state::{
        View,
        deployment::{Deployment, DeploymentId},
        ops::{CancelDeployment, DeployError, MoveDeployment},
        rollout::RolloutId,
    },
};

/// Which deployments to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only of this machine: name, id or MAC.
    #[serde(default)]
    machine: Option<String>,
    /// Only of this rollout.
    #[serde(default)]
    rollout: Option<u64>,
    /// Only in this state.
    #[serde(default)]
    #[param(inline)]
    state: Option<DeploymentState>,
    /// Only those whose end is still to come, or only those that are over.
    #[serde(default)]
    open: Option<bool>,
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

/// Lists deployments, newest first.
#[utoipa::path(get, path = "/deployments", tag = "deployments", operation_id = "deployments_list", params(ListQuery),
    responses((status = 200, body = Page<DeploymentDoc>)))]
pub(crate) async fn list(
    Extract(api): Extract<Api>,
    scope: Scope,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<DeploymentDoc>>, Problem> {
    let view = api.store.view();
    let machine = query.machine.as_ref().map(|m| scope.find(&view, m));
    let machine = machine.transpose()?.map(|m| m.id.clone());
    let before: Option<u64> = query
        .cursor
        .as_ref()
        .map(|c| parse(c, "cursor"))
        .transpose()?;
    let limit = page_limit(query.limit)?;
    let (labels, words) = (
        labels(query.label.as_deref())?,
        Words::parse(query.q.as_deref())?,
    );
    let wanted = |d: &&Arc<Deployment>| {
        machine.as_ref().is_none_or(|m| d.machine == *m)
            && query
                .rollout
                .is_none_or(|r| d.rollout() == Some(RolloutId(r)))
            && query
                .state
                .is_none_or(|s| DeploymentState::from(d.state) == s)
            && query.open.is_none_or(|open| d.is_open() == open)
            && before.is_none_or(|before| d.id.0 < before)
            && has_labels(labels.as_ref(), &d.machine, &view)
            && scope.reaches(Some(&d.machine), &view)
            && (words.as_ref()).is_none_or(|w| w.stand_in_shown(&DeploymentDoc::of(d, &view, &api)))
    };
    let mut found: Vec<_> = view
        .deployments()
        .rev()
        .filter(wanted)
        .take(limit + 1)
        .collect();
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|d| d.id.to_string());
    let items = found
        .iter()
        .map(|d| DeploymentDoc::of(d, &view, &api))
        .collect();
    Ok(Json(Page { items, next }))
}

/// Shows a deployment: where it stands, how far its step is, what comes next.
#[utoipa::path(get, path = "/deployments/{deployment}", tag = "deployments", operation_id = "deployments_show",
    params(("deployment" = u64, Path, description = "Its number")),
    responses((status = 200, body = DeploymentDoc)))]
pub(crate) async fn show(
    Extract(api): Extract<Api>,
    scope: Scope,
    id: Segment,
) -> Result<Json<DeploymentDoc>, Problem> {
    let (view, id) = (api.store.view(), DeploymentId(id.parse("deployment")?));
    let found = reached(&view, &scope, id)?;
    Ok(Json(DeploymentDoc::of(found, &view, &api)))
}

/// The deployment of this number, if it is of a machine that is within reach.
fn reached<'v>(
    view: &'v View,
    scope: &Scope,
    id: DeploymentId,
) -> Result<&'v Arc<Deployment>, DeployError> {
    let found = view.deployment(id);
    let found = found.filter(|d| scope.reaches(Some(&d.machine), view));
    found.ok_or(DeployError::NotFound(id))
}

/// Ends a deployment. Its agent stops at its next word; a disk that was being written does not boot then.
#[utoipa::path(post, path = "/deployments/{deployment}/cancel", tag = "deployments", operation_id = "deployments_cancel",
    params(("deployment" = u64, Path, description = "Its number")),
    responses((status = 200, body = DeploymentDoc)))]
pub(crate) async fn cancel(
    Extract(api): Extract<Api>,
    caller: Caller,
    scope: Scope,
    id: Segment,
) -> Result<Json<DeploymentDoc>, Problem> {
    let id = DeploymentId(id.parse("deployment")?);
    reached(&api.store.view(), &scope, id)?;
    let by = caller.name;
    let cancel = CancelDeployment { id, by };
    let cancelled = api.store.apply(cancel).await??;
    if let Ok(images) = api.images() {
        images.abandoned(&IncomingId::Capture(cancelled.id));
    }
    if let Ok(mesh) = api.mesh() {
        mesh.nudge(&cancelled.machine);
    }
    let view = api.store.view();
    Ok(Json(DeploymentDoc::of(&cancelled, &view, &api)))
}

/// Where a waiting deployment goes.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveBody {
    /// Its new place among those that wait for the machine; the first is 0.
    pub to: usize,
}

/// The queue of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Queue)]
pub struct QueueDoc {
    /// The numbers of the deployments that wait, the next one first.
    pub waiting: Vec<u64>,
}

/// Moves a waiting deployment within its machine's queue.
#[utoipa::path(post, path = "/deployments/{deployment}/move", tag = "deployments", operation_id = "deployments_move", request_body = MoveBody,
    params(("deployment" = u64, Path, description = "Its number")),
    responses((status = 200, body = QueueDoc)))]
pub(crate) async fn move_to(
    Extract(api): Extract<Api>,
    scope: Scope,
    id: Segment,
    JsonBody(body): JsonBody<MoveBody>,
) -> Result<Json<QueueDoc>, Problem> {
    let id = DeploymentId(id.parse("deployment")?);
    reached(&api.store.view(), &scope, id)?;
    let queue = api
        .store
        .apply(MoveDeployment { id, to: body.to })
        .await??;
    let waiting = queue.iter().map(|id| id.0).collect();
    Ok(Json(QueueDoc { waiting }))
}
