//! Machines: known ones, registering, renaming, forgetting.

use std::collections::BTreeMap;

use axum::{Json, extract::State, http::StatusCode};
use ipxe::MacAddr;
use mesh_proto::facts::HardwareFacts;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Page, PageQuery,
    holds::HoldDoc,
    words::{Habitat, KeyKind, Kind, Level, LocalBoot, MemberState, Stage, Standing},
};
use crate::{
    http::{
        Api,
        auth::Caller,
        error::Problem,
        extract::{JsonBody, Params, Segment, parse},
    },
    state::{
        Timestamp, View,
        boot::first,
        label::{LabelText, Labels, Selector},
        machine::{Machine, MachineId},
        member::Member,
        ops::{
            DeleteMachine, InspectMachine, MachineError, MachineRef, NewOwner, OnMachine,
            RegisterMachine, UpdateMachine, may_use,
        },
        power::means_of_restart,
        trust::pending::Pending,
        user::UserName,
    },
};

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Machine)]
pub struct MachineDoc {
    /// Its own random id; stays when NICs and names change.
    pub id: String,
    /// Its name; unique.
    pub name: String,
    /// Seen, registered or accepted.
    pub standing: Standing,
    /// How well its key that counts was proved; absent: it has none.
    pub level: Option<Level>,
    /// The controller's verdict on its agent; absent: it never had a link.
    pub member: Option<MemberWord>,
    /// Keys that wait for a person.
    pub pending: Vec<PendingDoc>,
    /// The pairing code of its enrolled key, to be compared with its screen; only when one machine is shown.
    pub code: Option<String>,
    /// Why two claim to be it, and nothing is written to it.
    pub disputed: Option<String>,
    /// What it is made of, in a line.
    pub hardware: Option<String>,
    /// Addresses of its NICs, lowest first.
    #[schema(value_type = Vec<String>, example = json!(["52:54:00:77:00:01"]))]
    pub macs: Vec<MacAddr>,
    /// SMBIOS uuid as its firmware told; may repeat among machines.
    pub uuid: Option<String>,
    /// SMBIOS serial as its firmware told.
    pub serial: Option<String>,
    /// The firmware it booted with last, such as `uefi-pxe x64`.
    pub firmware: Option<String>,
    /// How it is sent to its own disk.
    pub local_boot: LocalBoot,
    /// Who switches it, such as `ipmi://user@host:623` or `wol`; its password is not shown.
    pub power: Option<String>,
    /// How it gets to its next boot.
    pub restart: super::power::MeansWord,
    /// Labels that people wrote on it; selectors look at these.
    #[schema(example = json!({"pool": "web"}))]
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Whose it is; absent: the site's.
    #[serde(default)]
    pub owner: Option<String>,
    /// Who has it for a while; others' changes are refused until then.
    #[serde(default)]
    pub reserved: Option<HoldDoc>,
    /// When it was first heard of.
    pub first_seen: Timestamp,
    /// When it asked last.
    pub last_seen: Timestamp,
    /// The activation that is open for it.
    pub active: Option<ActiveDoc>,
}

/// The open activation of a machine, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Active)]
pub struct ActiveDoc {
    /// Its number.
    pub id: u64,
    /// The boot config.
    pub config: String,
    /// One-shot or standing.
    pub kind: Kind,
    /// Where it stands.
    pub stage: Stage,
}

/// The verdict on a machine's agent, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberWord {
    /// The verdict.
    pub state: MemberState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// What the agent runs in.
    pub habitat: Habitat,
}

/// A key that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Pending)]
pub struct PendingDoc {
    /// Why it waits.
    pub why: String,
    /// Where it asked from.
    pub from: String,
    /// When it asked first.
    pub since: Timestamp,
    /// Which kind of key.
    pub key: KeyKind,
    /// The pairing code as an honest machine shows it, to be compared with its screen; only when one machine is shown.
    pub code: Option<String>,
}

impl PendingDoc {
    fn of(pending: &Pending) -> Self {
        Self {
            why: pending.why.clone(),
            from: pending.from.to_string(),
            since: pending.since,
            key: pending.kind.into(),
            code: Some(pending.code.clone()),
        }
    }
}

impl MemberWord {
    fn of(member: &Member) -> Self {
        Self {
            state: member.state.into(),
            since: member.since,
            why: member.why.clone(),
            habitat: member.habitat.into(),
        }
    }
}

