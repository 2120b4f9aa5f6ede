//! Who is a member: what a link carries of the gossip's state, both ways.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::identity::{NodeId, Role};

/// One member as a state swap carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Who.
    pub node: NodeId,
    /// Its incarnation as a controller issued it.
    pub generation: u32,
    /// How often it renewed itself in this generation.
    pub renewals: u16,
    /// Where it gossips.
    pub addr: SocketAddr,
    /// What it is.
    pub role: Role,
    /// SWIM's own counter inside this identity.
    pub incarnation: u16,
    /// What is thought of it.
    pub state: EntryState,
}

/// SWIM's states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryState {
    /// Answers.
    Alive,
    /// Did not answer somebody.
    Suspect,
    /// Gone.
    Down,
}

/// A state swap: first only the digest, then, when it differs, the members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// Digest of the asker's state, 32 hex digits.
    pub digest: String,
    /// The asker's whole state, once the digests are known to differ.
    #[serde(default)]
    pub members: Option<Vec<Entry>>,
}

/// The answer to a swap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "result")]
pub enum SwapAnswer {
    /// The digests are equal.
    Same,
    /// They differ: this is the answerer's state; send yours.
    Differs {
        /// Everything the answerer knows.
        members: Vec<Entry>,
    },
    /// Too many at once: ask again after this time.
    Later {
        /// Milliseconds.
        after_ms: u32,
    },
}

/// What the controller found out about a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whom.
    pub node: NodeId,
    /// In which generation; a newer one is not meant.
    pub generation: u32,
    /// What.
    pub state: VerdictState,
}

/// The verdicts there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictState {
    /// Silent for too long, and did not come back when knocked at.
    Down,
    /// Went on purpose.
    Left,
    /// Its key was revoked: nothing it says counts.
    Revoked,
}
