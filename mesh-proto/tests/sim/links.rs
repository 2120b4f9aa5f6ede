//! A model of the links between a controller and its members, and what the controller does with them: keep-alive,
//! `unreachable` after 6 s of silence, a knock, `down` after 10.5 s, verdicts to everybody, generations at each hello, and
//! the state swap, digest first. Streams are reliable: loss makes them late.

use std::time::{Duration, Instant};

use mesh_proto::{
    membership::{SwapBudget, SwapClock},
    message::link::{Verdict, VerdictState},
};
use rand_gossip::{RngExt, rngs::SmallRng};

use crate::node::node_id;

pub(crate) const UNREACHABLE: Duration = Duration::from_secs(6);
pub(crate) const DOWN: Duration = Duration::from_millis(10_500);
/// How often the controller looks at its links. Within a keep-alive period of 2 s a link that loses packets tries about so often.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// What travels on a link.
#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Welcome(u32),
    Verdict(Verdict),
    /// The member asks on the link of this generation: are our views the same?
    Swap(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Never,
    Alive,
    Unreachable,
    Down,
}

pub(crate) struct Link {
    pub(crate) life: Life,
    pub(crate) heard: Instant,
    pub(crate) generation: u32,
    /// It was knocked at, and dials anew as soon as it hears that.
    knocked: bool,
    pub(crate) swaps: Option<SwapClock>,
    /// It has had a full swap on this link, or needed none.
    pub(crate) swapped: bool,
}

pub(crate) struct Links {
    pub(crate) all: Vec<Link>,
    pub(crate) budget: SwapBudget,
    pub(crate) full_swaps: u64,
    generations: u32,
}

/// What a look at a link leads to.
pub(crate) enum Found {
    Nothing,
    Greeted(u32),
    Gone(Verdict),
}

impl Links {
    pub(crate) fn new(now: Instant, count: usize) -> Self {
        let link = || Link {
            life: Life::Never,
            heard: now,
            generation: 0,
            knocked: false,
            swaps: None,
            swapped: false,
        };
        Self {
            all: std::iter::repeat_with(link).take(count).collect(),
            budget: SwapBudget::default(),
            full_swaps: 0,
            generations: 1,
        }
    }

    /// As after a long quiet time.
    pub(crate) fn preset(&mut self, now: Instant, index: usize, rng: &mut SmallRng) {
        let mut swaps = SwapClock::new(now, rng.random());
        swaps.later(now, Duration::from_millis(rng.random_range(0..15_000)));
        self.all[index] = Link {
            life: Life::Alive,
            heard: now,
            generation: 1,
            knocked: false,
            swaps: Some(swaps),
            swapped: true,
        };
    }

    /// Looks at one link: `reachable` when nothing but loss is between both ends.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        index: usize,
        reachable: bool,
        loss: f64,
        rng: &mut SmallRng,
    ) -> Found {
        let link = &mut self.all[index];
        let arrives =
            |packets: i32, rng: &mut SmallRng| rng.random_bool((1.0 - loss).powi(packets));
        let dials = link.life != Life::Alive || link.knocked;
        // A dial takes four packets, in a row, both ways.
        if reachable && dials && arrives(4, rng) {
            self.generations += 1;
            *link = Link {
                life: Life::Alive,
                heard: now,
                generation: self.generations,
                knocked: false,
                swaps: Some(SwapClock::new(now, rng.random())),
                swapped: false,
            };
            return Found::Greeted(self.generations);
        }
        // The old connection may speak first: one packet, repeated until it is heard.
        if reachable && self.is_up(index) && arrives(1, rng) {
            self.all[index].life = Life::Alive;
            self.all[index].heard = now;
        }
        let link = &mut self.all[index];
        let silent = now - link.heard;
        match link.life {
            Life::Alive if silent >= UNREACHABLE => {
                link.life = Life::Unreachable;
                link.knocked = true;
            }
            Life::Unreachable if silent >= DOWN => {
                link.life = Life::Down;
                link.swaps = None;
                return Found::Gone(Verdict {
                    node: node_id(index),
                    generation: link.generation,
                    state: VerdictState::Down,
                });
            }
            Life::Never | Life::Alive | Life::Unreachable | Life::Down => {}
        }
        Found::Nothing
    }

    pub(crate) fn is_up(&self, index: usize) -> bool {
        matches!(self.all[index].life, Life::Alive | Life::Unreachable)
    }
}

/// How much later a stream's bytes come when packets are lost: each loss costs a probe timeout, which doubles.
pub(crate) fn lateness(loss: f64, rng: &mut SmallRng) -> Duration {
    let mut late = Duration::from_micros(rng.random_range(500..5_000));
    let mut again = Duration::from_millis(100);
    while rng.random_bool(loss) && again < Duration::from_secs(4) {
        late += again;
        again *= 2;
    }
    late
}
