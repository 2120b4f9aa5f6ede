//! Deployments as they go on, live. How far a step is comes from memory; nothing of it goes through the store.

use std::{collections::HashMap, convert::Infallible, time::Duration};

use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{Event as SseEvent, KeepAlive, Sse},
    },
};
use futures_util::Stream;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{DeploymentDoc, reached};
use crate::{
    http::{
        Api,
        api::events::KEEP_ALIVE,
        error::{Code, Problem},
        extract::{Params, parse},
        scope::Scope,
    },
    state::{
        View,
        deployment::DeploymentId,
        ops::RolloutError,
        rollout::{MAX_MACHINES, RolloutId},
    },
};

/// The name of a deployment's new document in the stream.
pub const DEPLOYMENT: &str = "deployment";
/// Between two looks: agents speak twice a second, and nobody reads faster.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which deployments to follow.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StreamQuery {
    /// Their numbers, with commas between them. This, or `rollout`.
    #[serde(default)]
    deployments: Option<String>,
    /// All of this rollout.
    #[serde(default)]
    rollout: Option<u64>,
}

impl StreamQuery {
    fn ids(&self, view: &View, scope: &Scope) -> Result<Vec<DeploymentId>, Problem> {
        match (&self.deployments, self.rollout) {
            (Some(numbers), None) => named(view, scope, numbers),
            (None, Some(number)) => {
                scope.whole()?;
                let id = RolloutId(number);
                let found = view.rollout(id).ok_or(RolloutError::NotFound(id))?;
                Ok(found.deployments.clone())
            }
            _ => Err(Problem::new(
                Code::BadRequest,
                "name `deployments`, with commas between their numbers, or a `rollout`",
            )),
        }
    }
}

fn named(view: &View, scope: &Scope, numbers: &str) -> Result<Vec<DeploymentId>, Problem> {
    let ids = numbers.split(',').map(|n| parse(n.trim(), "deployments"));
    let ids: Vec<DeploymentId> = ids.collect::<Result<_, _>>()?;
    if ids.len() > MAX_MACHINES {
        let text = format!("at most {MAX_MACHINES} deployments in one stream");
        return Err(Problem::new(Code::BadValue, text));
    }
    for id in &ids {
        reached(view, scope, *id)?;
    }
    Ok(ids)
}

/// Streams deployments as they go on (server-sent events), at most twice a second each, until all are over.
///
/// Each message is a whole deployment: first as it is now, then whenever anything of it changed. Who comes back begins anew.
#[utoipa::path(get, path = "/deployments/stream", tag = "deployments", operation_id = "deployments_stream", params(StreamQuery),
    responses((status = 200, body = DeploymentDoc, content_type = "text/event-stream")))]
pub(crate) async fn stream(
    State(api): State<Api>,
    scope: Scope,
    Params(query): Params<StreamQuery>,
) -> Result<Response, Problem> {
    let ids = query.ids(&api.store.view(), &scope)?;
    Ok(live(api, scope, ids).into_response())
}

fn live(
    api: Api,
    scope: Scope,
    ids: Vec<DeploymentId>,
) -> Sse<impl Stream<Item = Result<SseEvent, Infallible>>> {
    let stream = async_stream::stream! {
        let (mut store, mut steps) = (api.store.subscribe(), api.steps.subscribe());
        let mut watched = Watched { scope, ids, told: HashMap::new() };
        loop {
            store.borrow_and_update();
            steps.borrow_and_update();
            for document in watched.news(&api) {
                yield Ok(data(&document));
            }
            if watched.ids.is_empty() {
                return;
            }
            tokio::select! {
                () = api.stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            tokio::select! {
                changed = store.changed() => if changed.is_err() { return },
                said = steps.changed() => if said.is_err() { return },
                () = api.stop.cancelled() => return,
            }
        }
    };
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// What a client follows, and what it was told.
struct Watched {
    scope: Scope,
    ids: Vec<DeploymentId>,
    told: HashMap<DeploymentId, DeploymentDoc>,
}

impl Watched {
    /// What is other than it was told. What is over, or gone, is not looked at again.
    fn news(&mut self, api: &Api) -> Vec<DeploymentDoc> {
        let view = api.store.view();
        let mut news = Vec::new();
        for id in &self.ids {
            let Ok(job) = reached(&view, &self.scope, *id) else {
                continue;
            };
            let document = DeploymentDoc::of(job, &view, api);
            if self.told.get(id) != Some(&document) {
                self.told.insert(*id, document.clone());
                news.push(document);
            }
        }
        self.ids
            .retain(|id| reached(&view, &self.scope, *id).is_ok_and(|d| d.is_open()));
        news
    }
}

/// A message of the stream. Its data is JSON, which has no line breaks.
fn data(document: &DeploymentDoc) -> SseEvent {
    SseEvent::default()
        .event(DEPLOYMENT)
        .data(serde_json::to_string(document).unwrap_or_default())
}
