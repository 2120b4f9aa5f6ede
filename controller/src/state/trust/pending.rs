//! Keys that wait for a person.

use std::net::IpAddr;

use mesh_proto::{facts::HardwareFacts, message::enrol::KeyKind};
use serde::{Deserialize, Serialize};

use super::{Digest, key::Serial};
use crate::state::{Timestamp, machine::MachineId};

/// Keys that may wait, as DESIGN §8 has it; the one silent for longest makes room.
pub const MAX_PENDING: usize = 4096;
/// Keys that may wait for one machine: the honest one, and some strangers'.
pub const MAX_PENDING_OF_ONE: usize = 4;

/// A key that asked and waits until a person says yes. Its agent keeps the stream open, or asks again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub key: Digest,
    /// The serial its certificate will have.
    pub serial: Serial,
    /// Which kind of key.
    pub kind: KeyKind,
    /// The machine it says it is, by what it is made of; one of its own when that is none we know.
    pub machine: MachineId,
    /// Its boot.
    pub boot_id: String,
    /// Its agent's version.
    pub agent: String,
    /// Where it asked from.
    pub from: IpAddr,
    /// The pairing code as an honest machine shows it.
    pub code: String,
    /// What it says it is made of: the part that tells machines apart.
    pub facts: HardwareFacts,
    /// Why it waits, for people.
    pub why: String,
    /// When it asked first.
    pub since: Timestamp,
    /// When it asked last.
    pub heard: Timestamp,
}
