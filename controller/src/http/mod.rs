//! The API: routes and their roles, callers, problems. Boot HTTP, which machines speak, is not here but in `ipxe-net`.
//!
//! [`router`] is served on the local socket ([`local`]); what it needs to know of its caller, the transport says.

mod answer;
pub mod api;
mod audited;
pub mod auth;
pub(crate) mod conditional;
mod connection;
mod cookie;
mod cors;
#[cfg(test)]
mod document;
pub(crate) mod door;
mod endpoints;
pub mod error;
pub(crate) mod extract;
mod known;
mod lasting;
pub mod local;
pub mod network;
pub(crate) mod once;
mod routes;
pub(crate) mod scope;
pub(crate) mod sign_in;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::header,
    middleware::{Next, from_fn, from_fn_with_state},
    response::Response,
};
#[cfg(feature = "web")]
use axum::{http::Method, response::IntoResponse as _};
use mesh_proto::message::command::Command;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use self::{
    audited::Refusals,
    auth::{AccessTable, guard},
    error::{Code, Problem},
    known::{TokenRate, known},
    network::Presented,
    sign_in::SignIns,
};
use crate::{
    assets::AssetFolder,
    fetch::Fetcher,
    images::Images,
    mesh::{Mesh, Steps},
    metrics::{Counter, Metrics},
    oidc::Oidc,
    power::Power,
    providers::{ProviderStatus, Providers},
    state::{
        answered::RequestKey,
        command::CommandRecord,
        ops::{Giver, MachineRef, speaks_by_provider},
    },
    store::Store,
};

/// What handlers work with; cheap to clone.
#[derive(Clone)]
pub struct Api {
    /// What is known.
    pub store: Store,
    /// Files of boot configs.
    pub assets: AssetFolder,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where machines reach the boot HTTP server, such as `http://192.0.2.1:4880`; previews name files by it.
    pub boot_base: Arc<str>,
    /// Switches machines.
    pub power: Power,
    /// The mesh, unless it is off.
    mesh: Option<Mesh>,
    /// Other people's agents.
    providers: Option<Providers>,
    /// How far running deployments are.
    pub steps: Steps,
    /// The bytes of images, where they are kept.
    images: Option<Images>,
    /// What the API's port shows, where it speaks TLS.
    presented: Option<Presented>,
    /// Ends the live streams when the controller stops.
    pub stop: CancellationToken,
    /// Downloads of remote files; also guards which files are here.
    pub fetcher: Fetcher,
    /// Where people sign in beside here.
    pub(crate) oidc: Option<Oidc>,
    token_rate: TokenRate,
    refusals: Refusals,
    sign_ins: SignIns,
}

impl Api {
    /// The handlers' state.
    #[must_use]
    pub fn new(
        store: Store,
        assets: AssetFolder,
        metrics: Arc<Metrics>,
        boot_base: &str,
        stop: CancellationToken,
    ) -> Self {
        Self {
            power: Power::new(store.clone(), None),
            store,
            assets,
            metrics,
            boot_base: boot_base.into(),
            mesh: None,
            providers: None,
            steps: Steps::default(),
            images: None,
            presented: None,
            stop,
            fetcher: Fetcher::default(),
            oidc: None,
            token_rate: TokenRate::default(),
            refusals: Refusals::default(),
            sign_ins: SignIns::default(),
        }
    }

    /// The same, with a mesh.
    #[must_use]
    pub fn with_mesh(self, mesh: Option<Mesh>) -> Self {
        let power = Power::new(self.store.clone(), mesh.clone());
        let steps = mesh.as_ref().map_or(self.steps, |m| m.steps().clone());
        Self {
            mesh,
            power,
            steps,
            ..self
        }
    }

    /// The same, with other people's agents.
    #[must_use]
    pub fn with_providers(self, providers: Providers) -> Self {
        Self {
            providers: Some(providers),
            ..self
        }
    }

    /// The configured providers, by name.
    pub(crate) fn providers(&self) -> Vec<ProviderStatus> {
        self.providers
            .as_ref()
            .map_or_else(Vec::new, Providers::all)
    }

    /// Writes a command down and sends it: over the machine's link, or where only a provider knows it, through that.
    pub(crate) async fn command(
        &self,
        machine: MachineRef,
        command: Command,
        by: Giver,
        key: Option<RequestKey>,
    ) -> Result<CommandRecord, Problem> {
        let view = self.store.view();
        let foreign = machine
            .find(&view)
            .is_some_and(|m| speaks_by_provider(&view, &m));
        let issued = match &self.providers {
            Some(providers) if foreign => providers.command(machine, command, by, key).await?,
            Some(_) | None => {
                let mesh = self.mesh()?;
                mesh.command_once(machine, command, by, key).await?
            }
        };
        Ok(issued?)
    }

    /// The same, with what its port shows.
    #[must_use]
    pub fn with_certificate(self, presented: Option<Presented>) -> Self {
        Self { presented, ..self }
    }

    /// The same, with the bytes of images.
    #[must_use]
    pub fn with_images(self, images: Images) -> Self {
        Self {
            images: Some(images),
            ..self
        }
    }

