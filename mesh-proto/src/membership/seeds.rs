//! Getting in, and finding the others again: a member that lost everybody, or half of a cut network, is found by nobody
//! unless it asks.

use std::time::{Duration, Instant};

use rand_gossip::RngExt;

use super::{
    Membership,
    settings::{ASK_SEEDS, ASK_SEEDS_ALONE, MAX_SEEDS},
    timers::Task,
};
use crate::identity::Identity;

impl Membership {
    /// Announces us to these members, the controllers of the site, now and whenever they or everybody seem gone. Only
    /// their node ids and addresses matter. Replaces the seeds that were set before.
    pub fn join(&mut self, now: Instant, seeds: &[Identity]) {
        let ours = self.identity().node;
        let others = seeds.iter().filter(|seed| seed.node != ours);
        self.seeds = others.take(MAX_SEEDS).copied().collect();
        self.ask_seeds(now);
        self.settle(now);
    }

    pub(super) fn ask_seeds_soon(&mut self, now: Instant) {
        let at = now + self.jitter_ms(100);
        self.timers.set(at, Task::Seeds);
    }

    pub(super) fn ask_seeds(&mut self, now: Instant) {
        if self.left {
            return;
        }
        for seed in self.seeds.clone() {
            if !self.is_active(&seed) {
                let announced = self.foca.announce(seed, &mut self.effects);
                self.note_fault(&announced);
            }
        }
        if !self.seeds.is_empty() {
            let pause = if self.foca.num_members() == 0 {
                ASK_SEEDS_ALONE
            } else {
                ASK_SEEDS
            };
            // A whole room that starts at once must not ask in one breath.
            let at = now + pause + self.jitter_ms(500);
            self.timers.set(at, Task::Seeds);
        }
    }

    fn is_active(&self, seed: &Identity) -> bool {
        self.foca
            .iter_members()
            .any(|member| member.id().node == seed.node)
    }

    fn jitter_ms(&mut self, most: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(0..=most))
    }
}
