//! What happened, in order: the record behind timelines, audits and live views.

mod recorded;

use std::collections::BTreeMap;

use ipxe::MacAddr;
use serde::{Deserialize, Serialize};

use super::{Timestamp, machine::MachineId};

pub use recorded::Recorded;

/// An entry of the event record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Row")]
pub struct Event {
    /// Grows by one with each event, never reused: what `events -f` resumes from.
    pub seq: u64,
    /// When, by the controller's clock.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub draft: Draft,
}

/// An event as it is read. The same fields as one writes, but named one by one: serde reads a flattened struct by way of a map
/// of everything, and at start twenty thousand events are read.
#[derive(Deserialize)]
struct Row {
    seq: u64,
    at: Timestamp,
    kind: String,
    #[serde(default)]
    machine: Option<MachineId>,
    #[serde(default)]
    mac: Option<MacAddr>,
    text: String,
    #[serde(default)]
    fields: BTreeMap<String, String>,
    #[serde(default)]
    origin: Option<Box<Origin>>,
}

impl From<Row> for Event {
    fn from(row: Row) -> Self {
        Self {
            seq: row.seq,
            at: row.at,
            draft: Draft {
                kind: row.kind,
                machine: row.machine,
                mac: row.mac,
                text: row.text,
                fields: row.fields,
                origin: row.origin,
            },
        }
    }
}

/// An event before the store has numbered it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// Stable name, `subject.verb`, such as `activation.served`.
    pub kind: String,
    /// The machine it is about, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineId>,
    /// The station it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// One sentence for a person.
    pub text: String,
    /// Values for programs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// Who asked for what made it happen, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Box<Origin>>,
}

/// Who asked for something, from where, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// As the API names callers: `local:ann`, `token/ci:ann`; `peer:lab` is another site. `None`: nobody that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// An address, or `uid 1000` at the local socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The request's own id: all that one request did has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The operation: `POST /api/v1/machines/{machine}/accept`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What it was asked of: the path as it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Draft {
    /// An event of `kind` told as `text`.
    #[must_use]
    pub fn new(kind: &str, text: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            machine: None,
            mac: None,
            text: text.into(),
            fields: BTreeMap::new(),
            origin: None,
        }
    }

    /// Asked for by them, unless it is known that somebody else did.
    pub fn asked_by(&mut self, origin: &Origin) {
        self.origin.get_or_insert_with(|| Box::new(origin.clone()));
    }

    /// About this machine.
    #[must_use]
    pub fn machine(mut self, id: &MachineId) -> Self {
        self.machine = Some(id.clone());
        self
    }

    /// About this station.
    #[must_use]
    pub fn mac(mut self, mac: MacAddr) -> Self {
        self.mac = Some(mac);
        self
    }

    /// With a value for programs.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }
}
