//! Boot configs: what a person wants machines to run; setting, previewing, activating them.

mod document;
mod preset;
mod preview;

use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub use self::{
    document::{
        AssetDoc, ConfigDoc, ConfigSummary, FileInput, FileState, ProgramDoc, ProgramInput,
    },
    preset::{OsInput, PresetDoc},
    preview::PreviewDoc,
};
use super::{
    Page, PageQuery,
    activations::{self, ActivationDoc},
    machines,
    words::{Evidence, Kind, Level},
};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::Problem,
        extract::{JsonBody, Params, Segment, parse},
        once::Keyed,
        scope::Scope,
    },
    state::{
        Timestamp, View,
        activation::Nonce,
        answered::Made,
        config::{BootConfig, ConfigName},
        ops::{
            Activate, ActivateLent, ActivateSelected, ConfigError, DeleteConfig, ForMachine,
            MachineRef, Once, OnceMade, Refetch, SetConfig,
        },
        revision::Subject,
    },
};

/// Lists boot configs in short, by name.
#[utoipa::path(get, path = "/boot-configs", tag = "boot-configs", operation_id = "boot_configs_list", params(PageQuery),
    responses((status = 200, body = Page<ConfigSummary>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<ConfigSummary>>, Problem> {
    let view = api.store.view();
    page.cut(
        view.configs(),
        |c| c.name.to_string(),
        |c| ConfigSummary::of(c, &view),
    )
}

/// Shows a boot config.
#[utoipa::path(get, path = "/boot-configs/{name}", tag = "boot-configs", operation_id = "boot_configs_show",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = ConfigDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    name: Segment,
) -> Result<Tagged<ConfigDoc>, Problem> {
    let found = find(&api.store.view(), &name)?;
    let document = ConfigDoc::of(&found, &api.fetcher);
    Ok(Tagged::new(&*found, document))
}

/// The config that a path names.
fn find(view: &View, name: &Segment) -> Result<std::sync::Arc<BootConfig>, Problem> {
    let name: ConfigName = name.parse("boot config")?;
    let found = view.config(&name).cloned();
    found.ok_or_else(|| ConfigError::NotFound(name).into())
}

/// A boot config as a person writes it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetBody {
    /// What it runs.
    pub program: ProgramInput,
    /// Text files that the booted system fetches, such as a preseed: name → template.
    #[serde(default)]
    pub answers: BTreeMap<String, String>,
    /// What closes its activations; when absent `callback` with answer files, else `fetched`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// How well a machine's key must be proved before this is served; absent: everybody may read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
    /// It writes to a disk without asking: it is for accepted machines only, and never standing. The presets of installers
    /// say so by themselves.
    #[serde(default)]
    pub writes_disk: bool,
}

/// Writes a boot config; replaces the one of this name.
///
/// Its files must have been uploaded, or are fetched from now on. What is armed keeps the
/// revision it was armed with.
#[utoipa::path(put, path = "/boot-configs/{name}", tag = "boot-configs", operation_id = "boot_configs_set", request_body = SetBody,
    params(("name" = String, Path, description = "Its name"), IfMatch),
    responses((status = 200, body = ConfigDoc)))]
pub(crate) async fn set(
    State(api): State<Api>,
    name: Segment,
    read: IfMatch,
    JsonBody(body): JsonBody<SetBody>,
) -> Result<Tagged<ConfigDoc>, Problem> {
    let name: ConfigName = name.parse("boot config")?;
    let about = Subject::Config(name.clone());
    let _guard = api.fetcher.files().lock_owned().await;
    let config = body.into_config(name, &api)?;
    let config = read.apply(&api, about, SetConfig(config)).await??;
    api.fetcher.kick();
    let document = ConfigDoc::of(&config, &api.fetcher);
    Ok(Tagged::new(&config, document))
}

