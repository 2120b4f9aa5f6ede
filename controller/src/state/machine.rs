//! A machine: its own random id, and attributes that may change or repeat.

use std::{collections::BTreeSet, fmt, net::IpAddr, str::FromStr};

use ipxe::{Firmware, LocalBoot, MacAddr};
use mesh_proto::identity::{BadNodeId, NodeId};
use serde::{Deserialize, Serialize};

use super::{
    Timestamp,
    helper::HelperRole,
    hold::Hold,
    label::Labels,
    matching::Identity,
    trust::{Digest, secret::BootSecret, token::TokenId},
    user::UserName,
};

/// A machine's random id, 16 hex digits; what stays when NICs, names and boards change. It is also the id of the
/// machine's node in the mesh.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(String);

impl MachineId {
    /// An id from 64 random bits.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        Self(format!("{bits:016x}"))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The machine's node in the mesh.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.parse().expect("every constructor writes a node id")
    }
}

impl From<NodeId> for MachineId {
    fn from(node: NodeId) -> Self {
        Self(node.to_string())
    }
}

impl FromStr for MachineId {
    type Err = BadNodeId;

    fn from_str(text: &str) -> Result<Self, BadNodeId> {
        text.parse::<NodeId>().map(Self::from)
    }
}

crate::state::name::as_text! { MachineId: BadNodeId }

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name a person gives: a host name label, so that it can be one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineName(String);

/// Why a text cannot be a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' cannot be a name; use 1 to 63 letters, digits and hyphens, starting and ending with a letter or digit"
)]
pub struct BadName(pub String);

impl FromStr for MachineName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let good = text.len() <= 63
            && edge(text.chars().next())
            && edge(text.chars().last())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        if good {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadName(text.chars().take(80).collect()))
        }
    }
}

crate::state::name::as_text! { MachineName: BadName }

impl fmt::Display for MachineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl MachineName {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a machine nobody named: its MAC with hyphens.
    #[must_use]
    pub fn from_mac(mac: MacAddr) -> Self {
        Self(mac.hyphens())
    }

    /// The name of a machine that nobody named and whose cards are all known at others.
    #[must_use]
    pub fn from_id(id: &MachineId) -> Self {
        Self(format!("machine-{id}"))
    }
}

/// How far we trust that this machine is ours (DESIGN §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It asked on the network; nobody said it is ours. Never served a job.
    Seen,
    /// A person registered its MAC.
    Registered,
    /// One of its keys was taken: something may be written to its disk.
    Accepted,
}

impl Standing {
    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Registered => "registered",
            Self::Accepted => "accepted",
        }
    }

    /// Whether a person said that the machine is ours.
    #[must_use]
    pub fn is_ours(self) -> bool {
        match self {
            Self::Seen => false,
            Self::Registered | Self::Accepted => true,
        }
    }
}

/// How and when a machine was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptance {
    /// How.
    pub how: AcceptedBy,
    /// When.
    pub at: Timestamp,
}

/// The ways to be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum AcceptedBy {
    /// It was registered, and enrolled with its boot's secret (`accept = "registered"`).
    BootSecret,
    /// It showed a join token.
    Token {
        /// Which.
        id: TokenId,
    },
    /// A person said so.
    Person {
        /// Whether the pairing codes were compared.
        code: bool,
    },
}

/// Keys of one machine that are remembered as turned down: each boot of an impostor has a new one.
const TURNED_DOWN_MAX: usize = 8;

/// Two claims for one machine: nothing destructive is done to it until a person decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// When the newcomer came.
    pub at: Timestamp,
    /// The newcomer's key.
    pub newcomer: Digest,
    /// Where it came from.
    pub from: IpAddr,
    /// What speaks against it, for people.
    pub why: String,
    /// What tells the newcomer from others, should it be the one to keep.
    #[serde(default)]
    pub identity: Identity,
}

/// The boot of the management OS that a machine was given last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryBoot {
    /// When its script was served first.
    pub at: Timestamp,
    /// The session it was served to; retries of that session get it again.
    pub session: String,
    /// The secret in that script.
    #[serde(default)]
    pub secret: Option<BootSecret>,
}

/// Everything known about a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Its id.
    pub id: MachineId,
    /// Its name; unique.
    pub name: MachineName,
    /// Seen, registered or accepted.
    pub standing: Standing,
    /// How it came to be accepted, when it is.
    #[serde(default)]
    pub accepted: Option<Acceptance>,
    /// Two claims to be it.
    #[serde(default)]
    pub disputed: Option<Dispute>,
    /// Keys that a person decided against, the last few: as long as they come again, that was decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turned_down: Vec<Digest>,
    /// Addresses of its NICs that booted or were registered.
    pub macs: BTreeSet<MacAddr>,
    /// SMBIOS uuid as its firmware told; may repeat among machines, may be zero.
    #[serde(default)]
    pub uuid: Option<String>,
    /// SMBIOS serial as its firmware told.
    #[serde(default)]
    pub serial: Option<String>,
    /// The firmware it booted with last.
    #[serde(default)]
    pub firmware: Option<Firmware>,
    /// How it is sent to its own disk.
    #[serde(default)]
    pub local_boot: LocalBoot,
    /// What a person wrote on it; selectors look at this.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Whose it is; `None`: the site's.
    #[serde(default)]
    pub owner: Option<UserName>,
    /// Who has it for a while.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// The management OS boot it had last.
    #[serde(default)]
    pub discovery: Option<DiscoveryBoot>,
    /// When a person asked that its next boot be the management OS; over once its agent came from there.
    #[serde(default)]
    pub inspect: Option<Timestamp>,
    /// Its agent's role as a boot helper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<HelperRole>,
    /// The helpers that were heard to ask for it, in the order in which they answer without us.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub heard_by: Vec<MachineId>,
    /// When it was first heard of.
    pub first_seen: Timestamp,
    /// When it asked last.
    pub last_seen: Timestamp,
}

impl Machine {
    /// A machine that just showed up.
    #[must_use]
    pub fn seen(id: MachineId, mac: MacAddr, now: Timestamp) -> Self {
        Self {
            id,
            name: MachineName::from_mac(mac),
            standing: Standing::Seen,
            accepted: None,
            disputed: None,
            turned_down: Vec::new(),
            macs: BTreeSet::from([mac]),
            uuid: None,
            serial: None,
            firmware: None,
            local_boot: LocalBoot::Auto,
            labels: Labels::new(),
            owner: None,
            hold: None,
            discovery: None,
            inspect: None,
            helper: None,
            heard_by: Vec::new(),
            first_seen: now,
            last_seen: now,
        }
    }

    /// Remembers that a person decided against this key.
    pub fn turn_down(&mut self, key: Digest) {
        self.turned_down.retain(|known| *known != key);
        self.turned_down.push(key);
        let surplus = self.turned_down.len().saturating_sub(TURNED_DOWN_MAX);
        self.turned_down.drain(..surplus);
    }

    /// The address it is named by where a MAC is wanted: the lowest.
    #[must_use]
    pub fn main_mac(&self) -> Option<MacAddr> {
        self.macs.first().copied()
    }
}
