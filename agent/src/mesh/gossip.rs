//! The agent's part in the gossip: nothing of it in leaf mode.

use std::io;
use std::sync::Arc;

use mesh_net::AgentLink;
use mesh_proto::identity::NodeId;
use mesh_proto::message::link::{Verdict, Welcome};
use mesh_proto::message::ring::Ring;
use mesh_proto::message::{Refusal, RefusalCode};
use tokio::sync::Notify;

use super::session::Outcome;
use super::shared::Shared;
use crate::effects::Effects;

/// Whether and where to gossip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GossipChoice {
    /// Only a link: no gossip and no gossip key (a tenant's own OS).
    Leaf,
    /// On this UDP port; another one when it is taken, any for 0.
    Port(u16),
}

pub(super) struct Gossip {
    knock: Notify,
}

impl Gossip {
    pub(super) fn bind(_choice: GossipChoice) -> io::Result<Self> {
        Ok(Self {
            knock: Notify::new(),
        })
    }

    pub(super) async fn run(&self) {
        std::future::pending::<()>().await;
    }

    pub(super) fn port(&self) -> Option<u16> {
        None
    }

    pub(super) fn knock(&self) -> &Notify {
        &self.knock
    }

    pub(super) async fn knocked(&self) {
        self.knock.notified().await;
    }

    pub(super) fn start(&self, _node: NodeId, _welcome: &Welcome, _digest: &str) {}

    pub(super) fn announce(&self, _digest: &str) {}

    pub(super) fn apply(&self, _verdicts: Vec<Verdict>) {}

    pub(super) fn set_ring(&self, _ring: &Ring) -> Result<(), Refusal> {
        Err(Refusal::new(
            RefusalCode::Unsupported,
            "a leaf holds no gossip key",
        ))
    }

    pub(super) fn leave(&self) {}
}

pub(super) async fn swap<E: Effects>(_shared: Arc<Shared<E>>, _link: AgentLink) -> Outcome {
    Outcome::Nothing
}