    /// The bytes of images, or the problem that none are kept.
    pub(crate) fn images(&self) -> Result<&Images, Problem> {
        let off = || Problem::new(Code::ImagesOff, "this controller keeps no images");
        self.images.as_ref().ok_or_else(off)
    }

    /// The same, with downloads that somebody runs.
    #[must_use]
    pub fn with_fetcher(self, fetcher: Fetcher) -> Self {
        Self { fetcher, ..self }
    }

    /// The same, with an identity provider.
    #[must_use]
    pub fn with_oidc(self, oidc: Option<Oidc>) -> Self {
        Self { oidc, ..self }
    }

    /// The identity provider, or the problem that there is none.
    pub(crate) fn oidc(&self) -> Result<&Oidc, Problem> {
        let off =
            "nobody signs in at an identity provider here; `[oidc]` in the configuration names one";
        self.oidc
            .as_ref()
            .ok_or_else(|| Problem::new(Code::OidcOff, off))
    }

    /// The mesh, or the problem that there is none.
    pub(crate) fn mesh(&self) -> Result<&Mesh, Problem> {
        let off = "the mesh is off on this controller; set `mesh = true` in its configuration";
        self.mesh
            .as_ref()
            .ok_or_else(|| Problem::new(Code::MeshOff, off))
    }
}

/// What browsers get from the API's transports.
#[derive(Debug, Clone, Default)]
pub struct Browsers {
    /// Whether the web app is served beside the API (`[http] web`).
    pub app: bool,
    /// Pages of these other origins may call (`[http] web_origins`).
    pub origins: Vec<String>,
}

/// The whole API, ready to be served by any transport that puts a [`auth::Caller`] into its requests' extensions.
pub fn router(api: Api) -> Router {
    router_for(api, &Browsers::default())
}

/// The same, for browsers too.
pub fn router_for(api: Api, browsers: &Browsers) -> Router {
    let (router, table) = routes::all().split();
    let router = guarded(router, table, api);
    #[cfg(feature = "web")]
    let router = if browsers.app {
        router.fallback(app_or_not_found)
    } else {
        router
    };
    if browsers.origins.is_empty() {
        return router;
    }
    let origins = browsers.origins.clone().into();
    router.layer(from_fn_with_state(origins, cors::allow))
}

/// The web app's files; everything under `/api/` is the API's.
#[cfg(feature = "web")]
async fn app_or_not_found(request: Request) -> Response {
    let path = request.uri().path();
    if path.starts_with("/api/") || !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_found(request).await.into_response();
    }
    match crate::web::file(path, request.headers()) {
        Some(response) => response.map(axum::body::Body::from),
        None => not_found(request).await.into_response(),
    }
}

/// `router` behind the guard of `table`, with problems for everything that is not there.
fn guarded(router: Router<Api>, table: AccessTable, api: Api) -> Router {
    router
        .layer(from_fn(conditional::not_modified))
        .layer(from_fn_with_state(
            (Arc::new(table), api.store.clone()),
            guard,
        ))
        .layer(from_fn_with_state(api.clone(), audited::audited))
        .layer(from_fn_with_state(api.clone(), known))
        .layer(DefaultBodyLimit::max(extract::MAX_JSON_BYTES))
        .fallback(not_found)
        .layer(from_fn_with_state(Arc::clone(&api.metrics), count))
        .with_state(api)
}

/// The OpenAPI 3.1 document of the whole API, made from the code.
#[cfg(test)]
fn openapi() -> utoipa::openapi::OpenApi {
    routes::all().openapi()
}

/// What each endpoint asks of its caller.
#[cfg(test)]
fn access_table() -> AccessTable {
    routes::all().split().1
}

async fn not_found(request: Request) -> Problem {
    let path = error::short(request.uri().path());
    Problem::new(
        Code::EndpointNotFound,
        format!("there is nothing at '{path}'; /api/v1/openapi.json lists what there is"),
    )
}

/// Counts every answer; refusals by their reason, and those of whom one can say something are in the log.
async fn count(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let shows = request.headers().contains_key(header::AUTHORIZATION);
    let from = network::from(&request);
    let response = next.run(request).await;
    metrics.count(Counter::ApiRequests, response.status().as_str());
    use Code::{
        CrossOrigin, Forbidden, OidcAway, OidcDenied, OidcName, OidcNoAccess, OidcState,
        OidcUntrue, SignInRefused, TooManyRequests, Unauthenticated,
    };
    let code = response.extensions().get::<Code>().copied();
    if let Some(
        code @ (CrossOrigin | Forbidden | OidcAway | OidcDenied | OidcName | OidcNoAccess
        | OidcState | OidcUntrue | SignInRefused | TooManyRequests | Unauthenticated),
    ) = code
    {
        let reason = code.text();
        metrics.count(Counter::ApiRefusals, reason);
        // A stranger who shows nothing could fill the log.
        if shows || code == Forbidden {
            info!(%method, path, reason, from, "API refusal");
        } else {
            debug!(%method, path, reason, from, "API refusal");
        }
    }
    response
}

#[cfg(test)]
pub(crate) mod tests;
