//! How full the store of images is.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::{Api, answer::Json, error::Problem};

/// What the store of images holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ImageStore)]
pub struct ImageStoreDoc {
    /// Bytes of all chunks.
    pub stored_bytes: u64,
    /// How many chunks.
    pub chunks: u64,
    /// Bytes free on its disk.
    pub free_bytes: u64,
    /// Bytes of the disk that images leave free.
    pub reserve_bytes: u64,
    /// Bytes of chunks it may hold; absent: as many as the disk has room for.
    pub quota_bytes: Option<u64>,
}

/// Shows how full the store of images is.
#[utoipa::path(get, path = "/image-store", tag = "images", operation_id = "image_store_show",
    responses((status = 200, body = ImageStoreDoc)))]
pub(crate) async fn show(State(api): State<Api>) -> Result<Json<ImageStoreDoc>, Problem> {
    let usage = api.images()?.usage().await?;
    Ok(Json(ImageStoreDoc {
        stored_bytes: usage.stored_bytes,
        chunks: usage.chunks,
        free_bytes: usage.free_bytes,
        reserve_bytes: usage.limits.reserve_bytes,
        quota_bytes: usage.limits.quota_bytes,
    }))
}
