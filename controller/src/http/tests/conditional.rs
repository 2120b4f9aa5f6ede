//! Claims about conditional requests: what was read is what is changed, and nothing is sent twice.

use axum::{
    body::Body,
    http::{HeaderName, Request, StatusCode, header},
    response::Response,
};
use http_body_util::BodyExt as _;
use ipxe::MacAddr;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Site, deployments, described, openapi, read, router};
use crate::{
    http::auth::{Caller, Role},
    state::{
        Changes, Timestamp, Transition, View,
        lease::Reservation,
        trust::{
            Digest,
            token::{JoinToken, TokenId, TokenScope},
        },
    },
};

impl Site {
    /// Sends a request with this header, as an admin.
    pub(super) async fn headed(
        &self,
        endpoint: &str,
        (name, value): (HeaderName, &str),
        body: Value,
    ) -> Response {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header(name, value)
            .body(body)
            .unwrap();
        let (name, role) = ("local:root".to_owned(), Role::Admin);
        request.extensions_mut().insert(Caller { name, role });
        router(self.api.clone()).oneshot(request).await.unwrap()
    }

    async fn changed(&self, endpoint: &str, tag: &str, body: Value) -> (u16, Option<String>) {
        let response = self.headed(endpoint, (header::IF_MATCH, tag), body).await;
        let (status, answer) = read(response).await;
        let code = answer["code"].as_str().map(str::to_owned);
        (status.as_u16(), code)
    }

    /// The tag of what is at `path`.
    async fn tag(&self, path: &str) -> String {
        let path = format!("/api/v1{path}");
        let response = self
            .ask(Some(Role::Admin), "GET", &path, Body::empty())
            .await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.headers()[header::ETAG]
            .to_str()
            .unwrap()
            .to_owned()
    }
}

fn failed() -> (u16, Option<String>) {
    (412, Some("precondition-failed".to_owned()))
}

fn script(text: &str) -> Value {
    json!({"program": {"type": "ipxe", "script": format!("#!ipxe\n{text}\n")}})
}

