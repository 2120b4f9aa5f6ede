//! Files of boot configs: kernels, initrds and others, by the SHA-256 of their bytes. Uploads stream to the disk.

use axum::{body::Body, extract::State, http::StatusCode};
use futures_util::StreamExt as _;
use hyper::body::Body as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Page, PageQuery};
use crate::{
    assets::{Sha256Hex, Stored},
    http::{
        Api,
        answer::Json,
        error::{Code, Problem},
        extract::{Params, Segment},
    },
    ordered::sort_by,
    state::View,
};

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = File)]
pub struct FileDoc {
    /// SHA-256 of its bytes, lower-case hex.
    pub sha256: String,
    /// Length in bytes.
    pub size: u64,
    /// The boot configs that name it, also those of open activations.
    pub used_by: Vec<String>,
}

impl FileDoc {
    fn of(stored: &Stored, view: &View) -> Self {
        let sha256 = stored.sha256.to_string();
        Self {
            used_by: users(&sha256, view),
            sha256,
            size: stored.size,
        }
    }
}

/// The configs that need a file, as they are now or as an open activation holds them.
fn users(sha256: &str, view: &View) -> Vec<String> {
    let held = view.activations().filter(|a| a.is_open());
    let configs = view.configs().map(AsRef::as_ref);
    let mut users: Vec<String> = configs
        .chain(held.map(|a| &a.config))
        .filter(|c| {
            c.program
                .assets()
                .any(|a| a.sha256.as_deref() == Some(sha256))
        })
        .map(|c| c.name.to_string())
        .collect();
    sort_by(&mut users, Ord::cmp);
    users.dedup();
    users
}

/// Lists files, by SHA-256.
#[utoipa::path(get, path = "/files", tag = "files", operation_id = "files_list", params(PageQuery),
    responses((status = 200, body = Page<FileDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<FileDoc>>, Problem> {
    let view = api.store.view();
    page.cut(
        api.assets.list()?,
        |f| f.sha256.to_string(),
        |f| FileDoc::of(&f, &view),
    )
}

/// Shows a file: whether it is here, how long it is, who needs it.
#[utoipa::path(get, path = "/files/{sha256}", tag = "files", operation_id = "files_show",
    params(("sha256" = String, Path, description = "SHA-256 of its bytes, lower-case hex")),
    responses((status = 200, body = FileDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    sha256: Segment,
) -> Result<Json<FileDoc>, Problem> {
    let stored = stored(&api, &sha256.parse("sha256")?)?;
    Ok(Json(FileDoc::of(&stored, &api.store.view())))
}

/// The file of this sum, or the problem that it is not here.
pub(super) fn stored(api: &Api, sha256: &Sha256Hex) -> Result<Stored, Problem> {
    api.assets.find(sha256)?.ok_or_else(|| {
        Problem::new(
            Code::FileNotFound,
            format!("there is no file {sha256}; upload it with PUT /api/v1/files/{sha256}"),
        )
    })
}

/// Uploads a file; the body is its bytes.
///
/// It appears whole or not at all; doing it again changes nothing.
#[utoipa::path(put, path = "/files/{sha256}", tag = "files", operation_id = "files_upload",
    params(("sha256" = String, Path, description = "SHA-256 of its bytes, lower-case hex")),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = FileDoc)))]
pub(crate) async fn upload(
    State(api): State<Api>,
    sha256: Segment,
    body: Body,
) -> Result<Json<FileDoc>, Problem> {
    let sha256 = sha256.parse("sha256")?;
    let stored = receive(&api, &sha256, body).await?;
    Ok(Json(FileDoc::of(&stored, &api.store.view())))
}

async fn receive(api: &Api, sha256: &Sha256Hex, body: Body) -> Result<Stored, Problem> {
    // Without a length nothing is announced, and the disk is looked at as the bytes come.
    let announced = body.size_hint().exact().unwrap_or_default();
    let mut upload = api.assets.begin(announced).await?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| {
            Problem::new(
                Code::UploadBroken,
                format!("the upload ended early ({e}); send it again"),
            )
        })?;
        upload.write(&chunk).await?;
    }
    Ok(upload.finish(Some(sha256)).await?)
}

/// Deletes a file that no boot config and no open activation names.
#[utoipa::path(delete, path = "/files/{sha256}", tag = "files", operation_id = "files_delete",
    params(("sha256" = String, Path, description = "SHA-256 of its bytes, lower-case hex")),
    responses((status = 204)))]
pub(crate) async fn delete(State(api): State<Api>, sha256: Segment) -> Result<StatusCode, Problem> {
    let sha256: Sha256Hex = sha256.parse("sha256")?;
    let _guard = api.fetcher.files().lock_owned().await;
    stored(&api, &sha256)?;
    let users = users(&sha256.to_string(), &api.store.view());
    if !users.is_empty() {
        return Err(Problem::new(
            Code::FileInUse,
            format!(
                "the file is needed by {}; delete or change that first",
                users.join(", ")
            ),
        ));
    }
    api.assets.remove(&sha256)?;
    Ok(StatusCode::NO_CONTENT)
}
