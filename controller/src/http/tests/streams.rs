//! Claims about the live view of events.

use axum::{body::Body, http::Request, response::Response};
use http_body_util::BodyExt as _;
use serde_json::json;
use tokio::time::{Instant, timeout, timeout_at};
use tower::ServiceExt as _;

use super::{Site, resources::furnished};
use crate::http::{
    auth::{Caller, Role},
    router,
};

/// What never comes fails a test instead of hanging it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Reads server-sent events until `count` came; the text so far.
async fn read_events(response: Response, count: usize) -> String {
    let end = Instant::now() + PATIENCE;
    let mut body = response.into_body();
    let mut text = String::new();
    while text.matches("data:").count() < count {
        // Over all frames: the keep-alive comments come for ever.
        let frame = timeout_at(end, body.frame()).await.expect("in time");
        let frame = frame.expect("the stream goes on").unwrap();
        text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
    }
    text
}

#[tokio::test]
async fn a_stream_resumes_where_the_client_was_and_goes_on_live() {
    let site = furnished().await;
    let newest = site.api.store.view().next_event() - 1;
    let mut request = Request::get("/api/v1/events/stream")
        .body(Body::empty())
        .unwrap();
    request
        .headers_mut()
        .insert("last-event-id", (newest - 1).to_string().parse().unwrap());
    let name = "test".to_owned();
    request.extensions_mut().insert(Caller {
        name,
        role: Role::Viewer,
    });
    let response = router(site.api.clone()).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let register = json!({"mac": "52:54:00:77:00:02", "name": "web2"});
    let (text, _) = tokio::join!(
        read_events(response, 2),
        site.json("POST", "/api/v1/machines", register)
    );
    assert!(text.contains(&format!("id: {newest}\n")), "{text}");
    assert!(
        text.contains(&format!("id: {}\n", newest + 1)) && text.contains("web2"),
        "{text}"
    );
    assert!(!text.contains("event: reset"), "{text}");
}

#[tokio::test]
async fn a_stream_of_a_client_from_another_record_starts_with_a_reset() {
    let site = furnished().await;
    let path = "/api/v1/events/stream?after=999999";
    let response = site
        .ask(Some(Role::Viewer), "GET", path, Body::empty())
        .await;
    let text = read_events(response, 1).await;
    assert!(text.contains("event: reset"), "{text}");
}

#[tokio::test]
async fn a_stream_ends_when_the_controller_stops() {
    let site = Site::new();
    let response = site
        .ask(
            Some(Role::Viewer),
            "GET",
            "/api/v1/events/stream",
            Body::empty(),
        )
        .await;
    site.api.stop.cancel();
    let rest = response.into_body().collect();
    timeout(PATIENCE, rest).await.expect("in time").unwrap();
}
