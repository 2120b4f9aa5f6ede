//! What a site shows to people of another: rows of machines, events, versions of images. Never what it keeps to itself: no
//! facts, no fields of events, no private image.

use serde::{Deserialize, Serialize};

/// Rows in one answer: with [`MAX_ROW_MACS`] for each they fit into a frame of a megabyte.
pub const MAX_ROWS: usize = 1_000;
/// MACs in a row; a machine with more shows its lowest.
pub const MAX_ROW_MACS: usize = 4;
/// Characters of each text in a row or an event.
pub const MAX_SHOWN_TEXT: usize = 200;
/// Events in one answer: it stays within an early frame, since a subscription lives long and the places for big frames are few.
pub const MAX_EVENTS: usize = 32;

/// A machine, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineRow {
    /// Its name there.
    pub name: String,
    /// `registered` or `accepted`.
    pub state: String,
    /// The verdict on its agent: `alive`, `unreachable`, `down`, `left`; absent: it never had a link.
    #[serde(default)]
    pub member: Option<String>,
    /// Its NICs, 12 hex digits each, lowest first; at most [`MAX_ROW_MACS`].
    #[serde(default)]
    pub macs: Vec<String>,
    /// The firmware it booted with last, for people.
    #[serde(default)]
    pub firmware: Option<String>,
    /// The boot config that is due for it.
    #[serde(default)]
    pub active: Option<String>,
    /// How long ago it asked last, seconds: the two clocks need not agree.
    pub seen_s: u64,
}

/// Something that happened, as it may be told elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownEvent {
    /// Its number there: grows with each event.
    pub seq: u64,
    /// When, by the clock there: seconds since 1970.
    pub at_s: i64,
    /// Stable name, `subject.verb`.
    pub kind: String,
    /// The machine it is about.
    pub machine: String,
    /// The station it is about, 12 hex digits.
    #[serde(default)]
    pub mac: Option<String>,
    /// One sentence for a person.
    pub text: String,
}

/// A version of an image that a peer may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownImage {
    /// Its number there.
    pub version: u32,
    /// BLAKE3 of its manifest, 64 hex digits: names every byte of it.
    pub manifest: String,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
    /// Bytes of the disk.
    pub size: u64,
    /// A person's words about it.
    #[serde(default)]
    pub note: Option<String>,
}
