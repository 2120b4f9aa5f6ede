//! Claims about webhooks in the API.

use axum::{body::Body, http::StatusCode};
use serde_json::{Value, json};

use super::{Site, read};
use crate::http::auth::Role;

async fn create(site: &Site, body: Value) -> (StatusCode, Value) {
    let body = Body::from(body.to_string());
    read(
        site.ask(Some(Role::Admin), "POST", "/api/v1/webhooks", body)
            .await,
    )
    .await
}

#[tokio::test]
async fn a_secret_is_shown_once_and_never_again() {
    let site = Site::new();
    let (status, made) = create(
        &site,
        json!({"name": "ci", "url": "https://ci.example.org/x"}),
    )
    .await;
    assert_eq!(status, StatusCode::CREATED);
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"), "{secret}");
    assert_eq!(
        made["webhook"]["kinds"],
        json!(["deployment.online", "deployment.failed"])
    );
    for path in ["/api/v1/webhooks", "/api/v1/webhooks/ci", "/api/v1/events"] {
        let (status, shown) = site.json("GET", path, Value::Null).await;
        assert_eq!(status, StatusCode::OK);
        assert!(!shown.to_string().contains("whsec_"), "{path}: {shown}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_is_refused() {
    let site = Site::new();
    let long = vec!["a.b"; 33];
    for (body, code) in [
        (json!({"name": "ci"}), "bad-value"),
        (
            json!({"name": "ci", "url": "http://h/", "mail": "a@b"}),
            "bad-value",
        ),
        (
            json!({"name": "ci", "url": "file:///etc/passwd"}),
            "bad-value",
        ),
        (json!({"name": "ci", "mail": "nobody"}), "bad-value"),
        (
            json!({"name": "ci", "mail": "a@b", "secret": "whsec_x"}),
            "bad-value",
        ),
        (
            json!({"name": "ci", "url": "http://h/", "secret": "hunter2"}),
            "bad-value",
        ),
        (
            json!({"name": "ci", "url": "http://h/", "kinds": ["*.online"]}),
            "bad-value",
        ),
        (
            json!({"name": "ci", "url": "http://h/", "kinds": long}),
            "bad-value",
        ),
        (json!({"name": "../x", "url": "http://h/"}), "bad-value"),
        (
            json!({"name": "ci", "url": "http://h/", "machine": "nobody"}),
            "machine-not-found",
        ),
    ] {
        assert_eq!(create(&site, body.clone()).await.1["code"], code, "{body}");
    }
}

#[tokio::test]
async fn names_are_unique_and_what_is_not_there_is_told_so() {
    let site = Site::new();
    let good = json!({"name": "ci", "mail": "a@b"});
    assert_eq!(create(&site, good.clone()).await.0, StatusCode::CREATED);
    assert_eq!(create(&site, good).await.1["code"], "name-taken");
    for (method, path, body, code) in [
        (
            "GET",
            "/api/v1/webhooks/no",
            Value::Null,
            "webhook-not-found",
        ),
        (
            "POST",
            "/api/v1/webhooks/no/test",
            Value::Null,
            "webhook-not-found",
        ),
        (
            "GET",
            "/api/v1/webhooks/no/deliveries",
            Value::Null,
            "webhook-not-found",
        ),
        (
            "POST",
            "/api/v1/webhooks/ci/replay",
            json!({"delivery": 7}),
            "delivery-not-found",
        ),
    ] {
        assert_eq!(
            site.json(method, path, body).await.1["code"],
            code,
            "{path}"
        );
    }
}