/// What a person wants to know at a glance: `QEMU Standard PC, 2 threads, 2.0 GiB, 1 NIC, 1 disk`.
fn in_a_line(facts: &HardwareFacts) -> String {
    let board = [&facts.smbios.vendor, &facts.smbios.product];
    let mut parts: Vec<String> = board.into_iter().flatten().cloned().collect();
    parts.push(format!("{} threads", facts.cpu.threads));
    parts.push(format!("{} MiB", facts.memory.bytes >> 20));
    parts.push(format!("{} NICs", facts.nics.len()));
    parts.push(format!("{} disks", facts.disks.len()));
    parts.join(", ")
}

impl MachineDoc {
    /// As lists show it: without what only somebody in front of the machine needs.
    fn listed(machine: &Machine, view: &View) -> Self {
        let mut document = Self::of(machine, view);
        document.code = None;
        document.pending.iter_mut().for_each(|p| p.code = None);
        document
    }

    pub(super) fn of(machine: &Machine, view: &View) -> Self {
        let active = first(view.activations_of(&machine.id).filter(|a| a.is_open()));
        let key = view.live_keys_of(&machine.id).next_back();
        let facts = view.facts(&machine.id);
        Self {
            id: machine.id.to_string(),
            name: machine.name.to_string(),
            standing: machine.standing.into(),
            level: key.map(|k| k.level.into()),
            member: view.member(&machine.id).map(|m| MemberWord::of(m)),
            pending: view
                .pending_of(&machine.id)
                .map(|p| PendingDoc::of(p))
                .collect(),
            code: key.and_then(|k| k.code.clone()),
            disputed: machine
                .disputed
                .as_ref()
                .map(|d| format!("another claims to be it, from {}: {}", d.from, d.why)),
            hardware: facts.map(|f| in_a_line(&f.facts)),
            macs: machine.macs.iter().copied().collect(),
            uuid: machine.uuid.clone(),
            serial: machine.serial.clone(),
            firmware: machine.firmware.map(ipxe::Firmware::describe),
            local_boot: machine.local_boot.into(),
            power: view.power(&machine.id).map(|p| p.address.to_string()),
            restart: means_of_restart(view, machine).into(),
            labels: words(&machine.labels),
            owner: machine.owner.as_ref().map(ToString::to_string),
            reserved: machine.hold.as_ref().map(HoldDoc::of),
            first_seen: machine.first_seen,
            last_seen: machine.last_seen,
            active: active.map(|a| ActiveDoc {
                id: a.id.0,
                config: a.config.name.to_string(),
                kind: a.kind.into(),
                stage: a.stage.into(),
            }),
        }
    }
}

fn words(labels: &Labels) -> BTreeMap<String, String> {
    let pairs = labels.iter();
    pairs.map(|(n, v)| (n.to_string(), v.to_string())).collect()
}

/// Which machines to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only machines of this standing.
    #[serde(default)]
    state: Option<Standing>,
    /// Only machines whose labels fit: `pool=web,rack!=r1`.
    #[serde(default)]
    selector: Option<String>,
    /// Only machines of this owner.
    #[serde(default)]
    owner: Option<String>,
    /// Entries wanted, 1 to 1000.
    #[serde(default)]
    limit: Option<usize>,
    /// `next` of the page before.
    #[serde(default)]
    cursor: Option<String>,
}

/// Lists machines, by name.
#[utoipa::path(get, path = "/machines", tag = "machines", operation_id = "machines_list", params(ListQuery),
    responses((status = 200, body = Page<MachineDoc>)))]
pub(crate) async fn list(
    State(api): State<Api>,
    Params(query): Params<ListQuery>,
) -> Result<Json<Page<MachineDoc>>, Problem> {
    let view = api.store.view();
    let selector = query.selector.map(|s| parse(&s, "selector")).transpose()?;
    let wanted = |m: &&std::sync::Arc<Machine>| {
        let owner = m.owner.as_ref().map(UserName::as_str);
        query.state.is_none_or(|s| s == Standing::from(m.standing))
            && query.owner.as_deref().is_none_or(|o| owner == Some(o))
            && selector
                .as_ref()
                .is_none_or(|s: &Selector| s.fits(&m.labels))
    };
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    page.cut(
        view.machines().filter(wanted),
        |m| m.name.to_string(),
        |m| MachineDoc::listed(m, &view),
    )
}

