//! About the controller itself: alive, metrics, the API's description.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use utoipa::openapi::OpenApi;

use super::words::{MemberState, Stage, Standing};
use crate::{http::Api, metrics::family, state::View};

/// Says that the controller is up.
#[utoipa::path(get, path = "/healthz", tag = "meta", operation_id = "healthz",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "meta", operation_id = "metrics",
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(api): State<Api>) -> Response {
    let mut text = api.metrics.render();
    known(&mut text, &api.store.view());
    store(&mut text, &api);
    mesh(&mut text, &api).await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// What is counted from the view.
fn known(text: &mut String, view: &View) {
    let standings = view.machines().map(|m| Standing::from(m.standing).word());
    gauge(
        text,
        "enforcer_machines",
        "Known machines.",
        "standing",
        standings,
    );
    let stages = view.activations().map(|a| Stage::from(a.stage).word());
    gauge(
        text,
        "enforcer_activations",
        "Activations kept.",
        "stage",
        stages,
    );
    let states = view.members().map(|m| MemberState::from(m.state).word());
    gauge(
        text,
        "enforcer_members",
        "Members of the mesh.",
        "state",
        states,
    );
    let waiting = view.pending().count() as u64;
    let disputed = view.machines().filter(|m| m.disputed.is_some()).count() as u64;
    let deciding = [("pending", waiting), ("disputed", disputed)];
    let help = "What waits for a person.";
    family(text, "enforcer_undecided", "gauge", help, "what", deciding);
    let help = "Records kept.";
    let kept = [
        ("boot-configs", view.configs().count() as u64),
        ("events", view.event_count() as u64),
        ("leases", view.leases().count() as u64),
        ("reservations", view.reservations().count() as u64),
    ];
    family(text, "enforcer_records", "gauge", help, "kind", kept);
}

fn gauge<'a>(
    text: &mut String,
    name: &str,
    help: &str,
    label: &str,
    words: impl Iterator<Item = &'a str>,
) {
    let mut counts = BTreeMap::<&str, u64>::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    family(text, name, "gauge", help, label, counts);
}

/// What only exists while the mesh runs.
async fn mesh(text: &mut String, api: &Api) {
    let Ok(mesh) = api.mesh() else {
        return;
    };
    let links = [("agent", mesh.links() as u64)];
    family(
        text,
        "enforcer_links",
        "gauge",
        "Links that stand.",
        "role",
        links,
    );
    let counts = mesh.gossip_counts().await;
    let help = "Gossip datagrams, by what became of them.";
    family(
        text,
        "enforcer_gossip_datagrams_total",
        "counter",
        help,
        "fate",
        counts,
    );
}

/// How the store fares.
fn store(text: &mut String, api: &Api) {
    let stats = api.store.stats();
    let help = "What the store did.";
    let counts = [
        ("commits", stats.commits),
        ("conflicts", stats.conflicts),
        ("dropped-notes", stats.dropped_notes),
        ("failures", stats.failures),
        ("transitions", stats.transitions),
    ];
    family(
        text,
        "enforcer_store_total",
        "counter",
        help,
        "what",
        counts,
    );
}

/// The description of this API (OpenAPI 3.1).
#[utoipa::path(get, path = "/openapi.json", tag = "meta", operation_id = "openapi",
    responses((status = 200, body = serde_json::Value, content_type = "application/json")))]
pub(crate) async fn openapi() -> Json<&'static OpenApi> {
    static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(crate::http::openapi);
    Json(&DOCUMENT)
}
