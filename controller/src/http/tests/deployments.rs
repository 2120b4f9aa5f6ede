//! Claims about deployments and setups over the API.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Site, images::disk, read};
use crate::http::{
    auth::{Caller, Role},
    router,
};

const DEPLOYMENTS: &str = "/api/v1/deployments";

/// Registered machines `web1`, `web2` of the pool `web`, and an image `debian`.
pub(super) async fn furnished() -> Site {
    let site = Site::new();
    for n in 1..=2 {
        let mac = json!({"mac": format!("52-54-00-77-00-0{n}"), "name": format!("web{n}")});
        assert_eq!(
            site.json("POST", "/api/v1/machines", mac).await.0,
            StatusCode::OK
        );
        let labels = json!({"labels": {"pool": "web"}});
        let path = format!("/api/v1/machines/web{n}");
        let labelled = site.json("PATCH", &path, labels).await;
        assert_eq!(labelled.0, StatusCode::OK, "{labelled:?}");
    }
    let path = "/api/v1/images/debian/versions";
    let pushed = site
        .ask(Some(Role::Operator), "PUT", path, Body::from(disk()))
        .await;
    assert_eq!(pushed.status(), StatusCode::OK);
    site
}

async fn deploy(site: &Site, body: Value) -> (StatusCode, Value) {
    site.json("POST", DEPLOYMENTS, body).await
}

fn code(answer: &(StatusCode, Value)) -> (u16, &str) {
    let code = answer.1["code"].as_str().unwrap_or("(none)");
    (answer.0.as_u16(), code)
}

#[tokio::test]
async fn a_deployment_is_asked_for_shown_moved_and_cancelled() {
    let site = furnished().await;
    let made = deploy(&site, json!({"machine": "web1", "image": "debian"})).await;
    assert_eq!(made.0, StatusCode::CREATED, "{made:?}");
    let job = &made.1["deployments"][0];
    assert_eq!(
        (&job["image"], &job["state"]),
        (&json!("debian@1"), &json!("queued"))
    );
    // Nothing is written to a machine that nobody accepted, and it says so.
    assert!(job["next"].as_str().unwrap().contains("accepted"), "{job}");
    let second = json!({"machine": "web1", "save_current": {"name": "before"}});
    assert_eq!(deploy(&site, second).await.0, StatusCode::CREATED);
    let moved = site
        .json("POST", "/api/v1/deployments/2/move", json!({"to": 0}))
        .await;
    assert_eq!(moved.1["waiting"], json!([2, 1]), "{moved:?}");
    let cancelled = site
        .json("POST", "/api/v1/deployments/1/cancel", Value::Null)
        .await
        .1;
    assert_eq!(
        (&cancelled["state"], &cancelled["open"]),
        (&json!("cancelled"), &json!(false))
    );
    let states: Vec<_> = cancelled["history"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["state"].clone())
        .collect();
    assert_eq!(states, ["queued", "cancelled"]);
    for (query, ids) in [
        ("", json!([2, 1])),
        ("?open=true", json!([2])),
        ("?state=cancelled", json!([1])),
        ("?machine=web2", json!([])),
        ("?limit=1", json!([2])),
        ("?limit=1&cursor=2", json!([1])),
    ] {
        let listed = site
            .json("GET", &format!("{DEPLOYMENTS}{query}"), Value::Null)
            .await
            .1;
        let items = listed["items"].as_array().unwrap();
        let found: Vec<_> = items.iter().map(|d| d["id"].clone()).collect();
        assert_eq!(json!(found), ids, "{query}");
    }
}

