//! Members: machines whose agent has, or had, a link to us.

use std::net::SocketAddr;

use mesh_proto::message::{
    enrol::{KeyKind, Level},
    job::Ability,
    link::Habitat,
};
use serde::{Deserialize, Serialize};

use super::{Timestamp, machine::MachineId, trust::key::Serial};

/// The verdict on a member: the controller's, from its link (DESIGN §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberState {
    /// Its link speaks.
    Alive,
    /// Its link is silent, or closed without a word.
    Unreachable,
    /// It stayed silent.
    Down,
    /// It said goodbye.
    Left,
}

impl MemberState {
    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Unreachable => "unreachable",
            Self::Down => "down",
            Self::Left => "left",
        }
    }
}

/// A machine's agent, as its last hello and our last verdict have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The machine; also the node's id.
    pub machine: MachineId,
    /// The generation issued at its last hello; every later one is higher.
    pub generation: u32,
    /// The certificate it came with.
    pub serial: Serial,
    /// That key's kind.
    pub kind: KeyKind,
    /// How well that key was proved.
    pub level: Level,
    /// Its boot; commands are bound to it.
    pub boot_id: String,
    /// Where its link comes from.
    pub address: SocketAddr,
    /// UDP port it gossips on; `None`: leaf mode.
    #[serde(default)]
    pub gossip_port: Option<u16>,
    /// The agent's version.
    pub agent: String,
    /// What the agent runs in.
    pub habitat: Habitat,
    /// Digest of the facts it has.
    pub facts_digest: String,
    /// What it can do that older agents cannot.
    #[serde(default)]
    pub abilities: Vec<Ability>,
    /// When its last hello came.
    pub joined: Timestamp,
    /// The verdict.
    pub state: MemberState,
    /// Since when.
    pub since: Timestamp,
    /// Why, in words.
    pub why: String,
}

impl Member {
    /// Whether its link stands and speaks.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.state == MemberState::Alive
    }

    /// Where it gossips.
    #[must_use]
    pub fn gossips_at(&self) -> Option<SocketAddr> {
        let port = self.gossip_port?;
        Some(SocketAddr::new(self.address.ip(), port))
    }
}
