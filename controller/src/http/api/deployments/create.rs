//! Deployments are asked for: one, a setup's, or one for each machine that a selector names.

use axum::{extract::State as Extract, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DeploymentDoc, OrderBody};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        error::{Code, Problem},
        extract::parse,
        once::Keyed,
        scope::Scope,
    },
    state::{
        Transition, View,
        activation::Nonce,
        answered::{self, RequestKey},
        deployment::{Deployment, DeploymentId},
        label::Selector,
        ops::{
            CreateDeployment, CreateRollout, DeploySetup, KeyReused, MachineRef, Makes, Once,
            OnceMade,
        },
        rollout::{AT_ONCE, MAX_FAILURES},
    },
};

/// A deployment to be made: for one machine, or for all that a selector names.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployBody {
    /// Name, id or MAC. This, or `selector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<String>,
    /// Labels of machines, such as `pool=web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// With a selector: machines at work at once; 8 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u32>,
    /// With a selector: after so many failures no further one begins; 3 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<u32>,
    /// Write this setup instead of one image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<String>,
    /// What is to be done.
    #[serde(flatten)]
    pub order: OrderBody,
}

/// Deployments that were asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Deployed)]
pub struct DeployedDoc {
    /// They; one, or with a selector or a setup several.
    pub deployments: Vec<DeploymentDoc>,
    /// The number of the rollout, with a selector.
    pub rollout: Option<u64>,
    /// Somebody had asked for the same before; it is those.
    pub existed: bool,
    /// Machines for which it cannot be done, and why.
    pub refused: Vec<RefusedDoc>,
}

/// A machine for which it cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RefusedDeployment)]
pub struct RefusedDoc {
    /// Its name.
    pub machine: String,
    /// Why.
    pub why: String,
}

/// Asks for something to be done to a machine's disk.
///
/// A request equal to one that waits already is that one.
#[utoipa::path(post, path = "/deployments", tag = "deployments", operation_id = "deployments_create", request_body = DeployBody,
    params(Keyed<DeployBody>),
    responses((status = 201, body = DeployedDoc)))]
pub(crate) async fn create(
    Extract(api): Extract<Api>,
    caller: Caller,
    scope: Scope,
    Keyed { key, body }: Keyed<DeployBody>,
) -> Result<(StatusCode, Json<DeployedDoc>), Problem> {
    if let Some(machine) = &body.machine {
        scope.check(&api.store.view(), machine)?;
    }
    let asked = Asked {
        by: caller.name,
        key,
        nonce: Nonce::from_random(rand::random()),
    };
    let mut made = Made::default();
    match (&body.machine, &body.selector) {
        (Some(machine), None) if body.setup.is_some() => {
            asked.setup(&api, machine, &body, &mut made).await?;
        }
        (Some(machine), None) => asked.one(&api, machine, &body, &mut made).await?,
        (None, Some(selector)) if body.setup.is_none() => {
            let selector = scope.narrow(parse(selector, "selector")?)?;
            asked.many(&api, selector, &body, &mut made).await?;
        }
        _ => {
            let text = "name a `machine`, or a `selector` (an image, no setup)";
            return Err(Problem::new(Code::BadRequest, text));
        }
    }
    let view = api.store.view();
    if let Ok(mesh) = api.mesh() {
        made.deployments.iter().for_each(|d| mesh.nudge(&d.machine));
    }
    let fresh = |d: &Deployment| {
        view.deployment(d.id)
            .map_or(d.clone(), |d| Deployment::clone(d))
    };
    let document = DeployedDoc {
        deployments: (made.deployments.iter())
            .map(|d| DeploymentDoc::of(&fresh(d), &view, &api))
            .collect(),
        rollout: made.rollout,
        existed: made.existed,
        refused: made.refused,
    };
    Ok((StatusCode::CREATED, Json(document)))
}

/// What came of a request.
#[derive(Default)]
struct Made {
    deployments: Vec<Deployment>,
    rollout: Option<u64>,
    existed: bool,
    refused: Vec<RefusedDoc>,
}

