//! Setups: ordered images, each for a disk of its own, that make one machine. Deployed with `POST /deployments`.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Page, PageQuery,
    deployments::{DiskRuleDoc, partition},
    images::owner,
};
use crate::{
    http::{
        Api,
        answer::Json,
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::Problem,
        extract::{JsonBody, Params, Segment, parse},
    },
    state::{
        Timestamp,
        ops::{DeleteSetup, OnSetup, SetSetup, SetupError},
        revision::Subject,
        setup::{Setup, SetupItem, SetupName},
    },
};

/// A setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Setup)]
pub struct SetupDoc {
    /// Its name.
    pub name: String,
    /// Whose it is; absent: the site's.
    pub owner: Option<String>,
    /// Its images, in the order they are written.
    pub items: Vec<SetupItemDoc>,
    /// A person's words about it.
    pub note: Option<String>,
    /// Grows with each change.
    pub revision: u64,
    /// When it was changed last.
    pub updated: Timestamp,
}

/// One image of a setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SetupItem)]
pub struct SetupItemDoc {
    /// Which: `debian`, `debian@latest` or `debian@3`; without a number the newest at the time of the deployment.
    pub image: String,
    /// Onto which disk.
    #[serde(default)]
    pub disk: DiskRuleDoc,
    /// Only this partition of it: its name in the GUID table, or `#` and its number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// Grow its last partition to the disk's end.
    #[serde(default)]
    pub grow: bool,
}

impl SetupDoc {
    fn of(setup: &Setup) -> Self {
        Self {
            name: setup.name.to_string(),
            owner: setup.owner.as_ref().map(ToString::to_string),
            items: (setup.items.iter())
                .map(|item| SetupItemDoc {
                    image: item.image.to_string(),
                    disk: (&item.disk).into(),
                    partition: item.partition.as_ref().map(ToString::to_string),
                    grow: item.grow,
                })
                .collect(),
            note: setup.note.clone(),
            revision: setup.revision,
            updated: setup.updated,
        }
    }
}

/// Lists setups, by name.
#[utoipa::path(get, path = "/setups", tag = "setups", operation_id = "setups_list", params(PageQuery),
    responses((status = 200, body = Page<SetupDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<SetupDoc>>, Problem> {
    let view = api.store.view();
    page.cut(view.setups(), |s| s.name.to_string(), |s| SetupDoc::of(s))
}

/// Shows a setup.
#[utoipa::path(get, path = "/setups/{name}", tag = "setups", operation_id = "setups_show",
    params(("name" = String, Path, description = "Its name")),
    responses((status = 200, body = SetupDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    name: Segment,
) -> Result<Tagged<SetupDoc>, Problem> {
    let name: SetupName = name.parse("setup")?;
    let view = api.store.view();
    let found = view.setup(&name).ok_or(SetupError::NotFound(name))?;
    Ok(Tagged::new(&**found, SetupDoc::of(found)))
}

/// A setup as a person writes it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupBody {
    /// Its images, in the order they are written.
    pub items: Vec<SetupItemDoc>,
    /// Whose it is; absent: the site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Words about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Writes a setup; replaces the one of this name, which only its owner may, where it has one. What was deployed of it goes on as it was.
#[utoipa::path(put, path = "/setups/{name}", tag = "setups", operation_id = "setups_set", request_body = SetupBody,
    params(("name" = String, Path, description = "Its name"), IfMatch),
    responses((status = 200, body = SetupDoc)))]
pub(crate) async fn set(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    read: IfMatch,
    JsonBody(body): JsonBody<SetupBody>,
) -> Result<Tagged<SetupDoc>, Problem> {
    let items: Result<Vec<_>, Problem> = (body.items.into_iter())
        .map(|item| {
            Ok(SetupItem {
                image: parse(&item.image, "image")?,
                disk: item.disk.into(),
                partition: partition(item.partition.as_deref())?,
                grow: item.grow,
            })
        })
        .collect();
    let setup = Setup {
        name: name.parse("setup")?,
        owner: body.owner.as_deref().map_or(Ok(None), owner)?,
        items: items?,
        note: body.note,
        revision: 0,
        updated: api.store.now(),
    };
    let about = Subject::Setup(setup.name.clone());
    let set = theirs(&setup.name.clone(), &caller, SetSetup(setup));
    let setup = read.apply(&api, about, set).await???;
    Ok(Tagged::new(&setup, SetupDoc::of(&setup)))
}

/// Deletes a setup; only its owner may, where it has one.
#[utoipa::path(delete, path = "/setups/{name}", tag = "setups", operation_id = "setups_delete",
    params(("name" = String, Path, description = "Its name"), IfMatch),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    name: Segment,
    read: IfMatch,
) -> Result<StatusCode, Problem> {
    let name: SetupName = name.parse("setup")?;
    let delete = theirs(&name, &caller, DeleteSetup(name.clone()));
    read.apply(&api, Subject::Setup(name), delete).await???;
    Ok(StatusCode::NO_CONTENT)
}

/// What the caller asks for, refused when the setup is another's.
fn theirs<T>(setup: &SetupName, caller: &Caller, wants: T) -> OnSetup<T> {
    OnSetup {
        setup: setup.clone(),
        asker: caller.asker(),
        wants,
    }
}
