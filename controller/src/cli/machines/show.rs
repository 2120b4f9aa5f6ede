//! Machines for people: a row of the list, and one in full.

use crate::{
    cli::output::{Column, Line, ago, dash, pairs, when},
    http::api::helpers::HelperDoc,
    http::api::machines::{ActiveDoc, MachineDoc, MemberWord, PendingDoc, ProviderWord},
    state::Timestamp,
};

pub(super) const HEADERS: [&str; 8] = [
    "NAME", "STATE", "MEMBER", "LEVEL", "MAC", "FIRMWARE", "ACTIVE", "SEEN",
];

pub(super) const WIDE: &[Column<MachineDoc>] = &[
    ("HARDWARE", |m, _| dash(m.hardware.as_ref())),
    ("SERIAL", |m, _| dash(m.serial.as_ref())),
    ("LABELS", |m, _| dash(pairs(&m.labels))),
    ("OWNER", |m, _| dash(m.owner.as_ref())),
    ("RESTART", |m, _| m.restart.words().to_owned()),
    ("ID", |m, _| m.id.clone()),
];

pub(super) fn row(machine: &MachineDoc, now: Timestamp) -> [String; 8] {
    [
        machine.name.clone(),
        standing(machine),
        dash(in_short(machine)),
        dash(machine.level.map(|l| l.word())),
        macs(machine),
        dash(machine.firmware.as_ref()),
        dash(machine.active.as_ref().map(active)),
        ago(machine.last_seen, now),
    ]
}

/// `registered, pending`: the standing, what a person has to decide, and who has it.
fn standing(machine: &MachineDoc) -> String {
    let mut text = machine.standing.word().to_owned();
    if machine.disputed.is_some() {
        text += ", disputed";
    }
    if !machine.pending.is_empty() {
        text += ", pending";
    }
    if let Some(hold) = &machine.reserved {
        text += &format!(", reserved for {}", hold.holder);
    }
    text
}

fn member(member: &MemberWord, now: Timestamp) -> String {
    let (state, habitat) = (member.state.word(), member.habitat.word());
    format!(
        "{state} in {habitat} since {}: {}",
        when(member.since, now),
        member.why
    )
}

/// `alive`, or `alive (serf lab)` where only a provider knows it.
fn in_short(machine: &MachineDoc) -> Option<String> {
    let ours = machine.member.as_ref().map(|m| m.state.word().to_owned());
    let theirs = machine.providers.first();
    ours.or_else(|| theirs.map(|p| format!("{} ({})", p.state.word(), p.source)))
}

fn provided(provider: &ProviderWord, now: Timestamp) -> String {
    let tags: Vec<String> = provider
        .tags
        .iter()
        .map(|(n, v)| format!("{n}={v}"))
        .collect();
    format!(
        "{} in {}, {} since {}: {}; tags: {}",
        provider.node,
        provider.source,
        provider.state.word(),
        when(provider.since, now),
        provider.why,
        tags.join(" ")
    )
}

fn pending(pending: &PendingDoc, now: Timestamp) -> String {
    let code = pending.code.as_deref().unwrap_or_default();
    format!(
        "{} key from {}, {}: {}; pairing code {code}: compare it with its screen",
        pending.key.word(),
        pending.from,
        ago(pending.since, now),
        pending.why
    )
}

pub(super) fn details(machine: &MachineDoc, now: Timestamp) -> Vec<Line> {
    let moment = |at| when(at, now);
    let mut lines = vec![
        ("name", machine.name.clone()),
        ("id", machine.id.clone()),
        ("state", standing(machine)),
        ("level", dash(machine.level.map(|l| l.word()))),
        (
            "member",
            dash(machine.member.as_ref().map(|m| member(m, now))),
        ),
        ("hardware", dash(machine.hardware.as_ref())),
        ("macs", macs(machine)),
        ("uuid", dash(machine.uuid.as_ref())),
        ("serial", dash(machine.serial.as_ref())),
        ("firmware", dash(machine.firmware.as_ref())),
        ("local boot", machine.local_boot.word().to_owned()),
        ("power", dash(machine.power.as_ref())),
        ("restart", machine.restart.words().to_owned()),
        ("active", dash(machine.active.as_ref().map(active))),
        ("labels", dash(pairs(&machine.labels))),
        ("owner", dash(machine.owner.as_ref())),
        ("first seen", moment(machine.first_seen)),
        ("last seen", moment(machine.last_seen)),
    ];
    let providers = machine.providers.iter();
    lines.extend(providers.map(|p| ("also", provided(p, now))));
    lines.extend(machine.reserved.iter().map(|h| {
        let text = format!("for {} until {}, by {}", h.holder, moment(h.until), h.by);
        ("reserved", text)
    }));
    lines.extend(
        machine
            .helper
            .as_ref()
            .map(|h| ("boot helper", helper(h, now))),
    );
    lines.extend(machine.disputed.clone().map(|why| ("disputed", why)));
    lines.extend(machine.pending.iter().map(|p| ("waits", pending(p, now))));
    if let Some(code) = machine.code.as_ref().filter(|_| machine.pending.is_empty()) {
        lines.push((
            "pairing code",
            format!("{code}: compare it with its screen"),
        ));
    }
    lines
}

/// `serving since yesterday, by ann: serves boot HTTP on …`.
fn helper(helper: &HelperDoc, now: Timestamp) -> String {
    let state = helper.state.as_deref().unwrap_or("its link is down");
    let text = helper.text.as_deref().unwrap_or("nothing is heard of it");
    format!(
        "{state} (since {}, by {}): {text}",
        when(helper.since, now),
        helper.by
    )
}

fn macs(machine: &MachineDoc) -> String {
    let macs: Vec<String> = machine.macs.iter().map(ToString::to_string).collect();
    macs.join(" ")
}

fn active(active: &ActiveDoc) -> String {
    format!(
        "{} ({}, {})",
        active.config,
        active.kind.word(),
        active.stage.word()
    )
}