/// Does what is wanted; `None`: it was done before, and `made` says what.
async fn once<T>(
    api: &Api,
    key: Option<RequestKey>,
    wants: T,
    made: &mut Made,
) -> Result<Option<T::Outcome>, Problem>
where
    T: Transition,
    T::Outcome: Makes,
{
    let before = match api.store.apply(Once { key, wants }).await?? {
        OnceMade::Now(outcome) => return Ok(Some(outcome)),
        OnceMade::Before(before) => before,
    };
    let answered::Made::Deployments {
        ids,
        rollout,
        refused,
    } = before
    else {
        return Err(KeyReused.into());
    };
    let deployments = kept(&ids, &api.store.view());
    if deployments.is_empty() {
        let text =
            "it was asked for with this Idempotency-Key, and the deployment is no longer kept";
        return Err(Problem::new(Code::DeploymentNotFound, text));
    }
    let refused = refused.into_iter();
    *made = Made {
        deployments,
        rollout: rollout.map(|r| r.0),
        existed: true,
        refused: refused
            .map(|(machine, why)| RefusedDoc { machine, why })
            .collect(),
    };
    Ok(None)
}

/// Those of these that are still kept.
fn kept(ids: &[DeploymentId], view: &View) -> Vec<Deployment> {
    let found = ids.iter().filter_map(|id| view.deployment(*id));
    found.map(|d| Deployment::clone(d)).collect()
}

/// Who asks.
struct Asked {
    by: String,
    key: Option<RequestKey>,
    nonce: Nonce,
}

impl Asked {
    async fn one(
        self,
        api: &Api,
        machine: &str,
        body: &DeployBody,
        made: &mut Made,
    ) -> Result<(), Problem> {
        let create = CreateDeployment {
            machine: MachineRef(machine.to_owned()),
            order: body.order.spec()?,
            by: self.by,
            nonce: self.nonce,
        };
        let Some(created) = once(api, self.key, create, made).await? else {
            return Ok(());
        };
        let created = created?;
        made.existed = created.existed;
        made.deployments.push(created.deployment);
        Ok(())
    }

    async fn setup(
        self,
        api: &Api,
        machine: &str,
        body: &DeployBody,
        made: &mut Made,
    ) -> Result<(), Problem> {
        let order = &body.order;
        let whole = order.image.is_none() && order.save_current.is_none() && order.erase.is_none();
        if !whole {
            let text = "a setup says itself what is written; leave out `image`, `save_current` and `erase`";
            return Err(Problem::new(Code::BadRequest, text));
        }
        let spec = order.spec()?;
        let deploy = DeploySetup {
            machine: MachineRef(machine.to_owned()),
            setup: parse(body.setup.as_deref().unwrap_or_default(), "setup")?,
            provision: spec.provision,
            join: spec.join,
            after: spec.after,
            until: spec.until,
            when: spec.when,
            by: self.by,
            nonce: self.nonce,
        };
        if let Some(created) = once(api, self.key, deploy, made).await? {
            let parts = created?.into_iter();
            made.deployments.extend(parts.map(|c| c.deployment));
        }
        Ok(())
    }

    async fn many(
        self,
        api: &Api,
        selector: Selector,
        body: &DeployBody,
        made: &mut Made,
    ) -> Result<(), Problem> {
        let create = CreateRollout {
            selector,
            order: body.order.spec()?,
            limit: body.at_once.unwrap_or(AT_ONCE),
            max_failures: Some(body.max_failures.unwrap_or(MAX_FAILURES)),
            by: self.by,
            nonce: self.nonce,
        };
        let Some(created) = once(api, self.key, create, made).await? else {
            return Ok(());
        };
        let created = created?;
        made.deployments = kept(&created.rollout.deployments, &api.store.view());
        made.rollout = Some(created.rollout.id.0);
        made.refused = (created.refused.into_iter())
            .map(|(machine, why)| RefusedDoc {
                machine,
                why: why.to_string(),
            })
            .collect();
        Ok(())
    }
}
