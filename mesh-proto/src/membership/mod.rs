//! Who is there: SWIM by foca behind five verbs. Packets and `now` come in; packets, a next time and events come out.
//!
//! Beside foca it does what was found missing by measuring: it withholds needless "you are down" messages, swaps state
//! ([`Membership::state`]), takes controllers' verdicts, keeps asking its seeds, notices that it was stopped, and bounds
//! everything. It neither seals nor sends: see [`crate::seal`] and the driver.

mod acquaintance;
mod effects;
mod event;
mod pace;
mod seeds;
mod settings;
mod settle;
mod strangers;
mod suspects;
mod swap;
mod timers;
mod verdict;
mod view;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    time::Instant,
};

use foca::{Foca, Member, Timer};
use rand_gossip::{RngExt, SeedableRng, rngs::SmallRng};

pub use event::{Event, MemberState, MemberView, MembershipCounters, Refused};
pub use pace::{SwapBudget, SwapClock};
pub use settings::{MAX_MEMBERS, Timing};
pub(crate) use strangers::sift;
pub use swap::{Merged, StateDigest};
pub use verdict::Applied;

use self::{
    effects::Effects,
    timers::{Task, Timers},
    view::Standing,
};
use crate::{
    broadcast::{FactsBoard, FactsDigest, FactsNote},
    codec::{self, WireCodec},
    identity::{Identity, NodeId},
};

type Swim = Foca<Identity, WireCodec, SmallRng, FactsBoard>;

/// This node's view of the mesh.
pub struct Membership {
    foca: Swim,
    effects: Effects,
    timers: Timers,
    board: FactsBoard,
    rng: SmallRng,
    seeds: Vec<Identity>,
    /// Since when each node is there or gone, and what a controller said about it.
    standing: HashMap<NodeId, Standing>,
    timing: Timing,
    outbox: VecDeque<(Identity, Vec<u8>)>,
    events: VecDeque<Event>,
    counters: MembershipCounters,
    left: bool,
}

/// The generation is not newer than ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("generation {offered} was offered, ours is {ours}")]
pub struct StaleGeneration {
    /// What was offered.
    pub offered: u32,
    /// What we have.
    pub ours: u32,
}

impl Membership {
    /// A node that knows nobody. `seed` is random; whom to probe and when is drawn from it, no secret is.
    #[must_use]
    pub fn new(now: Instant, identity: Identity, seed: [u8; 32]) -> Self {
        Self::with_timing(now, identity, seed, Timing::LAN)
    }

    /// The same in a mesh that is not a LAN's.
    #[must_use]
    pub fn with_timing(now: Instant, identity: Identity, seed: [u8; 32], timing: Timing) -> Self {
        let mut rng = SmallRng::from_seed(seed);
        let for_foca = SmallRng::from_seed(rng.random());
        let board = FactsBoard::default();
        let config = timing.foca_config();
        let foca =
            Foca::with_custom_broadcast(identity, config, for_foca, WireCodec, board.clone());
        let mut timers = Timers::default();
        timers.set(now + settings::HOUSEKEEPING, Task::Housekeeping);
        Self {
            foca,
            effects: Effects::default(),
            timers,
            board,
            rng,
            seeds: Vec::new(),
            standing: HashMap::new(),
            timing,
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            counters: MembershipCounters::default(),
            left: false,
        }
    }

    /// A packet arrived, out of its seal.
    ///
    /// # Errors
    /// When it is not taken. It is counted; nothing else needs to be done.
    pub fn handle_datagram(&mut self, now: Instant, packet: &[u8]) -> Result<(), Refused> {
        if self.left {
            // The others say now that we are gone. foca would contradict them.
            return Ok(());
        }
        let taken = self.admit(packet).and_then(|packet| {
            let speaker = codec::header(&packet).map_err(|_malformed| Refused::Malformed)?;
            self.hear(&speaker.src);
            let handled = self.foca.handle_data(&packet, &mut self.effects);
            handled.or_else(|error| refusal(&error))
        });
        self.settle(now);
        self.counters.refused += u64::from(taken.is_err());
        taken
    }

