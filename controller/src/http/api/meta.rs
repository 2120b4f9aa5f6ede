//! About the controller itself: alive, metrics, the API's description.

use std::{collections::BTreeMap, io::Read};

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use flate2::read::GzDecoder;

use crate::{
    http::Api,
    mesh::Mesh,
    metrics::{self, family},
};

/// The families that only exist while the mesh runs.
const LINKS: &str = "enforcer_links";
const GOSSIP: &str = "enforcer_gossip_datagrams_total";
const PEER_LINKS: &str = "enforcer_peer_links";
const PEERS: &str = "enforcer_peers";
/// All of them.
#[cfg(test)]
pub(in crate::http) const MESH_FAMILIES: [&str; 4] = [LINKS, GOSSIP, PEER_LINKS, PEERS];

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
    let mut text = metrics::render(&api.metrics, &api.store);
    mesh(&mut text, &api).await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// What only exists while the mesh runs.
async fn mesh(text: &mut String, api: &Api) {
    let Ok(mesh) = api.mesh() else {
        return;
    };
    let links = [("agent", mesh.links() as u64)];
    family(text, LINKS, "gauge", "Links that stand.", "role", links);
    sites(text, api, mesh);
    let counts = mesh.gossip_counts().await;
    let help = "Gossip datagrams, by what became of them.";
    family(text, GOSSIP, "counter", help, "fate", counts);
}

/// Other sites.
fn sites(text: &mut String, api: &Api, mesh: &Mesh) {
    let (federation, view) = (mesh.federation(), api.store.view());
    let standing = federation.standing();
    let links = standing.iter().map(|(site, n)| (site.as_str(), *n));
    let help = "Links with other sites that stand.";
    family(text, PEER_LINKS, "gauge", help, "site", links);
    let joined = view.peers().filter(|p| p.is_joined());
    let seen = joined.filter_map(|p| federation.seen(&p.site));
    let mut counts = BTreeMap::<&str, u64>::new();
    seen.for_each(|seen| *counts.entry(seen.presence.word()).or_default() += 1);
    let help = "Joined sites, by whether they are there.";
    family(text, PEERS, "gauge", help, "presence", counts);
}

/// The description of this API (OpenAPI 3.1).
#[utoipa::path(get, path = "/openapi.json", tag = "meta", operation_id = "openapi",
    responses((status = 200, body = serde_json::Value, content_type = "application/json")))]
pub(crate) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], document())
}

/// docs/openapi.json, packed by build.rs; a test holds it to what the code says. Unpacked when somebody asks: hardly ever.
fn document() -> Vec<u8> {
    let packed: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json.gz"));
    let mut text = Vec::new();
    GzDecoder::new(packed)
        .read_to_end(&mut text)
        .expect("build.rs packed it, and a test unpacks it");
    text
}