#[tokio::test]
async fn a_request_sent_twice_is_one_deployment() {
    let site = furnished().await;
    let send = async || {
        let body = json!({"machine": "web1", "image": "debian", "after": "power-off"});
        let mut request = Request::post(DEPLOYMENTS)
            .header("idempotency-key", "k-1")
            .body(Body::from(body.to_string()))
            .unwrap();
        let name = "test".to_owned();
        request.extensions_mut().insert(Caller {
            name,
            role: Role::Operator,
        });
        read(router(site.api.clone()).oneshot(request).await.unwrap())
            .await
            .1
    };
    let (first, again) = (send().await, send().await);
    assert_eq!(
        (&first["existed"], &again["existed"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(first["deployments"][0]["id"], again["deployments"][0]["id"]);
}

#[tokio::test]
async fn orders_that_cannot_be_are_refused_before_anything_is_queued() {
    let site = furnished().await;
    let files = json!([{"name": "../x", "text": ""}]);
    for (body, expected) in [
        (
            json!({"machine": "web9", "image": "debian"}),
            (404, "machine-not-found"),
        ),
        (
            json!({"machine": "web1", "image": "arch"}),
            (404, "image-not-found"),
        ),
        (
            json!({"machine": "web1", "image": "debian@7"}),
            (404, "image-not-found"),
        ),
        (
            json!({"machine": "web1", "image": "de bian"}),
            (422, "bad-value"),
        ),
        (json!({"machine": "web1"}), (422, "order-invalid")),
        (
            json!({"machine": "web1", "image": "debian", "roll_back": true}),
            (422, "order-invalid"),
        ),
        (
            json!({"machine": "web1", "image": "debian", "provision": files}),
            (422, "order-invalid"),
        ),
        (
            json!({"machine": "web1", "selector": "pool=web", "image": "debian"}),
            (400, "bad-request"),
        ),
        (json!({"image": "debian"}), (400, "bad-request")),
        (
            json!({"selector": "pool=db", "image": "debian"}),
            (422, "selector-unfit"),
        ),
        (
            json!({"machine": "web1", "setup": "none"}),
            (404, "setup-not-found"),
        ),
        (
            json!({"machine": "web1", "image": "debian", "colour": 1}),
            (400, "bad-request"),
        ),
    ] {
        let refused = deploy(&site, body.clone()).await;
        assert_eq!(code(&refused), expected, "{body}: {refused:?}");
    }
    let listed = site.json("GET", DEPLOYMENTS, Value::Null).await.1;
    assert_eq!(listed["items"], json!([]));
    for (endpoint, expected) in [
        ("GET /deployments/7", (404, "deployment-not-found")),
        ("POST /deployments/7/cancel", (404, "deployment-not-found")),
    ] {
        let (method, path) = endpoint.split_once(' ').unwrap();
        let refused = site
            .json(method, &format!("/api/v1{path}"), Value::Null)
            .await;
        assert_eq!(code(&refused), expected, "{endpoint}");
    }
}

#[tokio::test]
async fn labels_deploy_to_all_their_machines() {
    let site = furnished().await;
    let made = deploy(
        &site,
        json!({"selector": "pool=web", "image": "debian", "at_once": 1}),
    )
    .await;
    assert_eq!(made.0, StatusCode::CREATED, "{made:?}");
    let jobs = made.1["deployments"].as_array().unwrap();
    let names: Vec<_> = jobs.iter().map(|d| d["machine_name"].clone()).collect();
    assert_eq!(
        (json!(names), &made.1["rollout"]),
        (json!(["web1", "web2"]), &json!(1))
    );
}

#[tokio::test]
async fn a_rollout_is_listed_shown_changed_held_and_cancelled() {
    let site = furnished().await;
    let body = json!({"selector": "pool=web", "image": "debian"});
    deploy(&site, body).await;
    let path = "/api/v1/rollouts/1";
    let shown = site.json("GET", path, Value::Null).await.1;
    for (field, value) in [
        ("title", json!("debian@1")),
        ("state", json!("running")),
        ("at_once", json!(8)),
        ("max_failures", json!(3)),
    ] {
        assert_eq!(shown[field], value, "{field}");
    }
    assert_eq!(
        (&shown["tally"]["queued"], &shown["tally"]["running"]),
        (&json!(2), &json!(0))
    );
    let listed = site.json("GET", "/api/v1/rollouts", Value::Null).await.1;
    assert_eq!(listed["items"], json!([shown]));
    let jobs = site
        .json("GET", "/api/v1/deployments?rollout=1", Value::Null)
        .await
        .1;
    assert_eq!(jobs["items"].as_array().unwrap().len(), 2);
    let others = site
        .json("GET", "/api/v1/deployments?rollout=2", Value::Null)
        .await
        .1;
    assert_eq!(others["items"], json!([]));
    let changed = site.json("PATCH", path, json!({"at_once": 1})).await.1;
    assert_eq!(
        (&changed["at_once"], &changed["max_failures"]),
        (&json!(1), &json!(3))
    );
    let refused = site.json("PATCH", path, json!({"at_once": 0})).await;
    assert_eq!(code(&refused), (422, "bad-value"));
    let act = async |verb: &str| {
        let path = format!("{path}/{verb}");
        site.json("POST", &path, Value::Null).await
    };
    assert_eq!(act("pause").await.1["paused_by"], json!("test:operator"));
    assert_eq!(act("resume").await.1["state"], json!("running"));
    let cancelled = act("cancel").await.1;
    assert_eq!(
        (&cancelled["state"], &cancelled["tally"]["other"]),
        (&json!("over"), &json!(2))
    );
    assert_eq!(code(&act("pause").await), (409, "rollout-over"));
    let none = site.json("GET", "/api/v1/rollouts/7", Value::Null).await;
    assert_eq!(code(&none), (404, "rollout-not-found"));
}

#[tokio::test]
async fn a_setup_is_written_shown_deployed_in_order_and_deleted() {
    let site = furnished().await;
    let items = json!([
        {"image": "debian", "disk": {"smallest": true}},
        {"image": "debian@1", "disk": {"serial": "D2"}, "grow": true},
    ]);
    let path = "/api/v1/setups/node";
    let set = site.json("PUT", path, json!({"items": items})).await;
    assert_eq!(
        (set.0, &set.1["revision"]),
        (StatusCode::OK, &json!(1)),
        "{set:?}"
    );
    let twice = json!({"items": [{"image": "debian"}, {"image": "debian"}]});
    let refused = site.json("PUT", "/api/v1/setups/bad", twice).await;
    assert_eq!(code(&refused), (422, "setup-invalid"));
    let made = deploy(&site, json!({"machine": "web1", "setup": "node"})).await;
    assert_eq!(made.0, StatusCode::CREATED, "{made:?}");
    let jobs = made.1["deployments"].as_array().unwrap();
    let disks: Vec<_> = jobs.iter().map(|d| d["disk"]["serial"].clone()).collect();
    assert_eq!(disks, [Value::Null, json!("D2")]);
    let both = deploy(
        &site,
        json!({"machine": "web1", "setup": "node", "image": "debian"}),
    )
    .await;
    assert_eq!(code(&both), (400, "bad-request"));
    assert_eq!(
        site.json("DELETE", path, Value::Null).await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        code(&site.json("GET", path, Value::Null).await),
        (404, "setup-not-found")
    );
}
