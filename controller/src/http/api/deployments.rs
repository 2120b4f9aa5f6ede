//! Deployments: jobs for machines' disks. Asked for, watched, moved, cancelled; for many machines at once as a rollout.

mod order;

use axum::{
    Json,
    extract::State as Extract,
    http::{HeaderMap, StatusCode},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use order::{DiskRuleDoc, OrderBody, ProbeDoc, ProvisionFileDoc, SaveDoc, UntilDoc};

use super::{
    Page,
    images::content::idempotency_key,
    machines,
    page::page_limit,
    words::{After, DeploymentState, Erase, Step},
};
use crate::{
    http::{
        Api,
        auth::Caller,
        error::{Code, Problem},
        extract::{JsonBody, Params, Segment, parse},
    },
    images::IncomingId,
    state::{
        Timestamp, View,
        activation::Nonce,
        deployment::{Deployment, DeploymentId, Part, words::next_step},
        label::Selector,
        machine::MachineId,
        ops::{
            CancelDeployment, CreateDeployment, CreateRollout, DeployError, DeploySetup,
            MachineRef, MoveDeployment,
        },
    },
};

/// A job for a machine's disk. Files for the new system may be secrets and are not shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Deployment)]
pub struct DeploymentDoc {
    /// Its number, and the stable id of what is told about it; later ones are larger.
    pub id: u64,
    /// The machine's id.
    pub machine: String,
    /// The machine's name.
    pub machine_name: String,
    /// What it does, in few words: `debian@3`, `erase`.
    pub title: String,
    /// The version that is written.
    pub image: Option<String>,
    /// Where it stands.
    pub state: DeploymentState,
    /// Whether its end is still to come.
    pub open: bool,
    /// Since when it stands there.
    pub since: Timestamp,
    /// Why, where there is more to say.
    pub reason: Option<String>,
    /// What comes next, or what it waits for; empty when it is over.
    pub next: String,
    /// How far its step is, while its agent works.
    pub progress: Option<ProgressDoc>,
    /// The disk that is meant.
    pub disk: DiskRuleDoc,
    /// As a version of which image the disk is saved first.
    pub save_current: Option<String>,
    /// How the disk is emptied.
    pub erase: Option<Erase>,
    /// What the machine does when all is written.
    pub after: After,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub created: Timestamp,
    /// When somebody has to have spoken.
    pub deadline: Option<Timestamp>,
    /// Starts of the machine to come online.
    pub tries: u32,
    /// What the disk was saved as.
    pub captured: Option<String>,
    /// What was written.
    pub written: Option<WrittenDoc>,
    /// The rollout it belongs to.
    pub rollout: Option<u64>,
    /// The setup it belongs to.
    pub setup: Option<String>,
    /// The states it had.
    pub history: Vec<MomentDoc>,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Progress)]
pub struct ProgressDoc {
    /// Which.
    pub step: Step,
    /// Bytes of the disk that are done.
    pub done_bytes: u64,
    /// Bytes of the disk that it is about.
    pub total_bytes: u64,
    /// Bytes that went over the wire for it.
    pub wire_bytes: u64,
    /// Bytes of the disk a second, lately.
    pub bytes_per_s: u64,
    /// Seconds until it is done, if it goes on so.
    pub eta_s: Option<u64>,
}

/// What was found when all was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Written)]
pub struct WrittenDoc {
    /// The disk's name in that boot.
    pub disk: String,
    /// Its serial number.
    pub serial: Option<String>,
    /// Its bytes.
    pub disk_bytes: u64,
    /// Bytes that were right on the disk already.
    pub kept_bytes: u64,
    /// Bytes that were written.
    pub written_bytes: u64,
    /// Bytes that went over the wire.
    pub wire_bytes: u64,
    /// Bytes read back from the medium and found right.
    pub verified_bytes: u64,
    /// What was changed on top of the image, in words.
    pub edits: Vec<String>,
}

/// A state and when it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Moment)]
pub struct MomentDoc {
    /// Which.
    pub state: DeploymentState,
    /// When.
    pub at: Timestamp,
}

impl DeploymentDoc {
    fn of(job: &Deployment, view: &View, api: &Api) -> Self {
        let order = &job.order;
        let progress = api.mesh().ok().and_then(|mesh| mesh.progress(job.id));
        Self {
            id: job.id.0,
            machine: job.machine.to_string(),
            machine_name: name(view, &job.machine),
            title: job.title(),
            image: order.image.as_ref().map(|i| i.id.to_string()),
            state: job.state.into(),
            open: job.is_open(),
            since: job.since,
            reason: job.reason.clone(),
            next: next_step(view, job, api.store.now()),
            progress: progress
                .as_ref()
                .map(ProgressDoc::of)
                .filter(|_| job.is_active()),
            disk: (&order.disk).into(),
            save_current: order.save_current.as_ref().map(|s| s.name.to_string()),
            erase: order.erase.map(Into::into),
            after: order.after.into(),
            by: job.by.clone(),
            created: job.created,
            deadline: job.deadline,
            tries: job.tries,
            captured: job.captured.as_ref().map(ToString::to_string),
            written: job.written.as_ref().map(WrittenDoc::of),
            rollout: match &job.part {
                Some(Part::Rollout { rollout }) => Some(rollout.0),
                Some(Part::Setup { .. } | Part::RollBack { .. }) | None => None,
            },
            setup: match &job.part {
                Some(Part::Setup { setup, .. }) => Some(setup.to_string()),
                Some(Part::Rollout { .. } | Part::RollBack { .. }) | None => None,
            },
            history: (job.history.iter())
                .map(|m| MomentDoc {
                    state: m.state.into(),
                    at: m.at,
                })
                .collect(),
        }
    }
}

