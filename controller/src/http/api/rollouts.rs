//! Rollouts: one order for many machines, a few at a time. Asked for with `POST /deployments` and a selector.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery, by_number, words::RolloutStage};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::Problem,
        extract::{JsonBody, Params, Segment},
    },
    state::{
        Timestamp, View,
        ops::{CancelRollout, PauseRollout, ResumeRollout, RolloutError, SetRollout},
        revision::Subject,
        rollout::{Rollout, RolloutId},
    },
};

/// A rollout. Its deployments: `GET /deployments?rollout=…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Rollout)]
pub struct RolloutDoc {
    /// Its number; later ones are larger.
    pub id: u64,
    /// Which machines were meant.
    pub selector: String,
    /// What is done to each, in few words: `debian@3`. Absent when no deployment of it is kept.
    pub title: Option<String>,
    /// Where it stands.
    pub state: RolloutStage,
    /// What comes next, or what it waits for; empty when it is over.
    pub next: String,
    /// Machines at work at once.
    pub at_once: u32,
    /// After so many failures no further machine begins; absent: all do.
    pub max_failures: Option<u32>,
    /// How its deployments stand.
    pub tally: TallyDoc,
    /// Who paused it, while it is.
    pub paused_by: Option<String>,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub created: Timestamp,
}

/// How many deployments stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Tally)]
pub struct TallyDoc {
    /// They wait.
    pub queued: u32,
    /// They are at work, or their machine starts.
    pub running: u32,
    /// They ended well: online, handed over, done.
    pub good: u32,
    /// They failed.
    pub failed: u32,
    /// A person ended them, or they are no longer kept.
    pub other: u32,
}

impl RolloutDoc {
    fn of(rollout: &Rollout, view: &View) -> Self {
        let tally = rollout.tally(view);
        let mut jobs = rollout.deployments.iter();
        Self {
            id: rollout.id.0,
            selector: rollout.selector.clone(),
            title: jobs.find_map(|id| Some(view.deployment(*id)?.title())),
            state: rollout.stage(&tally).into(),
            next: rollout.next_step(&tally),
            at_once: rollout.limit,
            max_failures: rollout.max_failures,
            tally: TallyDoc {
                queued: tally.waiting,
                running: tally.active,
                good: tally.good,
                failed: tally.failed,
                other: tally.other,
            },
            paused_by: rollout.paused_by.clone(),
            by: rollout.by.clone(),
            created: rollout.created,
        }
    }
}

/// Lists rollouts, newest first.
#[utoipa::path(get, path = "/rollouts", tag = "rollouts", operation_id = "rollouts_list", params(PageQuery),
    responses((status = 200, body = Page<RolloutDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<RolloutDoc>>, Problem> {
    let view = api.store.view();
    // Keys sort as texts, upwards: the newest has the smallest.
    let key = |r: &&std::sync::Arc<Rollout>| by_number(u64::MAX - r.id.0);
    page.cut(view.rollouts(), key, |r| RolloutDoc::of(r, &view))
}

/// Shows a rollout: how many wait, are at work, went well or failed, and what comes next.
#[utoipa::path(get, path = "/rollouts/{rollout}", tag = "rollouts", operation_id = "rollouts_show",
    params(("rollout" = u64, Path, description = "Its number")),
    responses((status = 200, body = RolloutDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    id: Segment,
) -> Result<Tagged<RolloutDoc>, Problem> {
    let id = RolloutId(id.parse("rollout")?);
    let view = api.store.view();
    let found = view.rollout(id).ok_or(RolloutError::NotFound(id))?;
    Ok(Tagged::new(&**found, RolloutDoc::of(found, &view)))
}

/// What to change of a rollout; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutUpdate {
    /// Machines at work at once. When there are fewer now, what is at work goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<u32>,
    /// After so many failures no further machine begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<u32>,
}

/// Changes how fast a rollout goes, or how many failures it bears.
#[utoipa::path(patch, path = "/rollouts/{rollout}", tag = "rollouts", operation_id = "rollouts_update", request_body = RolloutUpdate,
    params(("rollout" = u64, Path, description = "Its number"), IfMatch),
    responses((status = 200, body = RolloutDoc)))]
pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    id: Segment,
    read: IfMatch,
    JsonBody(body): JsonBody<RolloutUpdate>,
) -> Result<Tagged<RolloutDoc>, Problem> {
    let set = SetRollout {
        id: RolloutId(id.parse("rollout")?),
        limit: body.at_once,
        max_failures: body.max_failures,
        by: caller.name,
    };
    let about = Subject::Rollout(set.id);
    let changed = read.apply(&api, about, set).await??;
    Ok(Tagged::new(&changed, gone_on(&api, &changed)))
}

/// Holds a rollout: what is at work goes on, nothing more begins.
#[utoipa::path(post, path = "/rollouts/{rollout}/pause", tag = "rollouts", operation_id = "rollouts_pause",
    params(("rollout" = u64, Path, description = "Its number")),
    responses((status = 200, body = RolloutDoc)))]
pub(crate) async fn pause(
    State(api): State<Api>,
    caller: Caller,
    id: Segment,
) -> Result<Json<RolloutDoc>, Problem> {
    let pause = PauseRollout {
        id: RolloutId(id.parse("rollout")?),
        by: caller.name,
    };
    let paused = api.store.apply(pause).await??;
    Ok(Json(RolloutDoc::of(&paused, &api.store.view())))
}

/// Lets a rollout go on that was paused or stopped. Failures until now do not count any more.
#[utoipa::path(post, path = "/rollouts/{rollout}/resume", tag = "rollouts", operation_id = "rollouts_resume",
    params(("rollout" = u64, Path, description = "Its number")),
    responses((status = 200, body = RolloutDoc)))]
pub(crate) async fn resume(
    State(api): State<Api>,
    caller: Caller,
    id: Segment,
) -> Result<Json<RolloutDoc>, Problem> {
    let resume = ResumeRollout {
        id: RolloutId(id.parse("rollout")?),
        by: caller.name,
    };
    let resumed = api.store.apply(resume).await??;
    Ok(Json(gone_on(&api, &resumed)))
}

/// Ends what waits of a rollout; what is at work goes on.
#[utoipa::path(post, path = "/rollouts/{rollout}/cancel", tag = "rollouts", operation_id = "rollouts_cancel",
    params(("rollout" = u64, Path, description = "Its number")),
    responses((status = 200, body = RolloutDoc)))]
pub(crate) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    id: Segment,
) -> Result<Json<RolloutDoc>, Problem> {
    let id = RolloutId(id.parse("rollout")?);
    let by = caller.name;
    api.store.apply(CancelRollout { id, by }).await??;
    let view = api.store.view();
    let found = view.rollout(id).ok_or(RolloutError::NotFound(id))?;
    Ok(Json(RolloutDoc::of(found, &view)))
}

/// The rollout as it is now. Machines whose turn may have come are told.
fn gone_on(api: &Api, rollout: &Rollout) -> RolloutDoc {
    let view = api.store.view();
    if let Ok(mesh) = api.mesh() {
        let jobs = rollout.deployments.iter();
        let waiting = jobs
            .filter_map(|id| view.deployment(*id))
            .filter(|d| d.is_open() && !d.is_active());
        waiting.for_each(|d| mesh.nudge(&d.machine));
    }
    RolloutDoc::of(rollout, &view)
}
