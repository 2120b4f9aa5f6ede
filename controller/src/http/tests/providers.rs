//! Claims about how providers are shown.

use std::{net::TcpListener, time::Duration};

use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Site, read};
use crate::{
    http::auth::Role,
    providers::{ProviderAddress, ProviderSettings, Providers},
};

/// A port of this host at which nobody listens.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A controller whose Serf is not there, and which has seen so twice; and a Consul whose token nobody wrote.
pub(crate) async fn with_providers() -> (Site, u16, JoinSet<()>) {
    let mut site = Site::new();
    let (port, stop, mut tasks) = (closed_port(), CancellationToken::new(), JoinSet::new());
    let named = |name: &str, at, secret: &str| ProviderSettings {
        name: name.parse().unwrap(),
        at,
        secret_file: Some(secret.into()),
    };
    let serf = ProviderAddress::Serf {
        host: "127.0.0.1".to_owned(),
        port,
    };
    let consul = ProviderAddress::Consul {
        url: format!("http://127.0.0.1:{port}"),
        ca_file: None,
    };
    let settings = [
        named("lab", serf, "/dev/null"),
        named("dc1", consul, "/nowhere/consul.token"),
    ];
    let store = site.api.store.clone();
    let providers = Providers::start(&store, &site.api.metrics, &settings, &mut tasks, &stop);
    site.api = site.api.with_providers(providers);
    let mut changed = store.subscribe();
    let silent = async {
        let told = |kind: &str| {
            let view = store.view();
            view.events_after(0)
                .filter(|e| e.draft.kind == kind)
                .count()
        };
        while told("provider.silent") < 2 {
            changed.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), silent)
        .await
        .expect("both are silent");
    (site, port, tasks)
}

#[tokio::test]
async fn a_viewer_sees_how_each_provider_does_and_why() {
    let (site, port, _tasks) = with_providers().await;
    let get = async |path: &str| {
        let path = format!("/api/v1/providers{path}");
        let body = axum::body::Body::empty();
        read(site.ask(Some(Role::Viewer), "GET", &path, body).await).await
    };
    let (status, listed) = get("").await;
    assert_eq!(status, StatusCode::OK, "{listed}");
    let names: Vec<&Value> = listed["items"].as_array().unwrap().iter().collect();
    assert_eq!(names.len(), 2);
    assert_eq!(
        (&names[0]["name"], &names[1]["name"]),
        (&json!("dc1"), &json!("lab"))
    );
    let (_, lab) = get("/lab").await;
    assert_eq!(
        (&lab["type"], &lab["address"], &lab["state"]),
        (
            &json!("serf"),
            &json!(format!("127.0.0.1:{port}")),
            &json!("silent")
        )
    );
    assert_eq!((&lab["members"], &lab["alive"]), (&json!(0), &json!(0)));
    assert_eq!(lab["failure"]["kind"], "unreachable", "{lab}");
    let reason = lab["failure"]["reason"].as_str().unwrap();
    assert!(reason.contains("cannot be reached"), "{reason}");
    assert!(lab["failures"].as_u64().unwrap() >= 2, "{lab}");
    let (_, dc1) = get("/dc1").await;
    assert_eq!(
        (&dc1["type"], &dc1["address"], &dc1["failure"]["kind"]),
        (
            &json!("consul"),
            &json!(format!("http://127.0.0.1:{port}")),
            &json!("secret")
        )
    );
    assert_eq!(get("/nobody").await.1["code"], "provider-not-found");
    assert_eq!(get("/no%20name").await.1["code"], "bad-value");
}

#[tokio::test]
async fn without_providers_the_list_is_empty() {
    let site = Site::new();
    let listed = site.json("GET", "/api/v1/providers", Value::Null).await;
    assert_eq!(listed, (StatusCode::OK, json!({ "items": [] })));
}
