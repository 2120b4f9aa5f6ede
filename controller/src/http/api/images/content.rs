//! An image's bytes over HTTP: a version comes as one stream and goes as one, whole or in ranges.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use futures_util::Stream;
use image_store::IngestOptions;
use ipxe::http::Wanted;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::{
    VersionDoc,
    versions::{About, VersionPath, save_taken},
};
use crate::{
    http::{
        Api,
        answer::Json,
        api::words::Visibility,
        auth::Caller,
        error::{Code, Problem},
        extract::{Params, Segment},
        once::idempotency_key,
    },
    images::{Bytes, Part},
    state::{image::ImageName, ops::may_change_image},
};

/// How an upload is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// The disk as it is.
    Raw,
    /// gzip, any number of members.
    Gzip,
    /// zstd, any number of frames.
    Zstd,
    /// xz, any number of streams.
    Xz,
}

impl From<Format> for image_store::Format {
    fn from(format: Format) -> Self {
        match format {
            Format::Raw => Self::Raw,
            Format::Gzip => Self::Gzip,
            Format::Zstd => Self::Zstd,
            Format::Xz => Self::Xz,
        }
    }
}

/// What is known about an upload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UploadQuery {
    /// How it is packed; absent: seen by its first bytes.
    #[serde(default)]
    #[param(inline)]
    format: Option<Format>,
    /// Bytes of a sector, 512 or 4096; absent: seen by its partition table, else 512.
    #[serde(default)]
    sector_size: Option<u32>,
    /// Bytes when unpacked; another size is refused.
    #[serde(default)]
    size: Option<u64>,
    /// Which machines may have a new image; absent: public.
    #[serde(default)]
    #[param(inline)]
    visibility: Option<Visibility>,
    /// Words about the version.
    #[serde(default)]
    note: Option<String>,
}

impl UploadQuery {
    fn options(&self) -> IngestOptions {
        IngestOptions {
            format: self.format.map(Into::into),
            sector_size: self.sector_size,
            size_bytes: self.size,
            ..IngestOptions::default()
        }
    }
}

/// Uploads a version; the body is a disk, raw or packed with gzip, zstd or xz.
///
/// It appears whole or not at all. With the header `Idempotency-Key` the same upload sent twice is one version. `curl -T` does.
#[utoipa::path(put, path = "/images/{name}/versions", tag = "images", operation_id = "image_versions_upload",
    params(("name" = String, Path, description = "The image; made when it is new"), UploadQuery),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = VersionDoc)))]
pub(crate) async fn upload(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    Params(query): Params<UploadQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<VersionDoc>, Problem> {
    let name: ImageName = name.parse("image")?;
    // Before its bytes come: they may be many.
    may_change_image(&api.store.view(), &name, &caller.asker())?;
    let options = query.options();
    let taken = api
        .images()?
        .upload(body.into_data_stream(), options)
        .await?;
    let about = About {
        upload: idempotency_key(&headers)?,
        visibility: query.visibility,
        note: query.note,
    };
    save_taken(&api, name, taken, about, &caller).await
}

/// Downloads a version as it is on a disk. Ranges are served.
#[utoipa::path(get, path = "/images/{name}/versions/{version}/raw", tag = "images", operation_id = "image_versions_raw",
    params(("name" = String, Path, description = "The image"), ("version" = String, Path, description = "A number, or `latest`")),
    responses((status = 200, content_type = "application/octet-stream", body = String)))]
pub(crate) async fn raw(
    State(api): State<Api>,
    path: VersionPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let digest = path.find(&api.store.view())?.1.content.manifest;
    let images = api.images()?;
    let size = path.find(&api.store.view())?.1.content.size;
    let tag = format!("\"{digest}\"");
    let wanted = wanted(&headers, &tag, size);
    let bytes = images.plain(digest, range(&wanted)).await?;
    answer(bytes, &wanted, &tag, "application/octet-stream")
}

/// Downloads a version as one zstd stream: `zstd -d` makes the disk of it. Ranges of the stream are served.
#[utoipa::path(get, path = "/images/{name}/versions/{version}/zstd", tag = "images", operation_id = "image_versions_zstd",
    params(("name" = String, Path, description = "The image"), ("version" = String, Path, description = "A number, or `latest`")),
    responses((status = 200, content_type = "application/zstd", body = String)))]
pub(crate) async fn zstd(
    State(api): State<Api>,
    path: VersionPath,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let digest = path.find(&api.store.view())?.1.content.manifest;
    let images = api.images()?;
    let whole = images.zstd(digest, None).await?;
    let tag = format!("\"{}\"", whole.tag);
    match wanted(&headers, &tag, whole.total) {
        Wanted::Whole => answer(whole, &Wanted::Whole, &tag, "application/zstd"),
        wanted => {
            let bytes = images.zstd(digest, range(&wanted)).await?;
            answer(bytes, &wanted, &tag, "application/zstd")
        }
    }
}

/// What is wanted of `size` bytes; a range of other bytes than these (`If-Range`) is not.
fn wanted(headers: &HeaderMap, tag: &str, size: u64) -> Wanted {
    let other = headers
        .get(header::IF_RANGE)
        .is_some_and(|known| known.as_bytes() != tag.as_bytes());
    let range = headers.get(header::RANGE).and_then(|r| r.to_str().ok());
    ipxe::http::wanted(range.filter(|_| !other), size)
}

fn range(wanted: &Wanted) -> Option<std::ops::Range<u64>> {
    match wanted {
        Wanted::Whole => None,
        Wanted::Part(range) => Some(range.clone()),
        Wanted::Unsatisfiable => Some(0..0),
    }
}

fn answer<S>(
    bytes: Bytes<S>,
    wanted: &Wanted,
    tag: &str,
    kind: &'static str,
) -> Result<Response, Problem>
where
    S: Stream<Item = Part> + Send + 'static,
{
    let total = bytes.total;
    let (status, len, content_range) = match wanted {
        Wanted::Whole => (StatusCode::OK, total, None),
        Wanted::Part(range) => {
            let text = format!("bytes {}-{}/{total}", range.start, range.end - 1);
            let len = range.end - range.start;
            (StatusCode::PARTIAL_CONTENT, len, Some(text))
        }
        Wanted::Unsatisfiable => {
            let text = format!("the image has {total} bytes; ask for a part of them");
            return Err(Problem::new(Code::RangeNotSatisfiable, text));
        }
    };
    let mut response = Response::new(Body::from_stream(bytes.parts));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, len.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    for (name, text) in [
        (header::ETAG, Some(tag.to_owned())),
        (header::CONTENT_RANGE, content_range),
    ] {
        if let Some(value) = text.and_then(|t| HeaderValue::from_str(&t).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}