/// Fetches the remote files of a boot config again; a server may have newer ones.
///
/// Answers at once; `GET` tells how far it is. What is armed keeps the files it was armed with.
#[utoipa::path(post, path = "/boot-configs/{name}/fetch", tag = "boot-configs", operation_id = "boot_configs_fetch",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 202, body = ConfigDoc)))]
pub(crate) async fn fetch(
    State(api): State<Api>,
    name: Segment,
) -> Result<(StatusCode, Json<ConfigDoc>), Problem> {
    let config = name.parse("boot config")?;
    let config = api.store.apply(Refetch { config, all: true }).await??;
    api.fetcher.kick();
    let document = ConfigDoc::of(&config, &api.fetcher);
    Ok((StatusCode::ACCEPTED, Json(document)))
}

/// Deletes a boot config that no open activation holds. Its files stay until they are deleted.
#[utoipa::path(delete, path = "/boot-configs/{name}", tag = "boot-configs", operation_id = "boot_configs_delete",
    params(("name" = String, Path, description = "Its name"), IfMatch),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    name: Segment,
    read: IfMatch,
) -> Result<StatusCode, Problem> {
    let name: ConfigName = name.parse("boot config")?;
    let about = Subject::Config(name.clone());
    read.apply(&api, about, DeleteConfig(name)).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// For which machine to preview.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PreviewQuery {
    /// Name, id or MAC of a known machine.
    machine: String,
    /// The boot HTTP server as that machine reaches it, such as `http://192.0.2.1:4880`; without it, as most do.
    #[serde(default)]
    base: Option<String>,
}

/// Shows the script and the answer files as the machine would be served them.
#[utoipa::path(get, path = "/boot-configs/{name}/preview", tag = "boot-configs", operation_id = "boot_configs_preview",
    params(("name" = String, Path, description = "Its name"), PreviewQuery),
    responses((status = 200, body = PreviewDoc)))]
pub(crate) async fn preview(
    State(api): State<Api>,
    name: Segment,
    Params(query): Params<PreviewQuery>,
) -> Result<Json<PreviewDoc>, Problem> {
    let view = api.store.view();
    let (config, machine) = (find(&view, &name)?, machines::find(&view, &query.machine)?);
    let base = query.base.as_deref().unwrap_or(&api.boot_base);
    Ok(Json(preview::preview(&config, &machine, &view, base)?))
}

/// For which machine, and how.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateBody {
    /// Name, id or MAC.
    pub machine: String,
    /// One-shot or standing.
    pub kind: Kind,
    /// Not served after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The boot helper that alone shall serve it, also while the controller is away: name, id or MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<String>,
}

/// Makes a boot config due for a machine: its next boot gets it.
#[utoipa::path(post, path = "/boot-configs/{name}/activate", tag = "boot-configs", operation_id = "boot_configs_activate", request_body = ActivateBody,
    params(("name" = String, Path, description = "Its name"), Keyed<ActivateBody>),
    responses((status = 201, body = ActivationDoc)))]
pub(crate) async fn activate(
    State(api): State<Api>,
    caller: Caller,
    scope: Scope,
    name: Segment,
    Keyed { key, body }: Keyed<ActivateBody>,
) -> Result<(StatusCode, Json<ActivationDoc>), Problem> {
    let config: ConfigName = name.parse("boot config")?;
    for machine in [Some(&body.machine), body.helper.as_ref()] {
        machine.map_or(Ok(()), |m| scope.check(&api.store.view(), m))?;
    }
    try_files_again(&api, &config).await?;
    let transition = Activate {
        machine: MachineRef(body.machine.clone()),
        config,
        kind: body.kind.into(),
        until: body.until,
        nonce: Nonce::from_random(rand::random()),
    };
    let made = match body.helper {
        None => {
            let wants = machines::on(body.machine, &caller, transition);
            api.store.apply(Once { key, wants }).await??
        }
        Some(helper) => {
            let lent = ActivateLent {
                activate: transition,
                helper: MachineRef(helper),
            };
            let wants = machines::on(body.machine, &caller, lent);
            api.store.apply(Once { key, wants }).await??
        }
    };
    let view = api.store.view();
    let document = match made {
        OnceMade::Now(activated) => {
            let activation = activated??;
            activations::tell_helpers(&api, &activation);
            ActivationDoc::of(&activation, &view)
        }
        OnceMade::Before(made) => activations::before(&made, &view)?.0.swap_remove(0),
    };
    Ok((StatusCode::CREATED, Json(document)))
}