/// One of most things that have a tag, and where they are.
async fn furnished() -> (Site, [&'static str; 6]) {
    let site = deployments::furnished().await;
    let items = json!([{"image": "debian", "disk": {"serial": "A"}}]);
    for (endpoint, body) in [
        ("PUT /boot-configs/there", script("exit")),
        ("POST /users", json!({"name": "ann", "role": "viewer"})),
        (
            "POST /webhooks",
            json!({"name": "bell", "url": "http://192.0.2.1/"}),
        ),
        ("PUT /setups/desk", json!({"items": items})),
    ] {
        let accept = (header::ACCEPT, "*/*");
        let made = site.headed(endpoint, accept, body).await.status();
        assert!(made.is_success(), "{endpoint}: {made}");
    }
    let paths = [
        "/machines/web1",
        "/boot-configs/there",
        "/users/ann",
        "/webhooks/bell",
        "/setups/desk",
        "/images/debian",
    ];
    (site, paths)
}

#[tokio::test]
async fn a_change_of_what_was_read_is_made_and_the_second_of_two_is_told() {
    let (site, _) = furnished().await;
    for (endpoint, path, first, second) in [
        (
            "PATCH /machines/web1",
            "/machines/web1",
            json!({"labels": {"pool": "mail"}}),
            json!({"labels": {"pool": "db"}}),
        ),
        (
            "PUT /boot-configs/there",
            "/boot-configs/there",
            script("shell"),
            script("reboot"),
        ),
        (
            "PATCH /users/ann",
            "/users/ann",
            json!({"role": "operator"}),
            json!({"role": "admin"}),
        ),
    ] {
        let read = site.tag(path).await;
        assert_eq!(
            site.changed(endpoint, &read, first).await.0,
            200,
            "{endpoint}"
        );
        assert_eq!(
            site.changed(endpoint, &read, second.clone()).await,
            failed()
        );
        let again = site.tag(path).await;
        assert_ne!(again, read, "{endpoint}");
        assert_eq!(site.changed(endpoint, &again, second).await.0, 200);
    }
    let labels = site
        .json("GET", "/api/v1/machines/web1", Value::Null)
        .await
        .1;
    assert_eq!(labels["labels"]["pool"], "db");
}

/// Something is not deleted as something else, and is as what was read; the tag it had.
async fn deleted_as_read(site: &Site, path: &str) -> String {
    let (read, delete) = (site.tag(path).await, format!("DELETE {path}"));
    let other = read.replace(&read[1..17], "0123456789abcdef");
    let refused = site.changed(&delete, &other, Value::Null).await;
    assert_eq!(refused, failed(), "{path}");
    let gone = site.changed(&delete, &read, Value::Null).await;
    assert_eq!(gone.0, 204, "{path}");
    read
}

#[tokio::test]
async fn nothing_is_deleted_that_is_not_what_was_read() {
    let (site, paths) = furnished().await;
    for path in paths {
        let (read, delete) = (deleted_as_read(&site, path).await, format!("DELETE {path}"));
        let gone = site.changed(&delete, &read, Value::Null).await;
        assert_eq!(gone.0, 404, "{path}: what is gone is not found");
    }
}

#[tokio::test]
async fn an_answer_that_is_known_is_not_sent_again() {
    let (site, paths) = furnished().await;
    for path in paths {
        let tag = site.tag(path).await;
        let get = format!("GET {path}");
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            let same = site
                .headed(&get, (header::IF_NONE_MATCH, &known), Value::Null)
                .await;
            assert_eq!(same.status(), StatusCode::NOT_MODIFIED, "{path} {known}");
            assert_eq!(same.headers()[header::ETAG].to_str().unwrap(), tag);
            assert!(!same.headers().contains_key(header::CONTENT_TYPE));
            assert!(
                same.into_body()
                    .collect()
                    .await
                    .unwrap()
                    .to_bytes()
                    .is_empty()
            );
        }
        let other = site
            .headed(&get, (header::IF_NONE_MATCH, "\"x\""), Value::Null)
            .await;
        assert_eq!(other.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn what_is_shown_beside_a_record_counts_for_reading_and_not_for_changing() {
    let (site, _) = furnished().await;
    let before = site.tag("/machines/web1").await;
    let body = json!({"machine": "web1", "kind": "standing"});
    let (status, _) = site
        .json("POST", "/api/v1/boot-configs/there/activate", body)
        .await;
    assert_eq!(status, StatusCode::CREATED);
    let get = (header::IF_NONE_MATCH, before.as_str());
    let read = site.headed("GET /machines/web1", get, Value::Null).await;
    assert_eq!(read.status(), StatusCode::OK, "another config is active");
    let labels = json!({"labels": {"pool": "mail"}});
    let changed = site.changed("PATCH /machines/web1", &before, labels).await;
    assert_eq!(changed.0, 200, "the machine itself is as it was");
}

#[tokio::test]
async fn a_new_config_does_not_replace_one_that_somebody_made_meanwhile() {
    let site = Site::new();
    let fresh = (header::IF_NONE_MATCH, "*");
    let first = site
        .headed("PUT /boot-configs/new", fresh.clone(), script("exit"))
        .await;
    assert_eq!(first.status(), StatusCode::OK);
    let second = site
        .headed("PUT /boot-configs/new", fresh, script("shell"))
        .await;
    assert_eq!(second.status(), StatusCode::PRECONDITION_FAILED);
    let gone = site
        .changed("PUT /boot-configs/gone", "*", script("exit"))
        .await;
    assert_eq!(gone, failed(), "nothing is made anew by a change");
    let read = site
        .changed("PUT /boot-configs/new", "exit", script("exit"))
        .await;
    assert_eq!(read.0, 400, "a tag without quotes is no tag");
}

/// The document promises tags for these; the tests above ask for most of them.
#[test]
fn what_can_be_changed_under_a_condition_is_described_with_its_tag() {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut tagged = Vec::new();
    for (path, method) in described() {
        let operation = &document["paths"][&path][method.to_lowercase()];
        if method == "GET" && !operation["responses"]["304"].is_null() {
            assert!(
                !operation["responses"]["200"]["headers"]["ETag"].is_null(),
                "{path}"
            );
            tagged.push(path);
        }
    }
    let names = [
        "boot-configs/{name}",
        "images/{name}",
        "join-tokens/{id}",
        "machines/{machine}",
        "machines/{machine}/power-settings",
        "peers/{site}",
        "reservations/{mac}",
    ];
    let more = [
        "rollouts/{rollout}",
        "setups/{name}",
        "tokens/{token}",
        "users/{user}",
        "webhooks/{webhook}",
    ];
    let all = names.iter().chain(&more).map(|n| format!("/api/v1/{n}"));
    assert_eq!(tagged, all.collect::<Vec<_>>());
}

/// A join token, which only a mesh makes, and a reservation, for which there is no subnet here.
struct Put(JoinToken, Reservation);

impl Transition for Put {
    type Outcome = ();

    fn run(&self, _: &View, _: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        changes.write(self.0.clone());
        changes.write(self.1.clone());
        (changes, ())
    }
}

fn join_token(now: Timestamp) -> JoinToken {
    JoinToken {
        id: TokenId::from_random(7),
        secret_sha256: Digest::of(b"secret"),
        scope: TokenScope::Any,
        by: "ann".to_owned(),
        created: now,
        expires: now + jiff::SignedDuration::from_hours(1),
        used_by: None,
        revoked: None,
    }
}

#[tokio::test]
async fn tokens_power_and_reservations_are_only_changed_as_they_were_read() {
    let (site, _) = furnished().await;
    let join = join_token(site.api.store.now());
    let reservation = Reservation {
        mac: MacAddr([2, 0, 0, 0, 1, 1]),
        ip: [192, 0, 2, 7].into(),
        hostname: None,
    };
    let put = Put(join.clone(), reservation);
    site.api.store.apply(put).await.unwrap();
    let power = |secret: &str| json!({"address": "ipmi://ann@192.0.2.9", "secret": secret});
    let set = "PUT /machines/web1/power-settings";
    for (endpoint, body) in [("POST /tokens", json!({"name": "ci"})), (set, power("one"))] {
        let made = site.headed(endpoint, (header::ACCEPT, "*/*"), body).await;
        assert!(made.status().is_success(), "{endpoint}");
    }
    let path = "/machines/web1/power-settings";
    let read = site.tag(path).await;
    assert_eq!(site.changed(set, &read, power("two")).await.0, 204);
    assert_eq!(
        site.changed(set, &read, power("three")).await,
        failed(),
        "another password"
    );
    let fresh = (header::IF_NONE_MATCH, "*");
    let second = site.headed(set, fresh, power("four")).await;
    assert_eq!(second.status(), StatusCode::PRECONDITION_FAILED);
    let kept = site.api.store.view();
    let machine = kept.machine_by_name(&"web1".parse().unwrap()).unwrap();
    let kept = kept.power(&machine.id).unwrap();
    assert_eq!(kept.secret.as_ref().map(|s| s.expose()), Some("two"));
    let shown = site
        .json("GET", &format!("/api/v1{path}"), Value::Null)
        .await
        .1;
    assert_eq!(
        shown,
        json!({"address": "ipmi://ann@192.0.2.9:623", "secret": true})
    );
    let none = json!({"address": "none"});
    let read = site.tag(path).await;
    assert_eq!(site.changed(set, &read, none).await.0, 204);
    let gone = site
        .json("GET", &format!("/api/v1{path}"), Value::Null)
        .await;
    assert_eq!(gone.1["code"], "power-settings-not-found");
    for path in ["/tokens/ci".to_owned(), format!("/join-tokens/{}", join.id)] {
        let read = deleted_as_read(&site, &path).await;
        assert_ne!(site.tag(&path).await, read, "{path}: revoked");
    }
    let path = "/reservations/02:00:00:00:01:01";
    let (read, delete) = (site.tag(path).await, format!("DELETE {path}"));
    let other = read.replace(&read[1..17], "0123456789abcdef");
    assert_eq!(site.changed(&delete, &other, Value::Null).await, failed());
    assert_eq!(site.changed(&delete, &read, Value::Null).await.0, 204);
    assert_eq!(site.changed(&delete, &read, Value::Null).await.0, 404);
}
