//! The database as a file, for backups.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use axum::{body::Body, extract::State, http::header, response::Response};
use bytes::Bytes;

use crate::{
    http::{
        Api,
        error::{Code, Problem},
    },
    store::{Snapshot, StoreError, write_file},
};

/// Sent at once, bytes.
const PIECE: usize = 64 * 1024;

/// A copy of the database as it is now: a file that a controller opens, and `enforcer backup` puts into its archive. Secrets
/// are in it: whoever has it has every password that the controller knows.
#[utoipa::path(get, path = "/database", tag = "meta", operation_id = "database_copy",
    responses((status = 200, content_type = "application/octet-stream", body = String)))]
pub(crate) async fn copy(State(api): State<Api>) -> Result<Response, Problem> {
    let rows = api.store.snapshot().await?;
    let path = api.assets.scratch();
    let written = tokio::task::spawn_blocking(move || written(&path, rows));
    let failed = |e: &dyn std::fmt::Display| {
        Problem::new(
            Code::Internal,
            format!("the database cannot be copied: {e}"),
        )
    };
    let (mut file, size) = written.await.map_err(|e| failed(&e))??;
    let pieces = async_stream::stream! {
        let mut left = size;
        while left > 0 {
            let mut piece = vec![0; PIECE.min(usize::try_from(left).unwrap_or(PIECE))];
            // Pages that were written a moment ago are in memory.
            let read = file.read_exact(&mut piece);
            left -= piece.len() as u64;
            let broken = read.is_err();
            yield read.map(|()| Bytes::from(piece));
            if broken {
                return;
            }
        }
    };
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, size)
        .body(Body::from_stream(pieces));
    response.map_err(|e| failed(&e))
}

/// The rows as a file that has no name any more: nothing of it stays behind, also after a crash. Its folder is cleaned at start.
fn written(path: &Path, rows: Snapshot) -> Result<(File, u64), StoreError> {
    let made = write_file(path, rows);
    let opened = made.map_err(StoreError::from).and_then(|()| {
        let open = || -> io::Result<(File, u64)> {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            Ok((file, size))
        };
        let place = path.display().to_string();
        open().map_err(|e| crate::store::BackendError::from_io(&place, e).into())
    });
    let _ = fs::remove_file(path);
    opened
}
