//! Changing what is written down about a machine: its name, its way to its own disk, its labels, its owner.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{MachineDoc, on};
use crate::{
    http::{
        Api,
        api::{images, words::LocalBoot},
        auth::Caller,
        conditional::{IfMatch, Tagged},
        error::Problem,
        extract::{JsonBody, Segment, parse},
        scope::Scope,
    },
    ordered::Gather as _,
    state::{
        label::LabelText,
        ops::{MachineRef, NewOwner, UpdateMachine},
        revision::Subject,
    },
};

/// What to change of a machine; what is absent stays.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New way to its own disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_boot: Option<LocalBoot>,
    /// Labels to put; `null` removes one, others stay.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(example = json!({"pool": "web", "spare": null}))]
    pub labels: BTreeMap<String, Option<String>>,
    /// Whose it is from now on; an empty text: the site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
}

/// Changes a machine's name, its way to its own disk, its labels, or whose it is. A token for machines with some labels changes
/// no labels.
#[utoipa::path(patch, path = "/machines/{machine}", tag = "machines", operation_id = "machines_update", request_body = Update,
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling"), IfMatch),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    scope: Scope,
    Segment(machine): Segment,
    read: IfMatch,
    JsonBody(body): JsonBody<Update>,
) -> Result<Tagged<MachineDoc>, Problem> {
    // Labels say what selectors, and other such tokens, mean.
    if !body.labels.is_empty() {
        scope.whole()?;
    }
    let transition = UpdateMachine {
        machine: MachineRef(machine.clone()),
        name: body.name.map(|n| parse(&n, "name")).transpose()?,
        local_boot: body.local_boot.map(Into::into),
        labels: labels(&body.labels)?,
        owner: new_owner(body.owner.as_deref(), &caller)?,
    };
    let about = Subject::Machine(transition.machine.clone());
    let asked = on(machine, &caller, transition);
    let machine = read.apply(&api, about, asked).await???;
    let document = MachineDoc::of(&machine, &api.store.view());
    Ok(Tagged::new(&machine, document))
}

fn new_owner(text: Option<&str>, caller: &Caller) -> Result<Option<NewOwner>, Problem> {
    let owner = text.map(images::owner).transpose()?;
    Ok(owner.map(|owner| NewOwner {
        owner,
        by: caller.asker(),
    }))
}

fn labels(
    wanted: &BTreeMap<String, Option<String>>,
) -> Result<BTreeMap<LabelText, Option<LabelText>>, Problem> {
    let one = |(name, value): (&String, &Option<String>)| {
        let value = value.as_ref().map(|v| parse(v, "labels")).transpose()?;
        Ok((parse(name, "labels")?, value))
    };
    wanted.iter().map(one).try_gather()
}
