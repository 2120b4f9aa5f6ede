//! Pages of other origins that may call the API: those of the allow-list, and no other (Fetch standard §3.2). What a page may
//! do is still its token's matter; without an entry a browser does not even show it the answers.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};

use super::answer::put_headers;

/// How long a browser may keep the answer to a preflight, seconds: an hour, so that a taken-back origin is soon noticed.
const KEEP_S: &str = "3600";
/// What our endpoints know.
const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
/// Request headers that a page needs for all of the API.
const ASKED: &str =
    "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id, range";
/// Response headers that a page may read beside the usual ones.
const SHOWN: &str = "content-range, etag, location, retry-after";

/// Origins whose pages may call: as a browser writes them, `https://host` or `https://host:port`.
pub(super) type Origins = Arc<[String]>;

/// Lets the pages of `origins` in; says nothing to others, so that their browsers refuse them.
pub(super) async fn allow(
    State(origins): State<Origins>,
    request: Request,
    next: Next,
) -> Response {
    let Some(origin) = allowed(request.headers(), &origins) else {
        return next.run(request).await;
    };
    let preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if preflight {
        answer_preflight()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(SHOWN),
    );
    // Another origin gets another answer: caches have to know.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    response
}

fn allowed(headers: &HeaderMap, origins: &[String]) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let known = origins.iter().any(|o| o.as_bytes() == origin.as_bytes());
    known.then(|| origin.clone())
}

fn answer_preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let told = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ASKED),
        (header::ACCESS_CONTROL_MAX_AGE, KEEP_S),
    ];
    put_headers(&mut response, told);
    response
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn_with_state, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(method: Method, origin: Option<&str>, preflight: bool) -> Response {
        let origins: Origins = Arc::from(["https://ops.example.org".to_owned()]);
        let app = Router::new()
            .route("/api/v1/machines", get(|| async { "[]" }))
            .layer(from_fn_with_state(origins, allow));
        let mut request = Request::builder().method(method).uri("/api/v1/machines");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        if preflight {
            request = request.header(header::ACCESS_CONTROL_REQUEST_METHOD, "PATCH");
        }
        app.oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap()
    }

    fn granted(response: &Response) -> Option<&str> {
        let value = response
            .headers()
            .get(header::ACCESS_CONTROL_ALLOW_ORIGIN)?;
        value.to_str().ok()
    }

    #[tokio::test]
    async fn a_page_of_the_list_may_call() {
        let answer = ask(Method::GET, Some("https://ops.example.org"), false).await;
        assert_eq!(granted(&answer), Some("https://ops.example.org"));
        assert_eq!(answer.headers()[header::VARY], "Origin");
        let before = ask(Method::OPTIONS, Some("https://ops.example.org"), true).await;
        assert_eq!(before.status(), StatusCode::NO_CONTENT);
        assert_eq!(granted(&before), Some("https://ops.example.org"));
        let methods = &before.headers()[header::ACCESS_CONTROL_ALLOW_METHODS];
        assert!(methods.to_str().unwrap().contains("PATCH"));
        let asked = &before.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS];
        for header in [
            "authorization",
            "if-match",
            "if-none-match",
            "idempotency-key",
        ] {
            assert!(asked.to_str().unwrap().contains(header), "{header}");
        }
        let shown = &answer.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS];
        assert!(shown.to_str().unwrap().contains("etag"));
    }

    #[tokio::test]
    async fn others_are_told_nothing() {
        for origin in [
            None,
            Some("null"),
            Some("http://ops.example.org"),
            Some("https://ops.example.org.evil.test"),
            Some("https://ops.example.org:444"),
        ] {
            let answer = ask(Method::GET, origin, false).await;
            assert_eq!(granted(&answer), None, "{origin:?}");
            let before = ask(Method::OPTIONS, origin, true).await;
            assert_eq!(before.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(granted(&before), None, "{origin:?}");
        }
    }
}
