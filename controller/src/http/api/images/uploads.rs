//! An image that comes as chunks, so that only what the store lacks is sent and what broke goes on: which are missing, the
//! chunks, the manifest. The uploading program cuts and hashes (docs/PROTOCOL.md says how), and names its upload.

use ::image::ChunkId;
use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, Path, State},
    http::request::Parts,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    VersionDoc,
    versions::{About, save},
};
use crate::{
    http::{
        Api,
        answer::Json,
        api::words::Visibility,
        auth::Caller,
        error::{Code, Problem},
        extract::{JsonBody, Params, parse},
    },
    images::{BodySource, ImagesError, IncomingId, MAX_MANIFEST_BYTES},
    state::image::ImageName,
};

/// Ids in one question: their answer is quick, and the question fits into a JSON body.
pub const MAX_IDS: usize = 8192;

/// A path's image and upload.
#[derive(Debug)]
pub(crate) struct UploadPath {
    name: ImageName,
    upload: String,
}

impl<S: Send + Sync> FromRequestParts<S> for UploadPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((name, upload)) = path.map_err(|e| {
            let text = format!("the path is wrong: {}", e.body_text());
            Problem::new(Code::BadRequest, text)
        })?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !(8..=64).contains(&upload.len()) || !upload.bytes().all(plain) {
            let text = "upload: 8 to 64 letters, digits and '-', drawn at random";
            return Err(Problem::new(Code::BadValue, text));
        }
        let name = parse(&name, "image")?;
        Ok(Self { name, upload })
    }
}

impl UploadPath {
    fn id(&self) -> IncomingId {
        IncomingId::Upload(self.name.clone(), self.upload.clone())
    }
}

/// A question for chunks.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HaveBody {
    /// BLAKE3 of each chunk as it is on the disk, 64 hex digits; at most 8192.
    #[schema(value_type = Vec<String>)]
    pub ids: Vec<ChunkId>,
}

/// Its answer.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MissingDoc {
    /// The places, in the question, of chunks that are not there; from zero, ascending.
    pub missing: Vec<u32>,
}

/// Asks which chunks are missing. Those that are not stay as long as the upload goes on.
#[utoipa::path(post, path = "/images/{name}/uploads/{upload}/have", tag = "images", operation_id = "image_uploads_have",
    params(("name" = String, Path, description = "The image; need not be there yet"), ("upload" = String, Path, description = "The asker's random name for the upload, 8 to 64 letters, digits and '-'")),
    request_body = HaveBody,
    responses((status = 200, body = MissingDoc)))]
pub(crate) async fn have(
    State(api): State<Api>,
    path: UploadPath,
    JsonBody(body): JsonBody<HaveBody>,
) -> Result<Json<MissingDoc>, Problem> {
    if body.ids.len() > MAX_IDS {
        let text = format!("ids: at most {MAX_IDS} in one question");
        return Err(Problem::new(Code::BadValue, text));
    }
    let incoming = api.images()?.incoming(&path.id())?;
    let missing = incoming.missing(body.ids).await?;
    Ok(Json(MissingDoc { missing }))
}

/// How many chunks came.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PutDoc {
    /// Chunks of this request that are in the store now.
    pub chunks: u32,
}

/// Sends chunks; the body is parcels back to back (docs/PROTOCOL.md). What came whole before an error stays.
#[utoipa::path(put, path = "/images/{name}/uploads/{upload}/chunks", tag = "images", operation_id = "image_uploads_put",
    params(("name" = String, Path, description = "The image"), ("upload" = String, Path, description = "The upload")),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = PutDoc)))]
pub(crate) async fn put(
    State(api): State<Api>,
    path: UploadPath,
    body: Body,
) -> Result<Json<PutDoc>, Problem> {
    let incoming = api.images()?.incoming(&path.id())?;
    let mut source = BodySource::new(body.into_data_stream());
    let chunks = incoming.put(&mut source, None).await?;
    Ok(Json(PutDoc { chunks }))
}

/// What is said about the version.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SaveQuery {
    /// Which machines may have a new image; absent: public.
    #[serde(default)]
    #[param(inline)]
    visibility: Option<Visibility>,
    /// Words about the version.
    #[serde(default)]
    note: Option<String>,
}

/// Ends an upload; the body is the manifest. The version is there when this answers; sent again, it is the same version.
#[utoipa::path(put, path = "/images/{name}/uploads/{upload}/manifest", tag = "images", operation_id = "image_uploads_save",
    params(("name" = String, Path, description = "The image; made when it is new"), ("upload" = String, Path, description = "The upload"), SaveQuery),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = VersionDoc)))]
pub(crate) async fn finish(
    State(api): State<Api>,
    caller: Caller,
    path: UploadPath,
    Params(query): Params<SaveQuery>,
    body: Body,
) -> Result<Json<VersionDoc>, Problem> {
    let images = api.images()?;
    let manifest = whole(body).await?;
    let incoming = images.incoming(&path.id())?;
    let content = incoming.save(manifest).await?;
    let about = About {
        upload: Some(path.upload.clone()),
        visibility: query.visibility,
        note: query.note,
    };
    let id = path.id();
    let saved = save(&api, path.name, content, about, &caller).await?;
    images.arrived(&id);
    Ok(saved)
}

async fn whole(body: Body) -> Result<Vec<u8>, ImagesError> {
    let mut source = BodySource::new(body.into_data_stream());
    let mut all = Vec::new();
    while let Some(bytes) = source.next().await? {
        let bytes: Bytes = bytes;
        if (all.len() + bytes.len()) as u64 > MAX_MANIFEST_BYTES {
            return Err(ImagesError::Manifest);
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}
