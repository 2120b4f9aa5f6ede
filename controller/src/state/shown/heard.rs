//! What another site showed, parsed: a value that cannot be makes the whole answer nonsense.

use ::image::{ChunkId, MAX_MANIFEST_BYTES};
use ipxe::MacAddr;
use mesh_proto::message::peer::{MAX_EVENTS, MAX_ROW_MACS, MachineRow, ShownEvent, ShownImage};

use super::plain;
use crate::state::{
    Timestamp, View,
    boot::first,
    machine::{Machine, MachineName, Standing},
    member::MemberState,
    name::ConfigName,
};

/// Longest time without a sign that is believed, seconds: a century.
const MAX_SEEN_S: u64 = 100 * 365 * 86_400;
/// Longest kind of an event, characters.
const MAX_KIND: usize = 64;

/// A machine of some site, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMachine {
    /// Its name there.
    pub name: MachineName,
    /// Registered or accepted.
    pub standing: Standing,
    /// The verdict on its agent there.
    pub member: Option<MemberState>,
    /// Its NICs.
    pub macs: Vec<MacAddr>,
    /// The firmware it booted with last, for people.
    pub firmware: Option<String>,
    /// The boot config that is due for it there.
    pub active: Option<ConfigName>,
    /// When it asked last, by our clock.
    pub last_seen: Timestamp,
}

impl SeenMachine {
    /// A row as a site sent it; `None`: nonsense.
    #[must_use]
    pub fn parse(row: &MachineRow, now: Timestamp) -> Option<Self> {
        let macs: Option<Vec<MacAddr>> = row.macs.iter().map(|m| m.parse().ok()).collect();
        let active = row.active.as_deref().map(str::parse).transpose().ok()?;
        let seen = jiff::SignedDuration::from_secs(row.seen_s.min(MAX_SEEN_S).try_into().ok()?);
        Some(Self {
            name: row.name.parse().ok()?,
            standing: standing(&row.state)?,
            // A verdict newer than this program is none that can be shown.
            member: row.member.as_deref().and_then(member),
            macs: macs.filter(|m| m.len() <= MAX_ROW_MACS)?,
            firmware: row.firmware.as_deref().map(plain),
            active,
            last_seen: now.checked_sub(seen).ok()?,
        })
    }
}

impl SeenMachine {
    /// One of ours, as its row would say it.
    #[must_use]
    pub fn of(machine: &Machine, view: &View) -> Self {
        let active = first(view.activations_of(&machine.id).filter(|a| a.is_open()));
        Self {
            name: machine.name.clone(),
            standing: machine.standing,
            member: view.member(&machine.id).map(|m| m.state),
            macs: machine.macs.iter().take(MAX_ROW_MACS).copied().collect(),
            firmware: machine.firmware.map(ipxe::Firmware::describe),
            active: active.map(|a| a.config.name.clone()),
            last_seen: machine.last_seen,
        }
    }
}

fn standing(word: &str) -> Option<Standing> {
    let all = [Standing::Registered, Standing::Accepted];
    all.into_iter().find(|s| s.word() == word)
}

fn member(word: &str) -> Option<MemberState> {
    let all = [
        MemberState::Alive,
        MemberState::Unreachable,
        MemberState::Down,
        MemberState::Left,
    ];
    all.into_iter().find(|s| s.word() == word)
}

/// Machines as a site sent them, at most `limit` and in order behind `after`; `None`: nonsense.
#[must_use]
pub fn machines(
    rows: &[MachineRow],
    (after, limit): (Option<&str>, usize),
    now: Timestamp,
) -> Option<Vec<SeenMachine>> {
    if rows.len() > limit {
        return None;
    }
    let all: Option<Vec<SeenMachine>> = rows.iter().map(|r| SeenMachine::parse(r, now)).collect();
    let all = all?;
    let first = all.first().map(|m| m.name.as_str());
    let in_order = all.is_sorted_by(|a, b| a.name < b.name);
    (in_order && first.is_none_or(|f| after.is_none_or(|after| f > after))).then_some(all)
}

/// Something that happened at some site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardEvent {
    /// Its number there.
    pub seq: u64,
    /// When, by the clock there.
    pub at: Timestamp,
    /// Stable name, `subject.verb`.
    pub kind: String,
    /// The machine it is about.
    pub machine: MachineName,
    /// The station it is about.
    pub mac: Option<MacAddr>,
    /// One sentence for a person.
    pub text: String,
}

/// Events as a site sent them, numbered as there; `None`: nonsense. What is behind `seen` was not looked at there, and what
/// is not behind `after` was told before.
#[must_use]
pub fn events(told: &[ShownEvent], (after, seen): (u64, u64)) -> Option<Vec<HeardEvent>> {
    if told.len() > MAX_EVENTS || !told.is_sorted_by(|a, b| a.seq < b.seq) {
        return None;
    }
    let all: Option<Vec<HeardEvent>> = told.iter().map(event).collect();
    all.filter(|all| all.iter().all(|e| e.seq > after && e.seq <= seen))
}

fn event(told: &ShownEvent) -> Option<HeardEvent> {
    let word = |b: u8| b.is_ascii_lowercase() || b == b'.' || b == b'-';
    let is_kind = told.kind.len() <= MAX_KIND && told.kind.bytes().all(word);
    Some(HeardEvent {
        seq: told.seq,
        at: Timestamp::from_second(told.at_s).ok()?,
        kind: is_kind.then(|| told.kind.clone())?,
        machine: told.machine.parse().ok()?,
        mac: told.mac.as_deref().map(str::parse).transpose().ok()?,
        text: plain(&told.text),
    })
}

/// A version of an image that another site would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedImage {
    /// Its number there.
    pub version: u32,
    /// Digest of its manifest.
    pub manifest: ChunkId,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
    /// Bytes of the disk.
    pub size: u64,
    /// A person's words.
    pub note: Option<String>,
}

impl OfferedImage {
    /// A version as a site named it; `None`: nonsense, or more than is taken.
    #[must_use]
    pub fn parse(shown: &ShownImage) -> Option<Self> {
        Some(Self {
            version: shown.version,
            manifest: shown.manifest.parse().ok()?,
            manifest_bytes: Some(shown.manifest_bytes).filter(|n| *n <= MAX_MANIFEST_BYTES)?,
            size: shown.size,
            note: shown.note.as_deref().map(plain),
        })
    }
}