/// What could not be fetched is tried again: the answer says that it is not here, the next may find it.
async fn try_files_again(api: &Api, config: &ConfigName) -> Result<(), Problem> {
    let missing = |c: &std::sync::Arc<BootConfig>| !c.missing().is_empty();
    if api.store.view().config(config).is_some_and(missing) {
        let config = config.clone();
        api.store.apply(Refetch { config, all: false }).await??;
        api.fetcher.kick();
    }
    Ok(())
}

/// For which machines, and how.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActivateSelectorBody {
    /// Labels of the machines: `pool=web,rack!=r1`.
    pub selector: String,
    /// Of two standing configs by selectors the one with the higher priority is served.
    #[serde(default)]
    pub priority: i32,
    /// One-shot or standing.
    pub kind: Kind,
    /// Not served after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What became of it for each machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SelectedDoc {
    /// For these it is due now.
    pub armed: Vec<ActivationDoc>,
    /// These cannot have it.
    pub refused: Vec<RefusedDoc>,
}

/// A machine that cannot have a boot config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RefusedMachine)]
pub struct RefusedDoc {
    /// Its name.
    pub machine_name: String,
    /// Why.
    pub why: String,
}

/// Makes a boot config due for every registered machine that a selector means now: one activation each.
///
/// A machine that is labelled later is not meant: activate again, what is due already stays as it is.
#[utoipa::path(post, path = "/boot-configs/{name}/activate-selector", tag = "boot-configs", operation_id = "boot_configs_activate_selector", request_body = ActivateSelectorBody,
    params(("name" = String, Path, description = "Its name"), Keyed<ActivateSelectorBody>),
    responses((status = 201, body = SelectedDoc)))]
pub(crate) async fn activate_selector(
    State(api): State<Api>,
    caller: Caller,
    scope: Scope,
    name: Segment,
    Keyed { key, body }: Keyed<ActivateSelectorBody>,
) -> Result<(StatusCode, Json<SelectedDoc>), Problem> {
    let config: ConfigName = name.parse("boot config")?;
    let selector = scope.narrow(parse(&body.selector, "selector")?)?;
    try_files_again(&api, &config).await?;
    let machines = api.store.view().machines().count();
    let fresh = |_| Nonce::from_random(rand::random());
    let wants = ActivateSelected {
        selector,
        priority: body.priority,
        config,
        kind: body.kind.into(),
        until: body.until,
        by: caller.name,
        nonces: (0..machines).map(fresh).collect(),
    };
    let made = api.store.apply(Once { key, wants }).await??;
    let view = api.store.view();
    let told = match made {
        OnceMade::Now(all) => SelectedDoc::of(all?, &view),
        OnceMade::Before(made) => SelectedDoc::before(&made, &view)?,
    };
    Ok((StatusCode::CREATED, Json(told)))
}

impl SelectedDoc {
    fn of(all: Vec<ForMachine>, view: &View) -> Self {
        let (mut armed, mut refused) = (Vec::new(), Vec::new());
        for (name, outcome) in all {
            match outcome {
                Ok(activation) => armed.push(ActivationDoc::of(&activation, view)),
                Err(why) => refused.push(RefusedDoc {
                    machine_name: name.to_string(),
                    why: why.to_string(),
                }),
            }
        }
        Self { armed, refused }
    }

    fn before(made: &Made, view: &View) -> Result<Self, Problem> {
        let (armed, refused) = activations::before(made, view)?;
        let refused = refused.into_iter();
        let refused = refused.map(|(machine_name, why)| RefusedDoc { machine_name, why });
        Ok(Self {
            armed,
            refused: refused.collect(),
        })
    }
}
