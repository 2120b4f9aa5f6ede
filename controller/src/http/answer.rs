//! Answers in JSON.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tracing::error;

use crate::state::revision::Revision;

/// A document as an answer. Not axum's type of this name: that one writes into a buffer of its own kind, and so each of our
/// types would be compiled twice, for it and for everything else that is written.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        written(serde_json::to_vec(&self.0))
    }
}

impl<T: Serialize> Json<T> {
    /// The answer, and what tells its content from another.
    pub(super) fn respond(self) -> (Response, Revision) {
        let document = serde_json::to_vec(&self.0);
        let content = Revision::of_bytes(document.as_deref().unwrap_or_default());
        (written(document), content)
    }
}

/// Puts headers onto an answer, in the place of those of the same names.
pub(super) fn put_headers<const N: usize>(
    response: &mut Response,
    headers: [(HeaderName, &'static str); N],
) {
    let own = response.headers_mut();
    for (name, value) in headers {
        own.insert(name, HeaderValue::from_static(value));
    }
}

fn written(document: Result<Vec<u8>, serde_json::Error>) -> Response {
    let (status, kind, body) = match document {
        Ok(text) => (StatusCode::OK, "application/json", text),
        Err(error) => {
            error!(%error, "an answer could not be written");
            let text = error.to_string().into_bytes();
            let kind = "text/plain; charset=utf-8";
            (StatusCode::INTERNAL_SERVER_ERROR, kind, text)
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn kind(response: &Response) -> &str {
        response.headers()[header::CONTENT_TYPE].to_str().unwrap()
    }

    #[tokio::test]
    async fn an_answer_says_that_it_is_json() {
        let response = Json(["a", "b"]).into_response();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(kind(&response), "application/json");
        let body = axum::body::to_bytes(response.into_body(), 100).await;
        assert_eq!(body.unwrap(), r#"["a","b"]"#);
    }

    #[test]
    fn what_cannot_be_said_in_json_is_our_mistake() {
        let response = Json(BTreeMap::from([((1, 2), 3)])).into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(kind(&response).starts_with("text/plain"));
    }
}
