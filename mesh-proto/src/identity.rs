//! Who a member is: the id that never changes, the identity that is replaced whenever it comes back, and which of two
//! identities of one node is believed. Who may carry which id is decided by certificates, not here: gossip authorises
//! nothing.

use std::{fmt, net::SocketAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A node of the mesh, for good. An agent's is its machine's id; a controller has a random one of its own.
///
/// As text, and in JSON, it is 16 lower-case hex digits; in binary formats it is the number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// Digits in the text form of a [`NodeId`]: four bits each, leading zeros kept.
const NODE_ID_DIGITS: usize = 16;

impl fmt::Display for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The text is not a node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node id is {NODE_ID_DIGITS} hex digits")]
pub struct BadNodeId;

impl FromStr for NodeId {
    type Err = BadNodeId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` alone would take a sign.
        let digits = text.len() == NODE_ID_DIGITS && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits {
            return Err(BadNodeId);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| BadNodeId)
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            to.collect_str(self)
        } else {
            to.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?.parse().map_err(D::Error::custom)
        } else {
            u64::deserialize(from).map(Self)
        }
    }
}

/// What a node is in its site. The word is also the path segment of its certificate's URI.
///
/// The order of the variants is part of the gossip's wire format: new ones are added at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Decides, issues generations and verdicts, swaps state.
    Controller,
    /// Runs on a machine: an installed OS or the management OS.
    Agent,
    /// A controller of another site. Has a certificate, but is never a member of this site's gossip.
    Peer,
}

impl Role {
    /// The word used in certificates, JSON and lists.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::Agent => "agent",
            Self::Peer => "peer",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The word is no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is controller, agent or peer")]
pub struct BadRole;

impl FromStr for Role {
    type Err = BadRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "controller" => Ok(Self::Controller),
            "agent" => Ok(Self::Agent),
            "peer" => Ok(Self::Peer),
            _ => Err(BadRole),
        }
    }
}

/// One life of a node in the gossip. At most 40 bytes on the wire.
///
/// The order of the fields is part of the gossip's wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Which node.
    pub node: NodeId,
    /// Issued by the controller at each hello, always larger than the last: an agent that runs from RAM remembers
    /// nothing, and a board without a clock cannot count time.
    pub generation: u32,
    /// Counted up by the node itself between two hellos: when it was declared down, and when its address changed.
    pub renewals: u16,
    /// Where its gossip socket listens.
    pub addr: SocketAddr,
    /// What it is.
    pub role: Role,
}

impl Identity {
    /// The first identity of a generation.
    #[must_use]
    pub fn new(node: NodeId, generation: u32, addr: SocketAddr, role: Role) -> Self {
        Self {
            node,
            generation,
            renewals: 0,
            addr: plain(addr),
            role,
        }
    }

    /// The same node, alive again. `None` when this generation has no number left: a hello brings a new one.
    #[must_use]
    pub fn renewed(&self) -> Option<Self> {
        let renewals = self.renewals.checked_add(1)?;
        Some(Self { renewals, ..*self })
    }

    /// The same node at another address. `None` as in [`Identity::renewed`].
    #[must_use]
    pub fn moved(&self, addr: SocketAddr) -> Option<Self> {
        let addr = plain(addr);
        Some(Self {
            addr,
            ..self.renewed()?
        })
    }

    /// Whether this identity is believed when `other` claims the same node: the later hello wins, then the later
    /// renewal. What is left, two hosts with one key, is settled the same way everywhere by the larger address.
    #[must_use]
    pub fn beats(&self, other: &Self) -> bool {
        let rank = |id: &Self| (id.generation, id.renewals, id.addr, id.role);
        rank(self) > rank(other)
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            node,
            generation,
            renewals,
            addr,
            role,
        } = self;
        write!(out, "{role} {node} {generation}.{renewals} at {addr}")
    }
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        self.renewed()
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.beats(adversary)
    }
}

/// The address as every other node sees it: an IPv4 peer of a dual-stack socket is written as IPv4, and the scope of a
/// link-local address, which means nothing on another host, is dropped. Messages are only taken when they name our
/// whole identity, so both sides must write it alike.
fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(generation: u32, renewals: u16, addr: &str) -> Identity {
        Identity {
            renewals,
            ..Identity::new(
                NodeId(7),
                generation,
                addr.parse().expect("an address"),
                Role::Agent,
            )
        }
    }

    #[test]
    fn a_node_id_is_sixteen_hex_digits_and_nothing_else() {
        let id = NodeId(0xab_cdef);
        assert_eq!(id.to_string(), "0000000000abcdef");
        assert_eq!("0000000000ABCDEF".parse(), Ok(id));
        assert_eq!(
            serde_json::to_string(&id).expect("JSON"),
            "\"0000000000abcdef\""
        );
        for wrong in [
            "",
            "abcdef",
            "+000000000abcdef",
            "0000000000abcdeg",
            "00000000000abcdef",
        ] {
            assert_eq!(
                wrong.parse::<NodeId>(),
                Err(BadNodeId),
                "{wrong:?} was taken"
            );
        }
    }

    #[test]
    fn a_role_is_written_as_it_is_read() {
        for role in [Role::Controller, Role::Agent, Role::Peer] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!("Agent".parse::<Role>(), Err(BadRole));
    }

    #[test]
    fn the_later_life_of_a_node_wins() {
        let rows = [
            (identity(2, 0, "10.0.0.1:1"), identity(1, 9, "10.0.0.9:9")),
            (identity(1, 2, "10.0.0.1:1"), identity(1, 1, "10.0.0.9:9")),
            (identity(1, 1, "10.0.0.2:1"), identity(1, 1, "10.0.0.1:9")),
        ];
        for (winner, loser) in rows {
            assert!(winner.beats(&loser), "{winner} against {loser}");
            assert!(!loser.beats(&winner), "{loser} against {winner}");
        }
        let same = identity(1, 1, "10.0.0.1:1");
        assert!(!same.beats(&same));
    }

    #[test]
    fn renewing_and_moving_beat_what_was_before() {
        let before = identity(3, 4, "10.0.0.9:4849");
        let renewed = before.renewed().expect("numbers left");
        assert!(renewed.beats(&before) && renewed.addr == before.addr);
        let moved = before
            .moved("10.0.0.1:4849".parse().expect("an address"))
            .expect("numbers left");
        assert!(moved.beats(&before));
        assert_eq!(identity(3, u16::MAX, "10.0.0.9:4849").renewed(), None);
    }

    #[test]
    fn an_address_is_written_the_way_the_others_see_it() {
        let dual = identity(1, 0, "[::ffff:10.0.0.1]:4849");
        assert_eq!(dual.addr, "10.0.0.1:4849".parse().expect("an address"));
        let scoped = identity(1, 0, "[fe80::1%3]:4849");
        assert_eq!(scoped.addr, "[fe80::1]:4849".parse().expect("an address"));
    }
}