/// Shows a machine, named by its name, id or MAC in any spelling.
#[utoipa::path(get, path = "/machines/{machine}", tag = "machines", operation_id = "machines_show",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn show(
    State(api): State<Api>,
    Segment(machine): Segment,
) -> Result<Json<MachineDoc>, Problem> {
    let view = api.store.view();
    let found = find(&view, &machine)?;
    Ok(Json(MachineDoc::of(&found, &view)))
}

/// The machine that `text` names.
pub(super) fn find(view: &View, text: &str) -> Result<std::sync::Arc<Machine>, Problem> {
    MachineRef(text.to_owned())
        .find(view)
        .ok_or_else(|| MachineError::NotFound(crate::http::error::short(text)).into())
}

/// A machine to register.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The MAC of one of its NICs, in any spelling.
    pub mac: String,
    /// Its name; without one a new machine is named by its MAC, a known one keeps its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Registers a machine: a person's word that it is ours. Doing it again changes nothing.
#[utoipa::path(post, path = "/machines", tag = "machines", operation_id = "machines_register", request_body = Register,
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn register(
    State(api): State<Api>,
    JsonBody(body): JsonBody<Register>,
) -> Result<Json<MachineDoc>, Problem> {
    let transition = RegisterMachine {
        mac: parse(&body.mac, "mac")?,
        name: body.name.map(|n| parse(&n, "name")).transpose()?,
        fresh_id: MachineId::from_random(rand::random()),
    };
    let machine = api.store.apply(transition).await??;
    Ok(Json(MachineDoc::of(&machine, &api.store.view())))
}

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

/// Changes a machine's name, its way to its own disk, its labels, or whose it is.
#[utoipa::path(patch, path = "/machines/{machine}", tag = "machines", operation_id = "machines_update", request_body = Update,
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn update(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
    JsonBody(body): JsonBody<Update>,
) -> Result<Json<MachineDoc>, Problem> {
    let transition = UpdateMachine {
        machine: MachineRef(machine.clone()),
        name: body.name.map(|n| parse(&n, "name")).transpose()?,
        local_boot: body.local_boot.map(Into::into),
        labels: labels(&body.labels)?,
        owner: new_owner(body.owner.as_deref(), &caller)?,
    };
    let asked = on(machine, &caller, transition);
    let machine = api.store.apply(asked).await???;
    Ok(Json(MachineDoc::of(&machine, &api.store.view())))
}

/// What the caller asks for, refused while somebody else has the machine.
pub(super) fn on<T>(machine: String, caller: &Caller, wants: T) -> OnMachine<T> {
    OnMachine {
        machine: MachineRef(machine),
        caller: caller.name.clone(),
        wants,
    }
}

/// The machine that `text` names, unless somebody else has it.
pub(super) fn free(
    api: &Api,
    text: &str,
    caller: &Caller,
) -> Result<std::sync::Arc<Machine>, Problem> {
    let machine = find(&api.store.view(), text)?;
    may_use(&machine, &caller.name, api.store.now())?;
    Ok(machine)
}

fn new_owner(text: Option<&str>, caller: &Caller) -> Result<Option<NewOwner>, Problem> {
    let owner = text.map(super::images::owner).transpose()?;
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
    wanted.iter().map(one).collect()
}

/// Lets a machine boot the management OS next time, once, also when its hardware is known.
#[utoipa::path(post, path = "/machines/{machine}/inspect", tag = "machines", operation_id = "machines_inspect",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 200, body = MachineDoc)))]
pub(crate) async fn inspect(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
) -> Result<Json<MachineDoc>, Problem> {
    let inspect = InspectMachine(MachineRef(machine.clone()));
    let machine = api.store.apply(on(machine, &caller, inspect)).await???;
    Ok(Json(MachineDoc::of(&machine, &api.store.view())))
}

/// Forgets a machine and its activations. If it asks again it is seen anew.
#[utoipa::path(delete, path = "/machines/{machine}", tag = "machines", operation_id = "machines_delete",
    params(("machine" = String, Path, description = "Name, id or MAC in any spelling")),
    responses((status = 204)))]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    Segment(machine): Segment,
) -> Result<StatusCode, Problem> {
    if let Ok(mesh) = api.mesh() {
        free(&api, &machine, &caller)?;
        mesh.forget(MachineRef(machine)).await??;
    } else {
        let delete = DeleteMachine(MachineRef(machine.clone()));
        api.store.apply(on(machine, &caller, delete)).await???;
    }
    Ok(StatusCode::NO_CONTENT)
}
