//! Machines on the wire.

use std::collections::BTreeMap;

use ipxe::MacAddr;
use mesh_proto::facts::HardwareFacts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    http::api::{
        helpers::HelperDoc,
        holds::HoldDoc,
        power::MeansWord,
        words::{Habitat, KeyKind, Kind, Level, LocalBoot, MemberState, Stage, Standing},
    },
    ordered::Gather as _,
    state::{
        Timestamp, View, boot::first, label::Labels, machine::Machine, member::Member,
        power::means_of_restart, provider::ProviderMember, trust::pending::Pending,
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
    /// What providers (Serf, Consul) say of it; a hint.
    #[serde(default)]
    pub providers: Vec<ProviderWord>,
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
    pub restart: MeansWord,
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
    /// Its agent's role as a boot helper; absent: none.
    #[serde(default)]
    pub helper: Option<HelperDoc>,
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

/// What a provider says of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderWord {
    /// The provider: its type and name, such as `serf lab`.
    pub source: String,
    /// The member's name there.
    pub node: String,
    /// Whether it lives.
    pub state: MemberState,
    /// Since when.
    pub since: Timestamp,
    /// Why.
    pub why: String,
    /// Its address there.
    pub address: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

impl ProviderWord {
    fn of(member: &ProviderMember) -> Self {
        let tags = member.tags.iter();
        Self {
            source: member.source(),
            node: member.node.to_string(),
            state: member.state.into(),
            since: member.since,
            why: member.why.clone(),
            address: member.address.map(|a| a.to_string()),
            tags: tags.map(|(n, v)| (n.to_owned(), v.to_owned())).gather(),
        }
    }
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
    pub(super) fn listed(machine: &Machine, view: &View) -> Self {
        let mut document = Self::of(machine, view);
        document.code = None;
        document.pending.iter_mut().for_each(|p| p.code = None);
        document
    }

    pub(in crate::http::api) fn of(machine: &Machine, view: &View) -> Self {
        let active = first(view.activations_of(&machine.id).filter(|a| a.is_open()));
        let key = view.live_keys_of(&machine.id).next_back();
        let facts = view.facts(&machine.id);
        Self {
            id: machine.id.to_string(),
            name: machine.name.to_string(),
            standing: machine.standing.into(),
            level: key.map(|k| k.level.into()),
            member: view.member(&machine.id).map(|m| MemberWord::of(m)),
            providers: view
                .provider_members_of(&machine.id)
                .map(|m| ProviderWord::of(m))
                .collect(),
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
            helper: machine.helper.as_ref().map(HelperDoc::of),
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
    pairs.map(|(n, v)| (n.to_string(), v.to_string())).gather()
}
