//! foca as it comes, with its own settings for a LAN of 100: what every claim is compared with.

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use foca::{AccumulatingRuntime, BroadcastHandler, Config, Foca, OwnedNotification, Timer};
use mesh_proto::{codec::WireCodec, identity::Identity};
use rand_gossip::{SeedableRng, rngs::SmallRng};

use crate::node::Change;

type Stock = Foca<Identity, WireCodec, SmallRng, NoNotes>;

pub(crate) struct StockNode {
    foca: Stock,
    effects: AccumulatingRuntime<Identity>,
    timers: BTreeMap<(Instant, u64), Timer<Identity>>,
    set: u64,
    seed: Option<Identity>,
    retry: Option<Instant>,
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    changes: VecDeque<Change>,
}

/// Even the stock behaviour may ask its seed again while it knows nobody: otherwise one lost packet decides.
const RETRY: Duration = Duration::from_secs(1);

impl StockNode {
    pub(crate) fn new(identity: Identity, seed: [u8; 32]) -> Self {
        let config = Config::new_lan(NonZeroU32::new(100).unwrap());
        let rng = SmallRng::from_seed(seed);
        Self {
            foca: Foca::with_custom_broadcast(identity, config, rng, WireCodec, NoNotes),
            effects: AccumulatingRuntime::new(),
            timers: BTreeMap::new(),
            set: 0,
            seed: None,
            retry: None,
            outbox: VecDeque::new(),
            changes: VecDeque::new(),
        }
    }

    pub(crate) fn join(&mut self, now: Instant, seed: Identity) {
        self.seed = Some(seed);
        self.ask(now);
    }

    fn ask(&mut self, now: Instant) {
        self.retry = None;
        if let Some(seed) = self.seed
            && self.foca.num_members() == 0
        {
            self.foca.announce(seed, &mut self.effects).unwrap();
            self.retry = Some(now + RETRY);
        }
        self.settle(now);
    }

    pub(crate) fn datagram(&mut self, now: Instant, packet: &[u8]) {
        let _own = self.foca.handle_data(packet, &mut self.effects);
        self.settle(now);
    }

    pub(crate) fn timeout(&mut self, now: Instant) {
        if self.retry.is_some_and(|at| at <= now) {
            self.ask(now);
        }
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let timer = entry.remove();
            // A member that was paused does its probes late: foca says so, and goes on.
            let _late = self.foca.handle_timer(timer, &mut self.effects);
            self.settle(now);
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        let timer = self.timers.first_key_value().map(|(key, _)| key.0);
        timer.into_iter().chain(self.retry).min()
    }

    pub(crate) fn transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
    }

    pub(crate) fn change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    pub(crate) fn active(&self) -> impl Iterator<Item = &Identity> {
        self.foca.iter_members().map(foca::Member::id)
    }

    /// As after a long quiet time: everybody knows everybody.
    pub(crate) fn preset(&mut self, now: Instant, all: &[Identity]) {
        let ours = self.foca.identity().node;
        let others = all.iter().filter(|other| other.node != ours);
        let members = others.map(|other| foca::Member::alive(*other));
        self.foca
            .apply_many(members, false, &mut self.effects)
            .unwrap();
        self.settle(now);
    }

    fn settle(&mut self, now: Instant) {
        while let Some((after, timer)) = self.effects.to_schedule() {
            self.set += 1;
            self.timers.insert((now + after, self.set), timer);
        }
        while let Some((to, packet)) = self.effects.to_send() {
            self.outbox.push_back((to.addr, packet.to_vec()));
        }
        while let Some(what) = self.effects.to_notify() {
            match what {
                OwnedNotification::MemberUp(id) => self.changes.push_back(Change::Up(id)),
                OwnedNotification::MemberDown(id) => self.changes.push_back(Change::Down(id)),
                OwnedNotification::Rejoin(id) => self.changes.push_back(Change::Renewed(id)),
                OwnedNotification::Rename(..)
                | OwnedNotification::Active
                | OwnedNotification::Idle
                | OwnedNotification::Defunct => {}
            }
        }
    }
}

/// Nobody announces facts to these.
struct NoNotes;

struct Never;

impl foca::Invalidates for Never {
    fn invalidates(&self, _: &Self) -> bool {
        true
    }
}

impl BroadcastHandler<Identity> for NoNotes {
    type Key = Never;
    type Error = std::io::Error;

    fn receive_item(
        &mut self,
        _: &[u8],
        _: Option<&Identity>,
    ) -> Result<Option<Never>, Self::Error> {
        Ok(None)
    }
}
