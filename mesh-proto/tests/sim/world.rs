//! Virtual time, hosts and the network between them. Everything random comes from one seed, so a run can be told again.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use mesh_proto::message::link::Verdict;
use rand_gossip::{RngExt, SeedableRng, rngs::SmallRng};

use crate::{
    links::{self, Found, Frame, LOOK, Links},
    node::{Change, Kind, Node, identity, index},
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
                match there[id.node.0 as usize] {
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
            Change::Down(id) | Change::Renewed(id) => whom(id.node.0 as usize),
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

    fn put(&mut self, at: Instant, what: What) {
        self.queued += 1;
        self.queue.push(Reverse((at, self.queued, what)));
    }

    fn frame(&mut self, to: usize, at: Instant, frame: Frame) {
        let number = self.queued;
        self.frames.insert(number, frame);
        self.put(at, What::Frame(to, number));
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Datagram(to, bytes) => {
                let host = &mut self.hosts[to];
                match host.condition {
                    Condition::Running => host.node.datagram(self.now, &bytes),
                    Condition::Paused if host.inbox.len() < SOCKET => host.inbox.push(bytes),
                    Condition::Paused | Condition::Off | Condition::Dead => return,
                }
                self.drain(to);
            }
            What::Wake(at) => {
                let host = &mut self.hosts[at];
                if host.wake == Some(self.now) && host.condition == Condition::Running {
                    host.node.timeout(self.now);
                    self.drain(at);
                }
            }
            What::Frame(to, number) => {
                let frame = self.frames.remove(&number).unwrap();
                match self.hosts[to].condition {
                    Condition::Running if self.hosts[to].side == self.hosts[0].side => {
                        self.handle_frame(to, frame);
                        self.drain(to);
                    }
                    Condition::Paused => self.hosts[to].frames.push(frame),
                    // What is lost with the link: the next hello begins anew.
                    Condition::Running | Condition::Off | Condition::Dead => {}
                }
            }
            What::Look => self.look(),
        }
    }

    /// Sends what a node wants sent, notes what it noticed, and sets its next time.
    fn drain(&mut self, at: usize) {
        while let Some((to, bytes)) = self.hosts[at].node.transmit() {
            self.datagrams += 1;
            self.bytes += bytes.len() as u64;
            let to = index(to);
            let delay = Duration::from_micros(self.rng.random_range(200..3_000));
            let lost =
                self.rng.random_bool(self.loss) || self.hosts[to].side != self.hosts[at].side;
            self.tell_story(&[at as u64, to as u64, bytes.len() as u64]);
            if !lost {
                self.put(self.now + delay, What::Datagram(to, bytes));
            }
        }
        while let Some(change) = self.hosts[at].node.change() {
            let (kind, id) = match change {
                Change::Up(id) => (1, id),
                Change::Down(id) => (2, id),
                Change::Renewed(id) => (3, id),
            };
            self.tell_story(&[kind, at as u64, id.node.0, id.generation.into()]);
            self.noticed.push(change);
        }
        let next = self.hosts[at].node.next();
        if next != self.hosts[at].wake {
            self.hosts[at].wake = next;
            if let Some(next) = next {
                self.put(next, What::Wake(at));
            }
        }
    }

    fn tell_story(&mut self, words: &[u64]) {
        let time = self.time().as_micros() as u64;
        for word in words.iter().chain([&time]) {
            self.story = (self.story ^ word)
                .wrapping_mul(0x0100_0000_01b3)
                .rotate_left(7);
        }
    }

    /// The controller looks at its links.
    fn look(&mut self) {
        self.put(self.now + LOOK, What::Look);
        let Some(mut links) = self.links.take() else {
            return;
        };
        if self.hosts[0].condition == Condition::Running {
            for at in 1..self.hosts.len() {
                let host = &self.hosts[at];
                let reachable =
                    host.condition == Condition::Running && host.side == self.hosts[0].side;
                match links.look(self.now, at, reachable, self.loss, &mut self.rng) {
                    Found::Nothing => {}
                    Found::Greeted(generation) => self.send_frame(at, Frame::Welcome(generation)),
                    Found::Gone(verdict) => self.pass_verdict(&links, &verdict),
                }
            }
        }
        self.links = Some(links);
    }

    fn pass_verdict(&mut self, links: &Links, verdict: &Verdict) {
        if let Some(controller) = self.hosts[0].node.ours() {
            controller.apply_verdict(self.now, verdict);
            self.drain(0);
        }
        for at in (1..self.hosts.len()).filter(|at| links.is_up(*at)) {
            self.send_frame(at, Frame::Verdict(verdict.clone()));
        }
    }

    fn send_frame(&mut self, to: usize, frame: Frame) {
        let late = links::lateness(self.loss, &mut self.rng);
        self.frame(to, self.now + late, frame);
    }

    fn handle_frame(&mut self, at: usize, frame: Frame) {
        let now = self.now;
        let Some(member) = self.hosts[at].node.ours() else {
            return;
        };
        match frame {
            Frame::Welcome(generation) => {
                let _overtaken = member.set_generation(now, generation);
                member.join(now, &[identity(0, 1)]);
                self.swap(at, generation);
            }
            Frame::Verdict(verdict) => {
                member.apply_verdict(now, &verdict);
            }
            Frame::Swap(link) => self.swap(at, link),
        }
    }

    /// The member's turn to compare views: digests first, both lists only when they differ.
    fn swap(&mut self, at: usize, link: u32) {
        let (now, Some(mut links)) = (self.now, self.links.take()) else {
            return;
        };
        let current = links.is_up(at) && links.all[at].generation == link;
        if current && self.hosts[0].condition == Condition::Running {
            let verdict = self.compare(at, &mut links);
            let late = links::lateness(self.loss, &mut self.rng);
            if let Some(clock) = &mut links.all[at].swaps {
                match verdict {
                    Ok(()) => clock.done(now),
                    Err(after) => clock.later(now, after),
                }
                let due = clock.next() + late;
                self.frame(at, due, Frame::Swap(link));
            }
        }
        self.links = Some(links);
    }

    fn compare(&mut self, at: usize, links: &mut Links) -> Result<(), Duration> {
        let now = self.now;
        let [controller, member] = self.hosts.get_disjoint_mut([0, at]).unwrap();
        let (controller, member) = (controller.node.ours().unwrap(), member.node.ours().unwrap());
        if controller.state_digest() == member.state_digest() {
            links.all[at].swapped = true;
            return Ok(());
        }
        match links.all[at].swapped {
            true => links.budget.admit(now)?,
            false => links.budget.admit_joining(now)?,
        }
        links.all[at].swapped = true;
        links.full_swaps += 1;
        member.merge(now, &controller.state(now));
        controller.merge(now, &member.state(now));
        self.drain(0);
        Ok(())
    }
}
