//! What machines are made of, as their agents last read it, and how that changed.

mod changes;

use mesh_proto::facts::HardwareFacts;
use serde::{Deserialize, Serialize};

use super::{Timestamp, machine::MachineId};
pub use changes::changes;

/// Versions kept of a machine's facts.
pub const MAX_VERSIONS: usize = 20;
/// Changes told of one version; a machine that was rebuilt has no longer list worth reading.
pub const MAX_CHANGES: usize = 32;

/// A machine's facts, current and how they came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsRecord {
    /// Whose.
    pub machine: MachineId,
    /// Its hardware now.
    pub facts: HardwareFacts,
    /// Digest of these facts ([`HardwareFacts`]' own).
    pub digest: String,
    /// The boot they were read in.
    pub boot_id: String,
    /// When they were told last.
    pub at: Timestamp,
    /// What changed, newest last; the first entry is the first sight.
    pub history: Vec<FactsChange>,
}

/// One version of a machine's facts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsChange {
    /// When it was told.
    pub at: Timestamp,
    /// Digest of the facts from then on.
    pub digest: String,
    /// What changed, in words: `disk WD-1 (1000 GB) added`.
    pub what: Vec<String>,
}