    /// Does everything that is due. Calling it early does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_pause(now);
        while let Some(task) = self.timers.take_due(now) {
            match task {
                Task::Foca(timer) => self.handle_timer(timer),
                Task::Ask(suspect) => self.ask_suspect(now, suspect),
                Task::Seeds => self.ask_seeds(now),
                Task::Housekeeping => self.keep_house(now),
            }
            self.settle(now);
        }
    }

    /// When [`Membership::handle_timeout`] is to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next_at()
    }

    /// The next packet to seal and send.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let (to, packet) = self.poll_transmit_to()?;
        Some((to.addr, packet))
    }

    /// The same for drivers that find the way by the node's id.
    pub fn poll_transmit_to(&mut self) -> Option<(Identity, Vec<u8>)> {
        self.outbox.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Who we are now.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.foca.identity()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> MembershipCounters {
        self.counters
    }

    /// A hello brought a new generation: the beginning of a new life. The current generation again changes nothing.
    ///
    /// # Errors
    /// When it is older than ours: an answer that was overtaken.
    pub fn set_generation(&mut self, now: Instant, generation: u32) -> Result<(), StaleGeneration> {
        let ours = *self.identity();
        if generation < ours.generation {
            return Err(StaleGeneration {
                offered: generation,
                ours: ours.generation,
            });
        }
        if generation > ours.generation {
            let new = Identity::new(ours.node, generation, ours.addr, ours.role);
            self.become_identity(now, new);
        }
        Ok(())
    }

    /// Our address, as others see it, is another now. Changes nothing when it is not.
    pub fn set_addr(&mut self, now: Instant, addr: SocketAddr) {
        let moved = self.identity().moved(addr);
        match moved {
            Some(new) if new.addr != self.identity().addr => self.become_identity(now, new),
            Some(_) => {}
            None => self.tell(Event::Expelled),
        }
    }

    /// Tells some members that we go. Afterwards only [`Membership::set_generation`] brings us back.
    pub fn leave(&mut self, now: Instant) {
        self.left = true;
        let left = self.foca.leave_cluster(&mut self.effects);
        self.note_fault(&left);
        self.settle(now);
    }

    /// Tells everybody, by and by, which digest our facts have.
    pub fn announce_facts(&mut self, now: Instant, digest: FactsDigest) {
        let ours = *self.identity();
        let before = self.board.newest(ours.node);
        let revision = before
            .filter(|note| note.generation == ours.generation)
            .map_or(1, |note| note.revision.saturating_add(1));
        let note = FactsNote {
            node: ours.node,
            generation: ours.generation,
            revision,
            digest,
        };
        let added = self.foca.add_broadcast(&note.to_bytes());
        self.note_fault(&added.map(drop));
        self.settle(now);
    }

    fn become_identity(&mut self, now: Instant, new: Identity) {
        self.left = false;
        let changed = self.foca.change_identity(new, &mut self.effects);
        self.note_fault(&changed);
        // foca waits for the next packet before it goes on; we know already that the others are there.
        let went_on = self
            .foca
            .apply_many(std::iter::empty(), true, &mut self.effects);
        self.note_fault(&went_on);
        self.settle(now);
        if let Some(note) = self.board.newest(new.node) {
            self.announce_facts(now, note.digest);
        }
        self.ask_seeds_soon(now);
    }

    fn handle_timer(&mut self, timer: Timer<Identity>) {
        let handled = self.foca.handle_timer(timer, &mut self.effects);
        self.note_fault(&handled);
    }

    /// Whoever was stopped for a while heard nothing, and must not conclude that the others were silent: what they said
    /// waits in the socket.
    fn notice_pause(&mut self, now: Instant) {
        let late = self
            .poll_timeout()
            .map(|at| now.saturating_duration_since(at));
        if let Some(late) = late.filter(|late| *late > settings::PAUSED) {
            self.timers.postpone(late);
            self.counters.pauses += 1;
        }
    }

    fn known(&self, node: NodeId) -> Option<&Member<Identity>> {
        self.foca
            .iter_membership_state()
            .find(|member| member.id().node == node)
    }
}

/// What foca's errors about a packet mean. Those that are about ourselves, not about the packet, are no refusal.
fn refusal(error: &foca::Error) -> Result<(), Refused> {
    match error {
        foca::Error::DataTooBig => Err(Refused::TooLong),
        foca::Error::Decode(_) | foca::Error::MalformedPacket => Err(Refused::Malformed),
        foca::Error::DataFromOurselves | foca::Error::IndirectForOurselves => {
            Err(Refused::FromOurselves)
        }
        foca::Error::CustomBroadcast(_) => Err(Refused::Tail),
        foca::Error::NotUndead
        | foca::Error::SameIdentity
        | foca::Error::NotConnected
        | foca::Error::IncompleteProbeCycle
        | foca::Error::Encode(_)
        | foca::Error::InvalidConfig => Ok(()),
    }
}
