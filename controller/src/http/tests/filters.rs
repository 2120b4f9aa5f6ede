//! Claims about lists: what they are narrowed by, and that narrowed lists have pages too.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Site, resources::furnished};

/// web1 (pool web, rack r1), web2 (pool web, spare), db1 (pool db).
async fn room() -> Site {
    let site = furnished().await;
    for (n, name, labels) in [
        (1, "web1", json!({"pool": "web", "rack": "r1"})),
        (2, "web2", json!({"pool": "web", "spare": "yes"})),
        (3, "db1", json!({"pool": "db"})),
    ] {
        let register = json!({"mac": format!("52-54-00-77-00-0{n}"), "name": name});
        site.json("POST", "/api/v1/machines", register).await;
        let path = format!("/api/v1/machines/{name}");
        let labelled = site.json("PATCH", &path, json!({"labels": labels})).await;
        assert_eq!(labelled.0, StatusCode::OK);
    }
    site
}

impl Site {
    /// What this field of a list's entries is, and the next page's cursor.
    async fn lists(&self, path: &str, field: &str) -> (Vec<Value>, Value) {
        let (status, mut page) = self
            .json("GET", &format!("/api/v1/{path}"), Value::Null)
            .await;
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        let items = page["items"].as_array().unwrap();
        (
            items.iter().map(|i| i[field].clone()).collect(),
            page["next"].take(),
        )
    }
}

#[tokio::test]
async fn machines_are_found_by_labels_and_words() {
    let site = room().await;
    for (query, names) in [
        ("label=pool%3Dweb", json!(["web1", "web2"])),
        ("label=pool=web&label=!spare", json!(["web1"])),
        (
            "label=pool=web&state=registered&label=rack!=r1",
            json!(["web2"]),
        ),
        ("label=pool=web,spare", json!(["web2"])),
        ("label=pool=mail", json!([])),
        ("q=R1", json!(["web1"])),
        ("q=web%20spare", json!(["web2"])),
        ("q=00:77:00:03", json!(["db1"])),
        ("q=registered&selector=pool=db", json!(["db1"])),
        ("q=nowhere", json!([])),
    ] {
        let found = site.lists(&format!("machines?{query}"), "name").await.0;
        assert_eq!(json!(found), names, "{query}");
    }
}

#[tokio::test]
async fn what_is_found_has_pages_too() {
    let site = room().await;
    let (first, next) = site.lists("machines?q=web&limit=1", "name").await;
    assert_eq!(json!(first), json!(["web1"]));
    let rest = format!("machines?q=web&limit=1&cursor={}", next.as_str().unwrap());
    let (second, next) = site.lists(&rest, "name").await;
    assert_eq!((json!(second), next), (json!(["web2"]), Value::Null));
}

#[tokio::test]
async fn other_lists_are_narrowed_by_state_labels_and_words() {
    let site = room().await;
    for (machine, kind) in [("web1", "standing"), ("db1", "one-shot")] {
        let body = json!({"machine": machine, "kind": kind});
        let made = site
            .json("POST", "/api/v1/boot-configs/live/activate", body)
            .await;
        assert_eq!(made.0, StatusCode::CREATED);
    }
    let body = json!({"machine": "db1"});
    site.json("POST", "/api/v1/activations/deactivate", body)
        .await;
    for (path, names) in [
        ("activations?label=pool=web", json!(["web1"])),
        ("activations?state=armed", json!(["web1"])),
        ("activations?q=DB1", json!(["db1"])),
        ("events?q=labelled", json!([])),
        ("events?q=machine.registered%20db1", json!(["db1"])),
    ] {
        let found = site.lists(path, "machine_name").await.0;
        assert_eq!(json!(found), names, "{path}");
    }
    for (path, count) in [
        ("boot-configs?q=liv", 1),
        ("boot-configs?q=dead", 0),
        ("members?label=pool=web&q=x&state=down", 0),
        ("commands?state=done&label=pool=web", 0),
        ("deployments?state=queued&label=pool=web&q=debian", 0),
    ] {
        assert_eq!(site.lists(path, "name").await.0.len(), count, "{path}");
    }
}

#[tokio::test]
async fn a_filter_that_cannot_be_is_refused() {
    let site = room().await;
    let long = format!("machines?q={}", "a+".repeat(9));
    for (path, status) in [
        ("machines?label=%3D", 422),
        ("machines?label=a&label=b&label=%3D", 422),
        ("machines?q=a&q=b", 400),
        ("machines?site=all&q=a", 422),
        ("machines?labels=pool=web", 400),
        (long.as_str(), 422),
    ] {
        let answer = site
            .json("GET", &format!("/api/v1/{path}"), Value::Null)
            .await;
        assert_eq!(answer.0.as_u16(), status, "{path}: {}", answer.1);
    }
}
