//! A message as a POST. Only the status of the answer counts; its body is not read.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, StatusCode, header};
use mesh_proto::message::Secret;
use tokio::time::timeout;

use super::{message::Message, sign};
use crate::{
    client::{Client, ClientError},
    state::{Timestamp, notify::HttpUrl, ops::Word},
};

/// Sends it once.
pub(super) async fn post(client: &Client, request: Request<Full<Bytes>>, within: Duration) -> Word {
    let answer = timeout(within, client.open(request)).await;
    match answer.unwrap_or(Err(ClientError::Late(within))) {
        Ok(answer) => judge(answer.status()),
        Err(error) => Word::Failed(error.to_string()),
    }
}

fn judge(status: StatusCode) -> Word {
    match status {
        s if s.is_success() => Word::Delivered(s.to_string()),
        StatusCode::GONE => Word::Gone("it answered 410: it wants no more".to_owned()),
        s if s.is_redirection() => Word::Failed(format!(
            "it answered {s}: redirects are not followed, name the right URL"
        )),
        s => Word::Failed(format!("it answered {s}")),
    }
}

/// The message as it is sent at `now`.
pub(super) fn request(
    url: &HttpUrl,
    secret: &Secret,
    message: &Message<'_>,
    now: Timestamp,
) -> Result<Request<Full<Bytes>>, String> {
    let body = serde_json::to_vec(message).map_err(|e| e.to_string())?;
    let key = sign::key(secret).map_err(|e| e.to_string())?;
    let timestamp = now.as_second();
    Request::post(url.uri())
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", timestamp)
        .header(
            "webhook-signature",
            sign::signature(&key, &message.id, timestamp, &body),
        )
        .body(Full::new(body.into()))
        .map_err(|e| e.to_string())
}
