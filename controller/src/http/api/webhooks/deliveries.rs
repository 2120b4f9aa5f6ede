//! What became of a webhook's notifications: delivered, waiting, or given up; and how these are sent again.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::find;
use crate::{
    http::{
        Api,
        answer::Json,
        api::{Page, PageQuery, by_number},
        auth::Caller,
        error::Problem,
        extract::{JsonBody, Params, Segment},
    },
    state::{
        Timestamp,
        notify::{Delivery, DeliveryId, DeliveryStage},
        ops::Replay,
    },
};

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum DeliveryState {
    /// To be sent, or sent again.
    Waiting,
    /// The receiver said that it has it.
    Delivered,
    /// Given up.
    Dead,
}

impl DeliveryState {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// A notification on its way, or at its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Delivery)]
pub struct DeliveryDoc {
    /// Its number.
    pub id: u64,
    /// The id that the receiver knows it by: the same at each attempt.
    pub message_id: String,
    /// The event's number.
    pub event: u64,
    /// The event's kind.
    pub kind: String,
    /// The event's sentence.
    pub text: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it was tried since it was queued or replayed.
    pub attempts: u32,
    /// When it was queued or replayed.
    pub since: Timestamp,
    /// When it is tried next.
    pub next: Option<Timestamp>,
    /// What the last attempt brought.
    pub last: Option<String>,
}

impl DeliveryDoc {
    fn of(delivery: &Delivery) -> Self {
        Self {
            id: delivery.id.0,
            message_id: delivery.message_id(),
            event: delivery.event.seq,
            kind: delivery.event.draft.kind.clone(),
            text: delivery.event.draft.text.clone(),
            state: match delivery.stage {
                DeliveryStage::Waiting { .. } => DeliveryState::Waiting,
                DeliveryStage::Delivered { .. } => DeliveryState::Delivered,
                DeliveryStage::Dead { .. } => DeliveryState::Dead,
            },
            attempts: delivery.attempts,
            since: delivery.since,
            next: delivery.due(),
            last: delivery.last.clone(),
        }
    }
}

/// Which deliveries to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveriesQuery {
    /// Only those that stand so.
    #[serde(default)]
    state: Option<DeliveryState>,
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

/// Lists what is kept of a webhook's deliveries, oldest first; the dead ones are its dead letters.
#[utoipa::path(get, path = "/webhooks/{webhook}/deliveries", tag = "webhooks", operation_id = "webhooks_deliveries",
    params(DeliveriesQuery, ("webhook" = String, Path, description = "Its name")),
    responses((status = 200, body = Page<DeliveryDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    name: Segment,
    Params(query): Params<DeliveriesQuery>,
) -> Result<Json<Page<DeliveryDoc>>, Problem> {
    let view = api.store.view();
    let found = find(&view, &name)?;
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
        q: query.q,
    };
    let all = view.deliveries_of(&found.name).map(|d| DeliveryDoc::of(d));
    page.cut(
        all.filter(|d| query.state.is_none_or(|s| s == d.state)),
        |d| by_number(d.id),
        |d| d,
    )
}

/// What to send again.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayBody {
    /// One delivery, whatever became of it; all dead ones when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<u64>,
}

/// What is sent again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Replayed)]
pub struct ReplayedDoc {
    /// How many deliveries.
    pub replayed: usize,
}

/// Sends dead letters again, under the ids they had.
#[utoipa::path(post, path = "/webhooks/{webhook}/replay", tag = "webhooks", operation_id = "webhooks_replay", request_body = ReplayBody,
    params(("webhook" = String, Path, description = "Its name")),
    responses((status = 202, body = ReplayedDoc)))]
pub(crate) async fn replay(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    JsonBody(body): JsonBody<ReplayBody>,
) -> Result<(StatusCode, Json<ReplayedDoc>), Problem> {
    let replay = Replay {
        name: name.parse("webhook")?,
        id: body.delivery.map(DeliveryId),
        by: caller.name,
    };
    let replayed = api.store.apply(replay).await??;
    Ok((StatusCode::ACCEPTED, Json(ReplayedDoc { replayed })))
}
