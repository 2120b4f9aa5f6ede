//! The messages of Serf's RPC that we send and read (`docs/agent/rpc` of Serf): maps with names as keys.
//!
//! What comes is read leniently: unknown fields are passed over, texts need not be UTF-8, and a list is cut at what is kept of it.

use std::{fmt, net::IpAddr};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::state::{
    member::MemberState,
    provider::{Heard, MAX_MEMBERS, Tags},
};

/// How deep a message may nest: a list of members with tags has four levels.
const MAX_DEPTH: usize = 16;
/// Pairs of a map that are looked at; more tags than are kept are passed over.
const MAX_PAIRS: usize = 128;

/// The head of what we send.
#[derive(Debug, Serialize)]
pub(super) struct RequestHead<'a> {
    #[serde(rename = "Command")]
    pub(super) command: &'a str,
    #[serde(rename = "Seq")]
    pub(super) seq: u64,
}

/// `handshake`: the version of the protocol; there is one.
#[derive(Debug, Serialize)]
pub(super) struct Handshake {
    #[serde(rename = "Version")]
    pub(super) version: u32,
}

/// `auth`.
#[derive(Serialize)]
pub(super) struct Auth<'a> {
    #[serde(rename = "AuthKey")]
    pub(super) key: &'a str,
}

/// `stream`: which events.
#[derive(Debug, Serialize)]
pub(super) struct Stream<'a> {
    #[serde(rename = "Type")]
    pub(super) events: &'a str,
}

/// `query`: a question to some members.
#[derive(Debug, Serialize)]
pub(super) struct Query<'a> {
    #[serde(rename = "FilterNodes")]
    pub(super) nodes: [&'a str; 1],
    #[serde(rename = "RequestAck")]
    pub(super) ack: bool,
    /// Nanoseconds.
    #[serde(rename = "Timeout")]
    pub(super) timeout: u64,
    #[serde(rename = "Name")]
    pub(super) name: &'a str,
}

/// The head of what comes.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    #[serde(rename = "Seq")]
    pub(super) seq: u64,
    /// Empty: no error.
    #[serde(rename = "Error", default)]
    pub(super) error: Text,
}

/// The answer to `members`, and a member event.
#[derive(Debug, Deserialize)]
pub(super) struct Members {
    #[serde(rename = "Members", default)]
    pub(super) members: MemberList,
}

/// An event of the stream, before it is known which.
#[derive(Debug, Deserialize)]
pub(super) struct Event {
    #[serde(rename = "Event", default)]
    pub(super) event: Text,
}

/// What comes back of a query.
#[derive(Debug, Deserialize)]
pub(super) struct QueryRecord {
    /// `ack`, `response` or `done`.
    #[serde(rename = "Type", default)]
    pub(super) kind: Text,
    #[serde(rename = "From", default)]
    pub(super) from: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemberRecord {
    #[serde(rename = "Name")]
    name: Text,
    #[serde(rename = "Addr")]
    address: Raw,
    #[serde(rename = "Tags")]
    tags: Pairs,
    #[serde(rename = "Status")]
    status: Text,
}

impl MemberRecord {
    /// `None`: its name cannot be taken, or its status says nothing.
    fn heard(self) -> Option<Heard> {
        let state = match self.status.0.as_str() {
            "alive" | "leaving" => MemberState::Alive,
            "left" => MemberState::Left,
            "failed" => MemberState::Down,
            _ => return None,
        };
        Some(Heard {
            node: self.name.0.parse().ok()?,
            address: self.address.ip(),
            state,
            why: format!("serf says: {}", self.status.0),
            tags: Tags::of(self.tags.0),
        })
    }
}

/// Reads a whole value.
pub(super) fn read<'de, T: Deserialize<'de>>(value: &'de [u8]) -> Option<T> {
    let mut from = rmp_serde::Deserializer::from_read_ref(value);
    from.set_max_depth(MAX_DEPTH);
    T::deserialize(&mut from).ok()
}

/// A list of members, cut at [`MAX_MEMBERS`].
#[derive(Debug, Default)]
pub struct MemberList {
    /// What can be kept.
    pub heard: Vec<Heard>,
    /// How many were passed over: too many, or not to be taken.
    pub passed: usize,
}

impl<'de> Deserialize<'de> for MemberList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = MemberList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of members")
            }

            // Go writes an empty list as nil.
            fn visit_unit<E>(self) -> Result<MemberList, E> {
                Ok(MemberList::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut all: A) -> Result<MemberList, A::Error> {
                let mut list = MemberList::default();
                while list.heard.len() < MAX_MEMBERS {
                    let Some(record) = all.next_element::<MemberRecord>()? else {
                        return Ok(list);
                    };
                    match record.heard() {
                        Some(heard) => list.heard.push(heard),
                        None => list.passed += 1,
                    }
                }
                while all.next_element::<IgnoredAny>()?.is_some() {
                    list.passed += 1;
                }
                Ok(list)
            }
        }
        from.deserialize_any(List)
    }
}

/// A text, whatever its bytes; Go does not mind.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Raw::deserialize(from).map(|raw| Self(String::from_utf8_lossy(&raw.0).into_owned()))
    }
}

/// Bytes, as text or as binary: which one an agent writes differs among versions.
#[derive(Debug, Default)]
struct Raw(Vec<u8>);

impl Raw {
    /// Go's `net.IP`: 4 or 16 bytes, IPv4 often mapped into IPv6.
    fn ip(&self) -> Option<IpAddr> {
        if let Ok(four) = <[u8; 4]>::try_from(self.0.as_slice()) {
            return Some(four.into());
        }
        let sixteen = <[u8; 16]>::try_from(self.0.as_slice()).ok()?;
        Some(IpAddr::from(sixteen).to_canonical())
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Raw;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or bytes")
            }

            fn visit_unit<E>(self) -> Result<Raw, E> {
                Ok(Raw::default())
            }

            fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
                Ok(Raw(text.into()))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Raw, E> {
                Ok(Raw(bytes.into()))
            }
        }
        from.deserialize_any(Bytes)
    }
}

/// The pairs of a map of texts, the first [`MAX_PAIRS`].
#[derive(Debug, Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_unit<E>(self) -> Result<Pairs, E> {
                Ok(Pairs::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while pairs.len() < MAX_PAIRS {
                    let Some((name, value)) = map.next_entry::<Text, Text>()? else {
                        return Ok(Pairs(pairs));
                    };
                    pairs.push((name.0, value.0));
                }
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_any(Map)
    }
}
