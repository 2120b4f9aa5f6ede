//! The group key of the gossip: made, told to all links, used, and dropped. The ring in the store says what comes next,
//! so a crash between two steps costs nothing.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use mesh_net::LinkHandle;
use mesh_proto::message::{Secret, link::ToAgent};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Inner, lock};
use crate::{
    state::{
        ops::{DropRetired, RotateRing, UseRing},
        trust::ring::{KeyRing, RingStep},
    },
    store::StoreError,
};

/// How long a link may take to install a ring. Who misses it dials anew for the ring.
const INSTALL_WITHIN: Duration = Duration::from_secs(5);
/// How often the ring is looked at when nobody asks: what a commit of another kind left wanting.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Inner {
    /// Keeps the ring until we stop.
    pub(super) async fn keep_ring(self: Arc<Self>, stop: CancellationToken) {
        loop {
            match self.next_step().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    warn!(%error, "the gossip key could not be changed; it is tried again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.ring.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// What gossip needs before the first link stands: a key.
    pub(super) async fn first_ring(&self) -> Result<(), StoreError> {
        if self.store.view().ring().keys.is_empty() {
            self.next_step().await?;
        }
        let ring = self.store.view().ring().on_the_wire();
        self.gossip.set_ring(&ring).await;
        Ok(())
    }

    /// Takes the step that is due. Says whether there was one.
    async fn next_step(&self) -> Result<bool, StoreError> {
        let step = self.store.view().ring().next_step();
        let ring = match step {
            None => return Ok(false),
            Some(RingStep::DropAt(at)) if self.store.now() < at => return Ok(false),
            Some(RingStep::DropAt(_)) => self.store.apply(DropRetired).await?,
            Some(RingStep::Add { reason }) => {
                info!(reason, "the gossip key changes");
                let key = Secret::new(crate::hex::of(&rand::random::<[u8; 32]>()));
                self.store.apply(RotateRing { key, reason }).await?
            }
            Some(RingStep::Use(epoch)) => self.store.apply(UseRing(epoch)).await?,
        };
        self.install(&ring).await;
        Ok(true)
    }

    /// Uses a ring ourselves, and tells every link that gossips.
    async fn install(&self, ring: &KeyRing) {
        let ring = ring.on_the_wire();
        self.gossip.set_ring(&ring).await;
        let order = ToAgent::Ring(ring);
        let mut calls = JoinSet::new();
        for link in self.gossiping() {
            let order = order.clone();
            calls.spawn(async move {
                if let Err(error) = link.ask(&order, INSTALL_WITHIN).await {
                    warn!(node = %link.peer().node, "a member did not install the gossip key: {error}");
                }
            }.boxed());
        }
        while calls.join_next().await.is_some() {}
    }

    /// The links whose agents gossip.
    pub(super) fn gossiping(&self) -> Vec<LinkHandle> {
        let links = lock(&self.links);
        let gossip = links.all().filter(|(_, link)| link.gossips);
        gossip.map(|(_, link)| link.handle.clone()).collect()
    }
}
