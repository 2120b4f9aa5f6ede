//! What Consul's `/v1/catalog/nodes` and `/v1/health/state/any` say, joined into members.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    marker::PhantomData,
};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use crate::state::{
    member::MemberState,
    provider::{Heard, MAX_MEMBERS, Tags},
};

/// The check that Consul's own gossip keeps about each agent.
const GOSSIP_CHECK: &str = "serfHealth";
/// Checks looked at: sixteen for each member that is kept.
const MAX_CHECKS: usize = 16 * MAX_MEMBERS;
/// Longest name of a check that is repeated to people, characters.
const MAX_WORDS: usize = 60;

/// A node of the catalog.
#[derive(Debug, Deserialize)]
pub(super) struct Node {
    #[serde(rename = "Node")]
    name: String,
    #[serde(rename = "Address", default)]
    address: Option<String>,
    #[serde(rename = "Meta", default)]
    meta: Option<BTreeMap<String, String>>,
}

/// A check and how it is.
#[derive(Debug, Deserialize)]
pub(super) struct Check {
    #[serde(rename = "Node")]
    node: String,
    #[serde(rename = "CheckID")]
    id: String,
    #[serde(rename = "Status")]
    status: String,
}

/// A list that is read up to its bound; the rest is only counted.
#[derive(Debug, Clone)]
pub(super) struct Bounded<T, const MOST: usize> {
    all: Vec<T>,
    passed: usize,
}

/// The catalog's nodes.
pub(super) type Nodes = Bounded<Node, MAX_MEMBERS>;
/// Everybody's checks.
pub(super) type Checks = Bounded<Check, MAX_CHECKS>;

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for Bounded<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List<T, const MOST: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for List<T, MOST> {
            type Value = Bounded<T, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
                let (mut all, mut passed) = (Vec::new(), 0);
                while all.len() < MOST {
                    let Some(one) = from.next_element()? else {
                        return Ok(Bounded { all, passed });
                    };
                    all.push(one);
                }
                while from.next_element::<IgnoredAny>()?.is_some() {
                    passed += 1;
                }
                Ok(Bounded { all, passed })
            }
        }
        from.deserialize_seq(List(PhantomData))
    }
}

/// Each node as a member, and how many were passed over.
pub(super) fn members(nodes: &Nodes, checks: &Checks) -> (Vec<Heard>, usize) {
    let mut of: HashMap<&str, Vec<&Check>> = HashMap::new();
    for check in &checks.all {
        of.entry(check.node.as_str()).or_default().push(check);
    }
    let none = Vec::new();
    let heard = nodes.all.iter().filter_map(|node| {
        let (state, why) = verdict(of.get(node.name.as_str()).unwrap_or(&none));
        Some(Heard {
            node: node.name.parse().ok()?,
            address: node.address.as_deref().and_then(|a| a.parse().ok()),
            state,
            why,
            tags: Tags::of(node.meta.clone().unwrap_or_default()),
        })
    });
    let heard: Vec<Heard> = heard.collect();
    let passed = nodes.passed + nodes.all.len() - heard.len();
    (heard, passed)
}

/// Whether a node lives. Its gossip says so; a node without an agent is judged by what somebody checks.
fn verdict(checks: &[&Check]) -> (MemberState, String) {
    let gossip = checks.iter().find(|c| c.id == GOSSIP_CHECK);
    let bad = checks.iter().filter(|c| c.status == "critical");
    let bad: Vec<&&Check> = bad.collect();
    match (gossip.map(|c| c.status.as_str()), bad.as_slice()) {
        (Some("passing" | "warning" | "maintenance"), []) => (
            MemberState::Alive,
            "consul says: its agent passes".to_owned(),
        ),
        (Some("passing" | "warning" | "maintenance"), bad) => (
            MemberState::Alive,
            format!("consul says: its agent passes, {} is critical", some(bad)),
        ),
        (Some(_), _) => (
            MemberState::Down,
            "consul says: its agent does not answer".to_owned(),
        ),
        (None, []) if checks.is_empty() => (
            MemberState::Unreachable,
            "consul has no check of it".to_owned(),
        ),
        (None, []) => (
            MemberState::Alive,
            "consul says: its checks pass".to_owned(),
        ),
        (None, bad) => (
            MemberState::Unreachable,
            format!("consul says: {} is critical", some(bad)),
        ),
    }
}

/// `db`, or `db and 2 more checks`.
fn some(bad: &[&&Check]) -> String {
    let first = bad.first().map_or("", |c| c.id.as_str());
    let plain = first.chars().filter(|c| !c.is_control());
    let first: String = plain.take(MAX_WORDS).collect();
    match bad.len() {
        0 | 1 => first,
        more => format!("{first} and {} more checks", more - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(nodes: &str, checks: &str) -> (Vec<Heard>, usize) {
        let (nodes, checks) = (serde_json::from_str(nodes), serde_json::from_str(checks));
        members(&nodes.unwrap(), &checks.unwrap())
    }

    #[test]
    fn nodes_with_their_metadata_and_health_are_members() {
        let (heard, passed) = joined(
            include_str!("../../../tests/golden/consul/catalog-nodes.json"),
            include_str!("../../../tests/golden/consul/health-state-any.json"),
        );
        let told: Vec<_> = heard
            .iter()
            .map(|h| (h.node.as_str(), h.state, h.why.as_str()))
            .collect();
        assert_eq!(passed, 0);
        assert_eq!(
            told,
            [
                ("bay-1", MemberState::Alive, "consul says: its agent passes"),
                (
                    "bay-2",
                    MemberState::Down,
                    "consul says: its agent does not answer"
                ),
                (
                    "bay-3",
                    MemberState::Alive,
                    "consul says: its agent passes, service:web and 1 more checks is critical"
                ),
                (
                    "printer",
                    MemberState::Unreachable,
                    "consul says: ping is critical"
                ),
                (
                    "shelf",
                    MemberState::Unreachable,
                    "consul has no check of it"
                ),
            ]
        );
        assert_eq!(heard[0].address, Some([10, 1, 10, 12].into()));
        let who = heard[0].tags.identity();
        assert_eq!(who.macs.first().unwrap().to_string(), "52:54:00:00:00:01");
        assert_eq!(heard[4].tags, Tags::default(), "Meta is null");
    }

    #[test]
    fn names_that_play_with_a_terminal_are_passed_over() {
        let nodes = r#"[{"Node":"a\u001b[2J","Address":"x"},{"Node":"b","Address":"no address"},{"Node":""}]"#;
        let (heard, passed) = joined(nodes, "[]");
        assert_eq!((heard.len(), passed), (1, 2));
        assert_eq!((heard[0].node.as_str(), heard[0].address), ("b", None));
    }

    #[test]
    fn a_catalog_of_more_than_is_kept_is_cut_and_counted() {
        let nodes: Vec<String> = (0..MAX_MEMBERS + 5)
            .map(|n| format!(r#"{{"Node":"n{n}"}}"#))
            .collect();
        let (heard, passed) = joined(&format!("[{}]", nodes.join(",")), "[]");
        assert_eq!((heard.len(), passed), (MAX_MEMBERS, 5));
    }

    #[test]
    fn what_is_no_catalog_is_refused() {
        for text in ["", "{}", "[1]", "[{}]", "null", &"[".repeat(100_000)] {
            assert!(serde_json::from_str::<Nodes>(text).is_err(), "{text:.20}");
        }
    }
}
