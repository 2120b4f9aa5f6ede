//! Claims about requests with a name of their caller's own: sent twice they are done once.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Site, described, openapi, read, resources::furnished};

const KEY: &str = "idempotency-key";

impl Site {
    async fn once(&self, endpoint: &str, key: &'static str, body: Value) -> (StatusCode, Value) {
        let header = (axum::http::HeaderName::from_static(KEY), key);
        read(self.headed(endpoint, header, body).await).await
    }
}

fn refused(answer: &(StatusCode, Value)) -> (u16, &str) {
    (
        answer.0.as_u16(),
        answer.1["code"].as_str().unwrap_or("(none)"),
    )
}

#[tokio::test]
async fn a_request_sent_again_is_answered_the_same_also_after_a_restart() {
    let site = furnished().await;
    let endpoint = "POST /boot-configs/live/activate";
    let body = json!({"machine": "web1", "kind": "one-shot"});
    let first = site.once(endpoint, "k1", body.clone()).await;
    assert_eq!(first.0, StatusCode::CREATED, "{first:?}");
    assert_eq!(site.once(endpoint, "k1", body.clone()).await, first);
    let site = site.restarted().await;
    assert_eq!(site.once(endpoint, "k1", body.clone()).await, first);
    let count = site.api.store.view().activations().count();
    assert_eq!(count, 1);
    let again = site.once(endpoint, "k2", body).await;
    assert_eq!(refused(&again), (409, "already-active"), "another request");
}

#[tokio::test]
async fn one_name_is_one_request() {
    let site = furnished().await;
    let endpoint = "POST /boot-configs/live/activate";
    let body = |kind: &str| json!({"machine": "web1", "kind": kind});
    assert_eq!(
        site.once(endpoint, "k", body("standing")).await.0,
        StatusCode::CREATED
    );
    let reused = (422, "idempotency-key-reused");
    let other_body = site.once(endpoint, "k", body("one-shot")).await;
    assert_eq!(refused(&other_body), reused);
    let order = json!({"machine": "web1", "kind": "standing"});
    let other_place = site
        .once("POST /machines/web1/commands", "k", json!({"do": "reboot"}))
        .await;
    assert_eq!(
        refused(&other_place).0,
        409,
        "there is no mesh: {other_place:?}"
    );
    let other_config = site
        .once("POST /boot-configs/life/activate", "k", order)
        .await;
    assert_eq!(refused(&other_config), reused);
    let strange = site.once(endpoint, "two words", body("standing")).await;
    assert_eq!(refused(&strange), (422, "bad-value"));
}

#[tokio::test]
async fn machines_of_a_selector_are_told_the_same_again() {
    let site = furnished().await;
    let label = json!({"labels": {"pool": "web"}});
    assert_eq!(
        site.json("PATCH", "/api/v1/machines/web1", label).await.0,
        StatusCode::OK
    );
    let endpoint = "POST /boot-configs/live/activate-selector";
    let body = json!({"selector": "pool=web", "kind": "one-shot"});
    let first = site.once(endpoint, "k", body.clone()).await;
    assert_eq!(first.0, StatusCode::CREATED, "{first:?}");
    assert_eq!(first.1["armed"].as_array().unwrap().len(), 1);
    assert_eq!(site.once(endpoint, "k", body).await, first);
}

/// What begins work may be asked for under a name.
#[test]
fn what_begins_work_knows_the_header() {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut named = Vec::new();
    for (path, method) in described() {
        let operation = &document["paths"][&path][method.to_lowercase()];
        let mut parameters = operation["parameters"].as_array().into_iter().flatten();
        if parameters.any(|p| p["name"] == "Idempotency-Key") {
            named.push(operation["operationId"].as_str().unwrap().to_owned());
        }
    }
    named.sort();
    let known = [
        "boot_configs_activate",
        "boot_configs_activate_selector",
        "commands_issue",
        "deployments_create",
    ];
    assert_eq!(named, known);
}
