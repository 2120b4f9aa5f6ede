//! Members of providers: machines that another cluster's agents (Serf, Consul) know.
//!
//! A provider is believed as a hint and no further (level T0, DESIGN §7): what it says never makes a machine registered or accepted,
//! changes nothing that an agent of ours told, and no job goes through it.

mod tags;

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Timestamp, machine::MachineId, member::MemberState, name};
pub use tags::Tags;

/// Members taken of one provider: the rooms that Enforcer is for have far fewer, and each costs memory and a row.
pub const MAX_MEMBERS: usize = 8192;
/// Longest name of a member, bytes: Serf's own bound.
const MAX_NODE_NAME: usize = 128;

name::names! {
    /// A provider's name: 1 to 63 letters, digits, `-`, `_` and `.`.
    ProviderName: name::is_plain_name, name::BadPlainName;
}

/// Which cluster's agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProviderKind {
    /// HashiCorp Serf, over its RPC.
    Serf,
    /// HashiCorp Consul, over its HTTP API.
    Consul,
}

impl ProviderKind {
    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Serf => "serf",
            Self::Consul => "consul",
        }
    }
}

/// A member's name at its provider, which knows it by that alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

/// A name that is empty, too long, or would play with a person's terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a member is empty, longer than {MAX_NODE_NAME} bytes, or has control characters"
)]
pub struct BadNodeName;

impl NodeName {
    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = BadNodeName;

    fn from_str(text: &str) -> Result<Self, BadNodeName> {
        text.to_owned().try_into()
    }
}

impl TryFrom<String> for NodeName {
    type Error = BadNodeName;

    // It is refused rather than cut or cleaned: a member is asked to restart by exactly this name.
    fn try_from(text: String) -> Result<Self, BadNodeName> {
        let good = (1..=MAX_NODE_NAME).contains(&text.len()) && !text.contains(char::is_control);
        good.then_some(Self(text)).ok_or(BadNodeName)
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a provider says of one member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its name there.
    pub node: NodeName,
    /// Its address, as the provider says.
    pub address: Option<IpAddr>,
    /// Whether it lives.
    pub state: MemberState,
    /// In the provider's words.
    pub why: String,
    /// Serf's tags, Consul's node metadata.
    pub tags: Tags,
}

/// A member of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderMember {
    /// Whose.
    pub provider: ProviderName,
    /// Which kind.
    pub kind: ProviderKind,
    /// Its name there.
    pub node: NodeName,
    /// Its address there.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Its tags.
    #[serde(default)]
    pub tags: Tags,
    /// The machine that its tags describe; `None`: they describe none.
    #[serde(default)]
    pub machine: Option<MachineId>,
    /// The verdict: the provider's.
    pub state: MemberState,
    /// Since when.
    pub since: Timestamp,
    /// Why, in words.
    pub why: String,
    /// When it was first heard of.
    pub joined: Timestamp,
}

impl ProviderMember {
    /// Whether its provider answers and says that it lives.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.state == MemberState::Alive
    }

    /// Its provider, for people: `serf lab`.
    #[must_use]
    pub fn source(&self) -> String {
        format!("{} {}", self.kind.word(), self.provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_name_is_taken_as_it_is_or_not_at_all() {
        for good in ["n1", "rack 1/ü", &"x".repeat(128)] {
            assert_eq!(good.parse::<NodeName>().unwrap().as_str(), good);
        }
        for bad in ["", "a\nb", "\u{1b}[31mred", "a\u{85}", &"x".repeat(129)] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
    }
}