impl ProgressDoc {
    fn of(progress: &crate::mesh::Progress) -> Self {
        let said = &progress.said;
        Self {
            step: said.step.into(),
            done_bytes: said.done_bytes,
            total_bytes: said.total_bytes,
            wire_bytes: said.wire_bytes,
            bytes_per_s: progress.bytes_per_s,
            eta_s: progress.eta_s(),
        }
    }
}

impl WrittenDoc {
    fn of(written: &crate::state::deployment::Written) -> Self {
        let (disk, counts) = (&written.disk, &written.counts);
        Self {
            disk: disk.name.clone(),
            serial: disk.serial.clone(),
            disk_bytes: disk.bytes,
            kept_bytes: counts.kept_bytes,
            written_bytes: counts.written_bytes,
            wire_bytes: counts.wire_bytes,
            verified_bytes: counts.verified_bytes,
            edits: written.edits.iter().map(order::edit_in_words).collect(),
        }
    }
}

fn name(view: &View, machine: &MachineId) -> String {
    let known = view.machine(machine);
    known.map_or_else(|| machine.to_string(), |m| m.name.to_string())
}

/// Which deployments to show.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only of this machine: name, id or MAC.
    #[serde(default)]
    machine: Option<String>,
    /// Only in this state.
    #[serde(default)]
    #[param(inline)]
    state: Option<DeploymentState>,
    /// Only those whose end is still to come, or only those that are over.
    #[serde(default)]
    open: Option<bool>,
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
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<DeploymentDoc>>, Problem> {
    let view = api.store.view();
    let machine = query.machine.as_ref().map(|m| machines::find(&view, m));
    let machine = machine.transpose()?.map(|m| m.id.clone());
    let before: Option<u64> = query
        .cursor
        .as_ref()
        .map(|c| parse(c, "cursor"))
        .transpose()?;
    let limit = page_limit(query.limit)?;
    let wanted = |d: &&std::sync::Arc<Deployment>| {
        machine.as_ref().is_none_or(|m| d.machine == *m)
            && query
                .state
                .is_none_or(|s| DeploymentState::from(d.state) == s)
            && query.open.is_none_or(|open| d.is_open() == open)
            && before.is_none_or(|before| d.id.0 < before)
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
    id: Segment,
) -> Result<Json<DeploymentDoc>, Problem> {
    let (view, id) = (api.store.view(), DeploymentId(id.parse("deployment")?));
    let found = view.deployment(id).ok_or(DeployError::NotFound(id))?;
    Ok(Json(DeploymentDoc::of(found, &view, &api)))
}

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
    /// With a selector: after so many failures no further one begins.
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
#[schema(as = RefusedMachine)]
pub struct RefusedDoc {
    /// Its name.
    pub machine: String,
    /// Why.
    pub why: String,
}

/// Machines of a rollout at work at once when nobody says otherwise: what one controller feeds at full speed.
const AT_ONCE: u32 = 8;

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
            max_failures: body.max_failures,
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

/// Ends a deployment. Its agent stops at its next word; a disk that was being written does not boot then.
#[utoipa::path(post, path = "/deployments/{deployment}/cancel", tag = "deployments", operation_id = "deployments_cancel",
    params(("deployment" = u64, Path, description = "Its number")),
    responses((status = 200, body = DeploymentDoc)))]
pub(crate) async fn cancel(
    Extract(api): Extract<Api>,
    caller: Caller,
    id: Segment,
) -> Result<Json<DeploymentDoc>, Problem> {
    let cancel = CancelDeployment {
        id: DeploymentId(id.parse("deployment")?),
        by: caller.name,
    };
    let cancelled = api.store.apply(cancel).await??;
    if let Ok(images) = api.images() {
        images.arrived(&IncomingId::Capture(cancelled.id));
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
    id: Segment,
    JsonBody(body): JsonBody<MoveBody>,
) -> Result<Json<QueueDoc>, Problem> {
    let id = DeploymentId(id.parse("deployment")?);
    let queue = api
        .store
        .apply(MoveDeployment { id, to: body.to })
        .await??;
    let waiting = queue.iter().map(|id| id.0).collect();
    Ok(Json(QueueDoc { waiting }))
}
