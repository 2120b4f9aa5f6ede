//! What people of another site may see of this one, and what this one believes of what others show.
//!
//! The first half says what goes out, by the peer's permissions (`may_see`, `gives_images`): rows, events and images that
//! have nothing in them which is not meant for others. The second half is what came in, each value parsed into our types.

pub mod heard;

use ipxe::MacAddr;
use mesh_proto::message::peer::{MAX_EVENTS, MAX_SHOWN_TEXT, MachineRow, ShownEvent};

use self::heard::SeenMachine;
use super::{
    Timestamp, View,
    event::Event,
    image::{Image, ImageName, Version, Visibility},
    machine::Machine,
    peer::Peer,
};
use crate::ordered::sort_by;

/// Kinds of events that cross sites begin so: how boots, deployments and agents go. Keys, tokens, disputes and people's
/// changes do not cross.
const CROSS: [&str; 4] = ["activation.", "boot.", "deployment.", "member."];
/// These do not: they name addresses, or what a secret was refused for.
const STAY: [&str; 2] = ["boot.without-secret", "boot.peers-asked"];
/// Events looked at before something is told: a stranger's machines are few among many.
const LOOKED_AT: usize = 1_024;

/// A peer's text, or one for a peer: no control characters, and bounded.
#[must_use]
pub fn plain(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(MAX_SHOWN_TEXT).collect()
}

/// The machines that a peer's people may see, by name, behind `after`; and whether there are more.
#[must_use]
pub fn rows(
    view: &View,
    peer: &Peer,
    (after, limit): (Option<&str>, usize),
    now: Timestamp,
) -> (Vec<MachineRow>, bool) {
    let behind = |m: &Machine| after.is_none_or(|after| m.name.as_str() > after);
    let mut seen: Vec<&Machine> = view
        .machines()
        .map(AsRef::as_ref)
        .filter(|m| behind(m) && peer.may_see(m))
        .collect();
    sort_by(&mut seen, |a, b| a.name.cmp(&b.name));
    let more = seen.len() > limit;
    let rows = seen.into_iter().take(limit);
    (rows.map(|m| row(m, view, now)).collect(), more)
}

/// A machine as others see it.
#[must_use]
pub fn row(machine: &Machine, view: &View, now: Timestamp) -> MachineRow {
    let seen_of = SeenMachine::of(machine, view);
    let seen = now.duration_since(seen_of.last_seen).as_secs();
    MachineRow {
        name: seen_of.name.to_string(),
        state: seen_of.standing.word().to_owned(),
        member: seen_of.member.map(|m| m.word().to_owned()),
        macs: seen_of.macs.into_iter().map(bare).collect(),
        firmware: seen_of.firmware,
        active: seen_of.active.map(|c| c.to_string()),
        seen_s: u64::try_from(seen).unwrap_or(0),
    }
}

/// An address as it crosses: 12 hex digits.
fn bare(mac: MacAddr) -> String {
    mac.hyphens().replace('-', "")
}

/// What follows an event's number for a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Those it may hear of, the oldest first.
    pub events: Vec<ShownEvent>,
    /// Everything up to this number was looked at.
    pub seen: u64,
    /// Some that it did not hear of are gone, or the record is younger than its number.
    pub lost: bool,
}

/// The events behind `after` that a peer may hear of, as far as one answer holds.
#[must_use]
pub fn told(view: &View, peer: &Peer, after: u64) -> Told {
    let newest = view.next_event() - 1;
    let oldest = view.oldest_event().unwrap_or(newest + 1);
    if after > newest || after + 1 < oldest {
        let seen = if after > newest { newest } else { oldest - 1 };
        return Told {
            events: Vec::new(),
            seen,
            lost: true,
        };
    }
    let (mut events, mut seen) = (Vec::new(), after);
    for event in view.events_after(after).take(LOOKED_AT) {
        events.extend(shown(event, view, peer));
        seen = event.seq;
        if events.len() == MAX_EVENTS {
            break;
        }
    }
    Told {
        events,
        seen,
        lost: false,
    }
}

/// The event as the peer may hear of it; `None`: it may not.
fn shown(event: &Event, view: &View, peer: &Peer) -> Option<ShownEvent> {
    let draft = &event.draft;
    let kind = draft.kind.as_str();
    if STAY.contains(&kind) || !CROSS.iter().any(|c| kind.starts_with(c)) {
        return None;
    }
    let by_id = draft.machine.as_ref().and_then(|id| view.machine(id));
    let machine = by_id.or_else(|| view.machine_by_mac(draft.mac?));
    let machine = machine.filter(|m| peer.may_see(m))?;
    Some(ShownEvent {
        seq: event.seq,
        at_s: event.at.as_second(),
        kind: draft.kind.clone(),
        machine: machine.name.to_string(),
        mac: draft.mac.map(bare),
        text: plain(&draft.text),
    })
}

/// The version of an image that a peer may have.
///
/// # Errors
/// Why it may not, in words that say no more than it may know.
pub fn given_image<'v>(
    view: &'v View,
    peer: &Peer,
    name: &str,
    number: Option<u32>,
) -> Result<(&'v Image, &'v Version), String> {
    if !(peer.is_joined() && peer.gives_images) {
        return Err(format!("{} may have no images of this site", peer.site));
    }
    let missing = || format!("no public image is called '{}'", plain(name));
    let name: ImageName = name.parse().map_err(|_| missing())?;
    let image = view.image(&name).ok_or_else(missing)?;
    match image.visibility {
        Visibility::Public => {}
        Visibility::Private => return Err(missing()),
    }
    let version = image.version(number);
    let version = version.ok_or_else(|| format!("{name} has no such version"))?;
    Ok((image, version))
}
