//! Providers: the clusters of other people's agents (Serf, Consul) that the configuration names, and how each does.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Page, PageQuery,
    words::{ProviderKind, ProviderState},
};
use crate::{
    http::{
        Api,
        answer::Json,
        error::{Code, Problem},
        extract::{Params, Segment},
    },
    providers::{Failure, ProviderStatus},
    state::{Timestamp, View, provider::ProviderName},
};

/// A provider. Nothing of its secret is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Provider)]
pub struct ProviderDoc {
    /// Its name here.
    pub name: String,
    /// Which cluster's agents.
    #[serde(rename = "type")]
    pub kind: ProviderKind,
    /// Where it is asked: `host:port` of Serf's RPC, the URL of Consul's API.
    pub address: String,
    /// Whether it answers.
    pub state: ProviderState,
    /// Since when.
    pub since: Timestamp,
    /// Members of it that are known here.
    pub members: usize,
    /// How many of them are alive.
    pub alive: usize,
    /// Members that were not taken: too many, or names that cannot be shown.
    pub passed_over: usize,
    /// Why it did not answer the last time that it did not; also shown when it has answered since.
    pub failure: Option<ProviderFailureDoc>,
    /// Failures since it answered last.
    pub failures: u32,
    /// When it is asked again; absent while it is being asked.
    pub next_attempt: Option<Timestamp>,
}

/// Why a provider did not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProviderFailure)]
pub struct ProviderFailureDoc {
    /// When.
    pub at: Timestamp,
    /// Its kind, as `enforcer_provider_faults_total` in `/metrics` counts it.
    pub kind: String,
    /// In words.
    pub reason: String,
}

impl ProviderDoc {
    fn of(provider: ProviderStatus, view: &View) -> Self {
        let members = view.members_of_provider(&provider.name);
        let health = provider.health;
        Self {
            members: view.provider_count(&provider.name),
            alive: members.filter(|m| m.is_alive()).count(),
            name: provider.name.to_string(),
            kind: provider.kind.into(),
            address: provider.address,
            state: health.state.into(),
            since: health.since,
            passed_over: health.passed_over,
            failure: health.failure.map(|Failure { at, kind, reason }| {
                let kind = kind.to_owned();
                ProviderFailureDoc { at, kind, reason }
            }),
            failures: health.failures,
            next_attempt: health.next_attempt,
        }
    }
}

/// Lists the configured providers, by name: Serf and Consul clusters whose members are shown beside those of the mesh.
#[utoipa::path(get, path = "/providers", tag = "members", operation_id = "providers_list", params(PageQuery),
    responses((status = 200, body = Page<ProviderDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<ProviderDoc>>, Problem> {
    let view = api.store.view();
    page.cut(
        api.providers(),
        |p| p.name.to_string(),
        |p| ProviderDoc::of(p, &view),
    )
}

/// Shows how a provider does: whether it answers, why not, and when it is asked again.
#[utoipa::path(get, path = "/providers/{provider}", tag = "members", operation_id = "providers_show",
    params(("provider" = String, Path, description = "Its name")),
    responses((status = 200, body = ProviderDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    name: Segment,
) -> Result<Json<ProviderDoc>, Problem> {
    let name: ProviderName = name.parse("provider")?;
    let found = api.providers().into_iter().find(|p| p.name == name);
    let missing = || {
        let text =
            format!("no provider is called '{name}' in the configuration of this controller");
        Problem::new(Code::ProviderNotFound, text)
    };
    let provider = found.ok_or_else(missing)?;
    Ok(Json(ProviderDoc::of(provider, &api.store.view())))
}
