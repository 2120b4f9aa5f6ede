//! Claims about live views: of events, of deployments.

use std::sync::Arc;

use axum::{body::Body, http::Request, response::Response};
use http_body_util::BodyExt as _;
use mesh_proto::message::job::{JobProgress, Step};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout, timeout_at};
use tower::ServiceExt as _;

use super::{Site, deployments, resources::furnished};
use crate::{
    http::{
        auth::{Caller, Role},
        router,
    },
    state::{
        Changes, Timestamp, Transition, View,
        deployment::{Deployment, DeploymentId, State},
    },
};

/// What never comes fails a test instead of hanging it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Writes a deployment down as it is.
struct Put(Deployment);

impl Transition for Put {
    type Outcome = ();

    fn run(&self, _: &View, _: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        changes.write(self.0.clone());
        (changes, ())
    }
}

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

/// The documents in the stream's text.
fn documents(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|l| l.strip_prefix("data:"));
    data.map(|d| serde_json::from_str(d).unwrap()).collect()
}

fn said(done_bytes: u64) -> JobProgress {
    JobProgress {
        job: 1,
        step: Step::Writing,
        done_bytes,
        total_bytes: 100,
        wire_bytes: 7,
    }
}

#[tokio::test]
async fn a_deployment_is_followed_to_its_end_and_its_progress_is_in_no_store() {
    let site = deployments::furnished().await;
    let body = json!({"machine": "web1", "image": "debian"});
    site.json("POST", "/api/v1/deployments", body).await;
    let mut job = Deployment::clone(site.api.store.view().deployment(DeploymentId(1)).unwrap());
    job.state = State::Writing;
    site.api.store.apply(Put(job)).await.unwrap();
    let path = "/api/v1/deployments/stream?deployments=1";
    let response = site
        .ask(Some(Role::Viewer), "GET", path, Body::empty())
        .await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let before = site.api.store.view();
    let begun = Instant::now();
    let read = async { (read_events(response, 3).await, begun.elapsed()) };
    let ((text, took), ()) = tokio::join!(read, async {
        // Whatever an agent says, a person hears two of it a second.
        for n in 0..100 {
            site.api.steps.said(said(n), std::time::Instant::now());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    });
    assert!(took >= std::time::Duration::from_millis(950), "{took:?}");
    assert!(
        Arc::ptr_eq(&before, &site.api.store.view()),
        "nothing was written down"
    );
    let told = documents(&text);
    assert_eq!(told[0]["progress"], Value::Null);
    let progress = &told[2]["progress"];
    assert_eq!(
        (&progress["total_bytes"], &progress["wire_bytes"]),
        (&json!(100), &json!(7))
    );
    assert!(progress["done_bytes"].as_u64() > told[1]["progress"]["done_bytes"].as_u64());
}

#[tokio::test]
async fn a_stream_of_deployments_ends_with_the_last_of_them() {
    let site = deployments::furnished().await;
    let body = json!({"selector": "pool=web", "image": "debian"});
    site.json("POST", "/api/v1/deployments", body).await;
    let path = "/api/v1/deployments/stream?rollout=1";
    let response = site
        .ask(Some(Role::Viewer), "GET", path, Body::empty())
        .await;
    for id in [1, 2] {
        let path = format!("/api/v1/deployments/{id}/cancel");
        site.json("POST", &path, Value::Null).await;
    }
    let all = timeout(PATIENCE, response.into_body().collect()).await;
    let bytes = all.expect("it ends by itself").unwrap().to_bytes();
    let told = documents(std::str::from_utf8(&bytes).unwrap());
    let last: Vec<_> = told.iter().rev().take(2).map(|d| &d["state"]).collect();
    assert_eq!(last, ["cancelled", "cancelled"]);
    for (query, status) in [("", 400), ("?deployments=7", 404), ("?deployments=x", 422)] {
        let path = format!("/api/v1/deployments/stream{query}");
        let refused = site.json("GET", &path, Value::Null).await;
        assert_eq!(refused.0.as_u16(), status, "{query}");
    }
}
