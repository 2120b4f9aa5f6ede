//! Looks at the links four times a second and spreads what became of them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use mesh_proto::{
    identity::NodeId,
    message::link::{ToAgent, Verdict, VerdictState},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Inner,
    life::{DOWN_AFTER, Step, UNREACHABLE_AFTER, Word},
    lock,
};
use crate::state::{member::MemberState, ops::LinkVerdict};

/// As often as mesh-net samples its links.
const EVERY: Duration = Duration::from_millis(250);
/// How long a link may take to hear a verdict; who misses it hears it by gossip.
const TELL_WITHIN: Duration = Duration::from_secs(5);

impl Inner {
    /// Watches until we stop.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = tokio::time::interval(EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => self.look().await,
            }
        }
    }

    async fn look(self: &Arc<Self>) {
        let (mut verdicts, mut judged) = (Vec::new(), Vec::new());
        for step in self.steps(Instant::now()) {
            match step {
                Step::Knock(node) => {
                    if let Some(at) = self.gossip_address(node) {
                        self.gossip.knock(at).await;
                    }
                }
                Step::Is(node, generation, word) => {
                    judged.push(self.judge(node, generation, word));
                    if word == Word::Down {
                        verdicts.push((node, generation, VerdictState::Down));
                    }
                }
            }
        }
        // At once: a switch that dies takes a whole room, and the store commits together what is asked together.
        futures_util::future::join_all(judged).await;
        self.spread(&verdicts);
    }

    fn steps(&self, now: Instant) -> Vec<Step> {
        let mut life = lock(&self.life);
        for (node, link) in lock(&self.links).all() {
            life.heard(node, link.generation, link.handle.last_heard());
        }
        life.handle_timeout(now)
    }

    async fn judge(&self, node: NodeId, generation: u32, word: Word) {
        let (state, why) = match word {
            Word::Alive => (MemberState::Alive, "its link speaks".to_owned()),
            Word::Unreachable => (
                MemberState::Unreachable,
                format!("silent for {} s", UNREACHABLE_AFTER.as_secs()),
            ),
            Word::Down => (
                MemberState::Down,
                format!(
                    "silent for {} s, and it did not call again",
                    DOWN_AFTER.as_secs_f32()
                ),
            ),
            Word::Left => return,
        };
        let verdict = LinkVerdict {
            machine: Self::machine_of(node),
            generation,
            state,
            why,
        };
        if let Err(error) = self.store.apply(verdict).await {
            warn!(%node, %error, "a verdict could not be written down");
        }
    }

    /// Tells all members, each over its own link, what became of others.
    pub(super) fn spread(self: &Arc<Self>, verdicts: &[(NodeId, u32, VerdictState)]) {
        if verdicts.is_empty() {
            return;
        }
        let verdict = |(node, generation, state): &(NodeId, u32, VerdictState)| Verdict {
            node: *node,
            generation: *generation,
            state: *state,
        };
        let verdicts: Vec<Verdict> = verdicts.iter().map(verdict).collect();
        let (inner, own) = (Arc::clone(self), verdicts.clone());
        self.work
            .spawn(async move { inner.gossip.verdicts(own).await }.boxed());
        let order = ToAgent::Verdicts { verdicts };
        for link in self.gossiping() {
            let order = order.clone();
            self.work
                .spawn(async move { link.ask(&order, TELL_WITHIN).await });
        }
    }
}
