//! The links that stand, one for each node: the newest.

use std::collections::HashMap;

use mesh_net::{CloseCode, LinkHandle};
use mesh_proto::{
    identity::NodeId,
    message::{boot::HelperReport, link::Status},
};

use crate::state::trust::key::Serial;

/// Longest word of an agent about what it does, characters.
const MAX_STAGE: usize = 200;

/// A link and what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) handle: LinkHandle,
    pub(super) generation: u32,
    /// Whether its agent gossips: only then it gets keys and verdicts.
    pub(super) gossips: bool,
    /// Whether a state swap of it was answered: until then it knows almost nobody.
    pub(super) swapped: bool,
    pub(super) status: Option<Status>,
    /// How it says its work as a boot helper goes.
    pub(super) helping: Option<HelperReport>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Links(HashMap<NodeId, Link>);

impl Links {
    /// A link stands; of two links of a node the one with the older generation is closed. Says whether this one stays:
    /// two hellos of one node may be answered in any order.
    pub(super) fn insert(&mut self, link: Link) -> bool {
        let text = "a newer link of this node stands";
        let node = link.handle.peer().node;
        let newer = |old: &&Link| old.generation > link.generation;
        if self.0.get(&node).filter(newer).is_some() {
            link.handle.close(CloseCode::Superseded, text);
            return false;
        }
        if let Some(old) = self.0.insert(node, link) {
            old.handle.close(CloseCode::Superseded, text);
        }
        true
    }

    /// A link has ended. Gives its generation when it was the node's newest.
    pub(super) fn remove(&mut self, handle: &LinkHandle) -> Option<u32> {
        let node = handle.peer().node;
        let current = self.0.get(&node)?;
        if current.handle.id() != handle.id() {
            return None;
        }
        self.0.remove(&node).map(|link| link.generation)
    }

    /// The link of a node.
    pub(super) fn get(&self, node: NodeId) -> Option<&Link> {
        self.0.get(&node)
    }

    /// All links.
    pub(super) fn all(&self) -> impl Iterator<Item = (NodeId, &Link)> {
        self.0.iter().map(|(node, link)| (*node, link))
    }

    /// Whether this link is its node's newest, and its generation.
    pub(super) fn generation_of(&self, handle: &LinkHandle) -> Option<u32> {
        let link = self.0.get(&handle.peer().node)?;
        (link.handle.id() == handle.id()).then_some(link.generation)
    }

    /// Whether no swap of this link was answered yet.
    pub(super) fn is_joining(&self, handle: &LinkHandle) -> bool {
        let link = self.0.get(&handle.peer().node);
        link.is_some_and(|link| link.handle.id() == handle.id() && !link.swapped)
    }

    /// A swap of this link was answered.
    pub(super) fn has_swapped(&mut self, handle: &LinkHandle) {
        let link = self.0.get_mut(&handle.peer().node);
        if let Some(link) = link.filter(|link| link.handle.id() == handle.id()) {
            link.swapped = true;
        }
    }

    /// Closes the links of these certificates: not one more message is taken from them.
    pub(super) fn close(&self, serials: &[Serial], code: CloseCode, reason: &str) {
        let shown = |link: &&Link| {
            serials
                .iter()
                .any(|s| s.as_str() == link.handle.peer().serial)
        };
        for link in self.0.values().filter(shown) {
            link.handle.close(code, reason);
        }
    }

    /// Keeps what an agent says it does.
    pub(super) fn set_status(&mut self, node: NodeId, status: &Status) {
        if let Some(link) = self.0.get_mut(&node) {
            link.status = Some(Status {
                stage: short(&status.stage),
                error: status.error.as_deref().map(short),
            });
        }
    }

    /// Keeps how a helper is doing. Says whether that is news.
    pub(super) fn set_helping(&mut self, node: NodeId, report: HelperReport) -> bool {
        let Some(link) = self.0.get_mut(&node) else {
            return false;
        };
        let news = link.helping.as_ref() != Some(&report);
        link.helping = Some(report);
        news
    }
}

pub(super) fn short(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_STAGE)
        .collect()
}
