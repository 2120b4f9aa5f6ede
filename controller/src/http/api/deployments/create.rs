//! Deployments are asked for: one, a setup's, or one for each machine that a selector names.

use axum::{
    extract::State as Extract,
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DeploymentDoc, OrderBody};
use crate::{
    http::{
        Api,
        answer::Json,
        api::images::content::idempotency_key,
        auth::Caller,
        error::{Code, Problem},
        extract::{JsonBody, parse},
    },
    state::{
        activation::Nonce,
        deployment::Deployment,
        label::Selector,
        ops::{CreateDeployment, CreateRollout, DeploySetup, MachineRef},
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
/// With the header `Idempotency-Key` a request sent twice is one. A request equal to one that waits already is that one.
#[utoipa::path(post, path = "/deployments", tag = "deployments", operation_id = "deployments_create", request_body = DeployBody,
    responses((status = 201, body = DeployedDoc)))]
pub(crate) async fn create(
    Extract(api): Extract<Api>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(body): JsonBody<DeployBody>,
) -> Result<(StatusCode, Json<DeployedDoc>), Problem> {
    let asked = Asked {
        by: caller.name,
        key: idempotency_key(&headers)?,
        nonce: Nonce::from_random(rand::random()),
    };
    let mut made = Made::default();
    match (&body.machine, &body.selector) {
        (Some(machine), None) if body.setup.is_some() => {
            asked.setup(&api, machine, &body, &mut made).await?;
        }
        (Some(machine), None) => asked.one(&api, machine, &body, &mut made).await?,
        (None, Some(selector)) if body.setup.is_none() => {
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

/// Who asks.
struct Asked {
    by: String,
    key: Option<String>,
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
            key: self.key,
            nonce: self.nonce,
        };
        let created = api.store.apply(create).await??;
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
            key: self.key,
            nonce: self.nonce,
        };
        let created = api.store.apply(deploy).await??;
        made.existed = created.iter().any(|c| c.existed);
        made.deployments
            .extend(created.into_iter().map(|c| c.deployment));
        Ok(())
    }

    async fn many(
        self,
        api: &Api,
        selector: &str,
        body: &DeployBody,
        made: &mut Made,
    ) -> Result<(), Problem> {
        let create = CreateRollout {
            selector: parse::<Selector>(selector, "selector")?,
            order: body.order.spec()?,
            limit: body.at_once.unwrap_or(AT_ONCE),
            max_failures: Some(body.max_failures.unwrap_or(MAX_FAILURES)),
            by: self.by,
            key: self.key,
            nonce: self.nonce,
        };
        let created = api.store.apply(create).await??;
        let view = api.store.view();
        let jobs = created.rollout.deployments.iter();
        made.deployments = jobs
            .filter_map(|id| view.deployment(*id))
            .map(|d| Deployment::clone(d))
            .collect();
        (made.rollout, made.existed) = (Some(created.rollout.id.0), created.existed);
        made.refused = (created.refused.into_iter())
            .map(|(machine, why)| RefusedDoc {
                machine,
                why: why.to_string(),
            })
            .collect();
        Ok(())
    }
}
