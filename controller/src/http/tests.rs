//! Claims about the API as a whole: who may do what, and what the document says.

mod audit;
mod browsers;
mod certificates;
mod conditional;
mod deployments;
mod filters;
mod images;
mod observed;
mod oidc;
mod once;
mod people;
mod power;
pub(crate) mod providers;
mod resources;
mod scope;
mod sign_in;
mod streams;
mod tokens;
mod webhooks;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
    response::Response,
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{
    auth::{Access, Caller, Role},
    *,
};
use crate::{
    images::Limits,
    state::policy::Policy,
    store::{Redb, Store, SystemClock},
};

/// An API on an empty store; the folder lives as long as it.
pub(crate) struct Site {
    pub(crate) api: Api,
    _state: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self::limited(Limits::default())
    }

    /// The same, with so much room for images.
    pub(crate) fn limited(limits: Limits) -> Self {
        Self::of(tempfile::tempdir().unwrap(), limits)
    }

    /// The same site after a restart.
    async fn restarted(self) -> Self {
        self.api.store.close().await;
        Self::of(self._state, Limits::default())
    }

    fn of(state: tempfile::TempDir, limits: Limits) -> Self {
        let backend = Redb::open(state.path().join("enforcer.redb")).unwrap();
        let store = Store::open(backend, Policy::default(), SystemClock).unwrap();
        let images = Images::open(state.path(), limits, store.clone()).unwrap();
        let api = Api::new(
            store,
            AssetFolder::open(state.path()).unwrap(),
            Arc::default(),
            "http://192.0.2.1:4880",
            CancellationToken::new(),
        )
        .with_images(images);
        Self { api, _state: state }
    }

    /// Its state folder.
    pub(crate) fn state(&self) -> &std::path::Path {
        self._state.path()
    }

    /// Sends JSON as this caller; the status and the JSON that came back.
    async fn as_caller(
        &self,
        (name, role): (&str, Role),
        method: &str,
        path: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let name = name.to_owned();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::from(body.to_string()))
            .unwrap();
        request.extensions_mut().insert(Caller { name, role });
        read(router(self.api.clone()).oneshot(request).await.unwrap()).await
    }

    /// Sends a request as a caller of `role`.
    async fn ask(&self, role: Option<Role>, method: &str, path: &str, body: Body) -> Response {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(body)
            .unwrap();
        if let Some(role) = role {
            let name = format!("test:{}", role.name());
            request.extensions_mut().insert(Caller { name, role });
        }
        router(self.api.clone()).oneshot(request).await.unwrap()
    }

    /// Sends JSON as an operator; the status and the JSON that came back.
    async fn json(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        read(self.ask(Some(Role::Operator), method, path, body).await).await
    }
}

async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

/// Every (path template, method) that the document describes.
fn described() -> Vec<(String, &'static str)> {
    let mut described = Vec::new();
    for (path, mut item) in openapi().paths.paths {
        described.extend(document::operations(&mut item).map(|(method, _)| (path.clone(), method)));
    }
    described
}

#[tokio::test]
async fn every_route_admits_exactly_the_declared_roles() {
    let site = Site::new();
    // Live streams end at once.
    site.api.stop.cancel();
    let table = access_table();
    let everybody = [
        None,
        Some(Role::Viewer),
        Some(Role::Operator),
        Some(Role::Admin),
    ];
    let described = described();
    assert!(described.len() > 20, "the document lost its routes");
    for (path, method) in &described {
        let access = table.access(path, method);
        let access = access.unwrap_or_else(|| panic!("{method} {path} has no declared role"));
        for role in everybody {
            let uri = path.replace(['{', '}'], "");
            let response = site.ask(role, method, &uri, Body::empty()).await;
            let refused =
                [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&response.status());
            let told = format!("{method} {path} as {role:?}: {}", response.status());
            assert_ne!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{told}");
            assert_eq!(refused, !access.admits(role), "{told}");
        }
    }
    assert_eq!(
        described.len(),
        table.entries().count(),
        "declared but not described"
    );
}

