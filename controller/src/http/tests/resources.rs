//! Claims about the resources: what they do and what they refuse.

use axum::{body::Body, http::StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{Site, read};
use crate::http::{auth::Role, extract};

const SUM_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn code(answer: &(StatusCode, Value)) -> &str {
    answer.1["code"].as_str().unwrap_or("(none)")
}

/// A registered machine `web1` and a config `live` whose kernel is uploaded.
pub(super) async fn furnished() -> Site {
    let site = Site::new();
    let path = format!("/api/v1/files/{SUM_OF_ABC}");
    let upload = site
        .ask(Some(Role::Operator), "PUT", &path, Body::from("abc"))
        .await;
    assert_eq!(upload.status(), StatusCode::OK);
    let mac = json!({"mac": "52-54-00-77-00-01", "name": "web1"});
    assert_eq!(
        site.json("POST", "/api/v1/machines", mac).await.0,
        StatusCode::OK
    );
    let config = json!({
        "program": {"type": "kernel", "kernel": {"name": "vmlinuz", "sha256": SUM_OF_ABC}, "cmdline": "console=ttyS0 host={{ name }}"},
        "answers": {"seed.txt": "I am {{ name }}"}
    });
    let set = site.json("PUT", "/api/v1/boot-configs/live", config).await;
    assert_eq!(
        (set.0, &set.1["program"]["kernel"]["size"]),
        (StatusCode::OK, &json!(3))
    );
    site
}

#[tokio::test]
async fn a_machine_is_found_by_name_id_and_any_spelling_of_its_mac() {
    let site = furnished().await;
    let id = site
        .json("GET", "/api/v1/machines/web1", Value::Null)
        .await
        .1["id"]
        .clone();
    for name in [
        "web1",
        "WEB1",
        "52:54:00:77:00:01",
        "5254.0077.0001",
        id.as_str().unwrap(),
    ] {
        let (status, machine) = site
            .json("GET", &format!("/api/v1/machines/{name}"), Value::Null)
            .await;
        assert_eq!((status, &machine["id"]), (StatusCode::OK, &id), "{name}");
    }
    let missing = site.json("GET", "/api/v1/machines/web2", Value::Null).await;
    assert_eq!(
        (missing.0, code(&missing)),
        (StatusCode::NOT_FOUND, "machine-not-found")
    );
}

#[tokio::test]
async fn refusals_are_problems_with_stable_codes() {
    let site = furnished().await;
    let used = format!("DELETE /files/{SUM_OF_ABC}");
    let body = |mac: &str| json!({"mac": mac});
    let other = json!({"mac": "52:54:00:77:00:02", "name": "web1"});
    let colour = json!({"mac": "52:54:00:77:00:02", "colour": 1});
    let web1 = json!({"machine": "web1"});
    let none = Value::Null;
    for (endpoint, body, expected) in [
        ("POST /machines", &other, "name-taken"),
        (
            "POST /machines",
            &body("ff:ff:ff:ff:ff:ff"),
            "mac-not-a-station",
        ),
        ("POST /machines", &body("52:54"), "bad-value"),
        ("POST /machines", &colour, "bad-request"),
        ("POST /machines", &none, "bad-request"),
        ("GET /machines?sate=seen", &none, "bad-request"),
        ("GET /machines?limit=0", &none, "bad-value"),
        ("GET /machines/%ff", &none, "bad-request"),
        ("GET /nothing", &none, "endpoint-not-found"),
        ("PATCH /machines", &none, "method-not-allowed"),
        ("GET /activations/7", &none, "activation-not-found"),
        ("GET /boot-configs/none", &none, "boot-config-not-found"),
        ("POST /activations/deactivate", &web1, "not-active"),
        (
            "DELETE /reservations/525400770001",
            &none,
            "reservation-not-found",
        ),
        (&used, &none, "file-in-use"),
        ("GET /files/abc", &none, "bad-value"),
    ] {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let answer = site
            .json(method, &format!("/api/v1{path}"), body.clone())
            .await;
        assert_eq!(code(&answer), expected, "{endpoint}: {answer:?}");
        assert_eq!(answer.1["status"], json!(answer.0.as_u16()), "{endpoint}");
        assert!(
            answer.1["detail"].as_str().is_some_and(|d| !d.is_empty()),
            "{endpoint}"
        );
    }
}

#[tokio::test]
async fn a_problem_says_its_media_type() {
    let site = Site::new();
    let response = site
        .ask(None, "GET", "/api/v1/machines", Body::empty())
        .await;
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_json_body_has_a_limit() {
    let site = Site::new();
    let big = json!({"mac": "x".repeat(extract::MAX_JSON_BYTES)});
    let answer = site.json("POST", "/api/v1/machines", big).await;
    assert_eq!(
        (answer.0, code(&answer)),
        (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large")
    );
}

#[tokio::test]
async fn an_upload_of_other_bytes_than_announced_is_refused_and_not_kept() {
    let site = Site::new();
    let path = format!("/api/v1/files/{SUM_OF_ABC}");
    let wrong = read(
        site.ask(Some(Role::Operator), "PUT", &path, Body::from("abd"))
            .await,
    )
    .await;
    assert_eq!(code(&wrong), "file-mismatch");
    assert_eq!(
        code(&site.json("GET", &path, Value::Null).await),
        "file-not-found"
    );
}

#[tokio::test]
async fn an_upload_may_be_larger_than_a_json_body() {
    let site = Site::new();
    let bytes = vec![0_u8; 3 * extract::MAX_JSON_BYTES];
    let sum =
        crate::assets::Sha256Hex::of(sha2::Digest::chain_update(sha2::Sha256::default(), &bytes));
    let path = format!("/api/v1/files/{sum}");
    let stored = read(
        site.ask(Some(Role::Operator), "PUT", &path, Body::from(bytes))
            .await,
    )
    .await;
    assert_eq!(
        (stored.0, &stored.1["size"]),
        (StatusCode::OK, &json!(3 << 20))
    );
}

#[tokio::test]
async fn a_config_needs_its_files() {
    let site = Site::new();
    let config =
        json!({"program": {"type": "kernel", "kernel": {"name": "vmlinuz", "sha256": SUM_OF_ABC}}});
    let refused = site.json("PUT", "/api/v1/boot-configs/live", config).await;
    assert_eq!(code(&refused), "file-not-found");
}

#[tokio::test]
async fn a_config_is_activated_once_and_ended_by_a_person() {
    let site = furnished().await;
    let activate = json!({"machine": "web1", "kind": "one-shot"});
    let path = "/api/v1/boot-configs/live/activate";
    let armed = site.json("POST", path, activate.clone()).await;
    assert_eq!(
        (armed.0, &armed.1["stage"]),
        (StatusCode::CREATED, &json!("armed"))
    );
    assert!(
        armed.1.get("nonce").is_none(),
        "the nonce is the machine's secret"
    );
    assert_eq!(
        code(&site.json("POST", path, activate).await),
        "already-active"
    );
    let delete = site
        .json("DELETE", "/api/v1/boot-configs/live", Value::Null)
        .await;
    assert_eq!(code(&delete), "boot-config-in-use");
    let machine = site
        .json("GET", "/api/v1/machines/web1", Value::Null)
        .await
        .1;
    assert_eq!(machine["active"]["config"], "live");
    let explained = site
        .json("GET", "/api/v1/explain?mac=web1", Value::Null)
        .await
        .1;
    assert_eq!(explained["plan"], "config", "{explained}");
    let ended = site
        .json(
            "POST",
            "/api/v1/activations/deactivate",
            json!({"machine": "web1"}),
        )
        .await;
    assert_eq!(
        (ended.0, &ended.1["stage"]),
        (StatusCode::OK, &json!("expired"))
    );
}

#[tokio::test]
async fn explain_of_an_unknown_mac_says_why_it_is_silent() {
    let site = Site::new();
    let (_, answer) = site
        .json("GET", "/api/v1/explain?mac=525400770009", Value::Null)
        .await;
    assert_eq!(
        (&answer["plan"], &answer["machine"]),
        (&json!("silent"), &Value::Null)
    );
    assert_eq!(
        answer["why"].as_array().unwrap().last().unwrap()["decided"],
        true
    );
}

#[tokio::test]
async fn a_preview_is_what_the_armed_machine_is_served() {
    let site = furnished().await;
    let path = "/api/v1/boot-configs/live/preview?machine=web1";
    let before = site.json("GET", path, Value::Null).await.1;
    assert!(
        before["script"].as_str().unwrap().contains("host=web1"),
        "{before}"
    );
    assert_eq!(before["answers"]["seed.txt"], "I am web1");
    let activate = json!({"machine": "web1", "kind": "one-shot"});
    site.json("POST", "/api/v1/boot-configs/live/activate", activate)
        .await;
    let armed = site.json("GET", path, Value::Null).await.1;
    let view = site.api.store.view();
    let nonce = view.activations().next().unwrap().nonce.to_string();
    assert!(
        armed["script"].as_str().unwrap().contains(&nonce),
        "{armed}"
    );
}

#[tokio::test]
async fn metrics_count_requests_machines_and_activations() {
    let site = furnished().await;
    let activate = json!({"machine": "web1", "kind": "standing"});
    site.json("POST", "/api/v1/boot-configs/live/activate", activate)
        .await;
    let response = site
        .ask(Some(Role::Viewer), "GET", "/metrics", Body::empty())
        .await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    for line in [
        "enforcer_api_requests_total{status=\"201\"} 1",
        "enforcer_machines{standing=\"registered\"} 1",
        "enforcer_activations{stage=\"armed\"} 1",
        "enforcer_records{kind=\"boot-configs\"} 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}
