//! Virtual time, hosts and the network between them. Everything random comes from one seed, so a run can be told again.

mod controller;
mod network;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use rand_gossip::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    links::{Frame, LOOK, Links},
    node::{Change, Kind, Node, identity, number},
};

/// Datagrams a socket keeps for a process that is stopped.
const SOCKET: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Off,
    Running,
    Paused,
    Dead,
}

struct Host {
    node: Node,
    condition: Condition,
    /// Hosts of different sides do not hear each other.
    side: u8,
    wake: Option<Instant>,
    inbox: Vec<Vec<u8>>,
    frames: Vec<Frame>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Datagram(usize, Vec<u8>),
    Wake(usize),
    Frame(usize, u64),
    Look,
}

pub(crate) struct World {
    pub(crate) loss: f64,
    /// What any node noticed, in order.
    pub(crate) noticed: Vec<Change>,
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
    start: Instant,
    now: Instant,
    hosts: Vec<Host>,
    queue: BinaryHeap<Reverse<(Instant, u64, What)>>,
    queued: u64,
    frames: std::collections::BTreeMap<u64, Frame>,
    links: Option<Links>,
    rng: SmallRng,
    story: u64,
}

#[expect(clippy::disallowed_methods, reason = "an arbitrary start of time")]
fn start() -> Instant {
    Instant::now()
}

impl World {
    /// `count` hosts, all off; host 0 is the controller and everybody's seed.
    pub(crate) fn new(kind: Kind, count: usize, seed: u64) -> Self {
        let (now, mut rng) = (start(), SmallRng::seed_from_u64(seed));
        let mut host = |at| Host {
            node: Node::new(kind, now, at, rng.random()),
            condition: Condition::Off,
            side: 0,
            wake: None,
            inbox: Vec::new(),
            frames: Vec::new(),
        };
        let hosts = (0..count).map(&mut host).collect();
        let mut world = Self {
            loss: 0.0,
            noticed: Vec::new(),
            datagrams: 0,
            bytes: 0,
            start: now,
            now,
            hosts,
            queue: BinaryHeap::new(),
            queued: 0,
            frames: std::collections::BTreeMap::new(),
            links: (kind != Kind::Stock).then(|| Links::new(now, count)),
            rng,
            story: 0xcbf2_9ce4_8422_2325,
        };
        world.put(now + LOOK, What::Look);
        world
    }

    /// The same, but all run and know each other, as after a long quiet time.
    pub(crate) fn settled(kind: Kind, count: usize, seed: u64) -> Self {
        Self::settled_but(kind, count, 0, seed)
    }

    /// The same, but the last few are off, and nobody has heard of them.
    pub(crate) fn settled_but(kind: Kind, count: usize, off: usize, seed: u64) -> Self {
        let mut world = Self::new(kind, count, seed);
        let count = count - off;
        let all: Vec<_> = (0..count).map(|at| identity(at, 1)).collect();
        for at in 0..count {
            let host = &mut world.hosts[at];
            host.condition = Condition::Running;
            host.node.preset(world.now, &all);
            host.node.join(world.now);
            if let Some(links) = &mut world.links
                && at > 0
            {
                links.preset(world.now, at, &mut world.rng);
                let due = links.all[at].swaps.as_ref().unwrap().next();
                world.frame(at, due, Frame::Swap(1));
            }
        }
        // Not all probe in one breath.
        for at in 0..count {
            world.drain(at);
        }
        world.noticed.clear();
        world
    }

    pub(crate) fn time(&self) -> Duration {
        self.now - self.start
    }

    /// A hash over everything that was noticed and sent.
    pub(crate) fn story(&self) -> u64 {
        self.story
    }

    /// Full swaps so far.
    pub(crate) fn full_swaps(&self) -> u64 {
        self.links.as_ref().map_or(0, |links| links.full_swaps)
    }

    pub(crate) fn switch_on(&mut self, at: usize) {
        self.hosts[at].condition = Condition::Running;
        // Ours wait for the hello, which brings the key, the generation and the seeds.
        if self.links.is_none() || at == 0 {
            self.hosts[at].node.join(self.now);
        }
        self.drain(at);
    }

    pub(crate) fn kill(&mut self, at: usize) {
        self.hosts[at].condition = Condition::Dead;
    }

    pub(crate) fn pause(&mut self, at: usize) {
        self.hosts[at].condition = Condition::Paused;
    }

    /// The process goes on: first its timers, then what its socket and its streams kept. The worse order.
    pub(crate) fn resume(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        host.condition = Condition::Running;
        host.wake = None;
        host.node.timeout(self.now);
        for bytes in std::mem::take(&mut host.inbox) {
            host.node.datagram(self.now, &bytes);
        }
        for frame in std::mem::take(&mut self.hosts[at].frames) {
            self.handle_frame(at, frame);
        }
        self.drain(at);
    }

    pub(crate) fn cut(&mut self, at: usize, side: u8) {
        self.hosts[at].side = side;
    }

    pub(crate) fn running(&self) -> Vec<usize> {
        let hosts = self.hosts.iter().enumerate();
        let running = hosts.filter(|(_, host)| host.condition == Condition::Running);
        running.map(|(at, _)| at).collect()
    }

    /// How many pairs of running hosts are wrong: one does not know the other, or believes somebody to be there who is not.
    pub(crate) fn wrong_views(&self) -> usize {
        let mut there = vec![false; self.hosts.len()];
        let running = self.running();
        running.iter().for_each(|at| there[*at] = true);
        let wrong = |at: &usize| {
            let (mut right, mut ghosts) = (0, 0);
            for id in self.hosts[*at].node.active() {
                match there[number(id.node)] {
                    true => right += 1,
                    false => ghosts += 1,
                }
            }
            running.len() - 1 - right + ghosts
        };
        running.iter().map(wrong).sum()
    }

    /// How often one of these was believed gone, or had to come back because it was.
    pub(crate) fn false_downs(&self, whom: impl Fn(usize) -> bool) -> usize {
        let downs = self.noticed.iter().filter(|change| match change {
            Change::Down(id) | Change::Renewed(id) => whom(number(id.node)),
            Change::Up(_) => false,
        });
        downs.count()
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((at, _, _))) = self.queue.peek()
            && *at <= end
        {
            let Some(Reverse((at, _, what))) = self.queue.pop() else {
                break;
            };
            self.now = at;
            self.happen(what);
        }
        self.now = end;
    }

    /// Runs until it holds, looking every 100 ms; the time it took, or `None` after `most`.
    pub(crate) fn run_until(
        &mut self,
        most: Duration,
        holds: impl Fn(&Self) -> bool,
    ) -> Option<Duration> {
        let begin = self.now;
        while self.now - begin <= most {
            if holds(self) {
                return Some(self.now - begin);
            }
            self.run(Duration::from_millis(100));
        }
        None
    }
}