#[test]
fn anyone_gets_the_health_check_the_reader_and_to_sign_in_and_viewers_look_and_mind_their_own() {
    // What is one's own: who one is, and what shows it.
    let own = [
        ("DELETE", "/api/v1/session"),
        ("DELETE", "/api/v1/sessions/{session}"),
        ("PUT", "/api/v1/users/{user}/password"),
    ];
    for (path, method, access) in access_table().entries() {
        match access {
            Access::Anyone => {
                let file = path == "/healthz" || api::reader::PATHS.contains(&path);
                let ways = [
                    "/api/v1/sign-in",
                    "/api/v1/oidc/login",
                    "/api/v1/oidc/callback",
                ];
                let sign_in = (method, path) == ("POST", "/api/v1/session");
                let read = method == "GET" && (file || ways.contains(&path));
                assert!(sign_in || read, "{method} {path}");
            }
            Access::Least(Role::Viewer) => {
                let looks = method == "GET" || own.contains(&(method, path));
                assert!(looks, "{method} {path}");
            }
            Access::Least(Role::Operator | Role::Admin) => {}
        }
    }
}

#[tokio::test]
async fn a_handler_without_a_declared_role_is_never_reached() {
    let site = Site::new();
    let secret = axum::routing::get(|| async { "secret" }).delete(|| async { "gone" });
    let mut table = AccessTable::default();
    table.declare("/half", "GET", Access::Least(Role::Viewer));
    let router = Router::new()
        .route("/undeclared", secret.clone())
        .route("/half", secret);
    let router = guarded(router, table, site.api.clone());
    let ask = |method: Method, path: &str| {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let name = "test".to_owned();
        request.extensions_mut().insert(Caller {
            name,
            role: Role::Admin,
        });
        router.clone().oneshot(request)
    };
    let status = async |method, path| ask(method, path).await.unwrap().status();
    assert_eq!(
        status(Method::GET, "/undeclared").await,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        status(Method::DELETE, "/half").await,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(status(Method::GET, "/half").await, StatusCode::OK);
    assert_eq!(status(Method::HEAD, "/half").await, StatusCode::OK);
}

#[test]
fn the_checked_in_document_is_the_generated_one() {
    let mut generated = serde_json::to_string_pretty(&openapi()).unwrap();
    generated.push('\n');
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    if std::env::var_os("ENFORCER_UPDATE_DOCS").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let checked_in = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        checked_in == generated,
        "docs/openapi.json is old: run ENFORCER_UPDATE_DOCS=1 cargo test -p enforcer checked_in_document"
    );
    assert!(generated.contains("\"openapi\": \"3.1.0\""));
}

#[tokio::test]
async fn the_document_that_is_served_is_the_checked_in_one() {
    let (status, served) = Site::new()
        .json("GET", "/api/v1/openapi.json", Value::Null)
        .await;
    let checked_in: Value =
        serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(served == checked_in, "the program carries another document");
}

/// Every `$ref` in `value`.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(
                fields
                    .get("$ref")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            );
            fields.values().for_each(|v| references(v, found));
        }
        Value::Array(items) => items.iter().for_each(|v| references(v, found)),
        _ => {}
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 50, "{}", found.len());
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn every_operation_says_its_role_and_may_answer_with_a_problem() {
    for (path, mut item) in openapi().paths.paths {
        for (method, operation) in document::operations(&mut item) {
            let told = operation.description.clone().unwrap_or_default();
            assert!(
                told.contains("role") || told.contains("anyone"),
                "{method} {path}"
            );
            let answers = serde_json::to_value(&operation.responses).unwrap();
            let problem = "#/components/responses/Problem";
            assert_eq!(answers["default"]["$ref"], problem, "{method} {path}");
        }
    }
}
