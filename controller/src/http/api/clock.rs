//! This host's clock, by which certificates are issued.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    http::{Api, answer::Json, error::Problem},
    state::ops::ConfirmClock,
};

/// What a confirmation did.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ClockDoc {
    /// Whether there was a jump to confirm.
    pub confirmed: bool,
    /// The controller's clock.
    #[schema(value_type = String, format = DateTime)]
    pub now: crate::state::Timestamp,
}

/// Confirms that the controller's clock is right although it is more than a day ahead of the newest certificate: from now
/// on no certificate is issued by an earlier time.
#[utoipa::path(post, path = "/clock/confirm", tag = "meta", operation_id = "clock_confirm",
    responses((status = 200, body = ClockDoc)))]
pub(crate) async fn confirm(State(api): State<Api>) -> Result<Json<ClockDoc>, Problem> {
    let confirmed = api.store.apply(ConfirmClock).await?;
    let now = api.store.now();
    Ok(Json(ClockDoc { confirmed, now }))
}
