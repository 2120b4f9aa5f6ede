//! Sites in virtual time: links that are dialled, stand and die as those of QUIC do, 20 to 300 ms long, and what travels on them.
//! Everything random comes from one seed.

mod links;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_proto::{
    membership::Timing,
    wan::{Frame, Presence, Wan, WanEvent},
};
use rand_gossip::{RngExt, SeedableRng, rngs::SmallRng};

pub(crate) use self::links::Life;
use self::links::{PAUSES, Way};

/// A frame's way costs this beside its bytes: IP and UDP 28, QUIC's header 11 and its tag 16, a stream's header 6.
const AROUND: u64 = 61;
/// An acknowledgement, or a sign of life: the same, and as good as nothing in it. `mesh-net`'s test of an idle link counts the
/// packets of a real one and holds them to this.
const ACK: u64 = 64;
pub(crate) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(crate) fn name(at: usize) -> String {
    format!("site-{at:02}")
}

/// What is sabotaged, so that a claim can be seen to fail.
pub(crate) type Lost = fn(&Frame) -> bool;

pub(crate) fn nothing(_: &Frame) -> bool {
    false
}

struct Host {
    wan: Wan,
    running: bool,
    wake: Option<Instant>,
    sent: u64,
    received: u64,
    /// Of these, what no frame is in but signs of life and their acknowledgements.
    quiet: u64,
    /// How often it was doubted in this life, as its list says.
    doubted: u16,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Frame(usize, usize, u64, Vec<u8>),
    Wake(usize),
    Dial(usize, usize),
    Silent(usize, usize, u64),
    /// It is looked whether the first says something because the link is quiet.
    Look(usize, usize, u64),
}

impl Host {
    /// Reads from what it says how often others doubted it: its life's counters go up with each answer.
    fn note_doubts(&mut self, own: &str, frame: &Frame) {
        let rows = match frame {
            Frame::Hello(row) => std::slice::from_ref(row),
            Frame::List { rows, .. } => rows,
            _ => return,
        };
        for row in rows.iter().filter(|row| row.site == own) {
            self.doubted = self.doubted.max(row.incarnation + row.renewals);
        }
    }
}

pub(crate) struct World {
    pub(crate) loss: f64,
    pub(crate) lost: Lost,
    /// Whether a link ends whose other side is silent.
    pub(crate) links_end: bool,
    pub(crate) life: Life,
    /// What any site noticed.
    pub(crate) noticed: Vec<(usize, WanEvent)>,
    timing: Timing,
    start: Instant,
    now: Instant,
    hosts: Vec<Host>,
    ways: BTreeMap<(usize, usize), Way>,
    rtt: BTreeMap<(usize, usize), Duration>,
    blocked: BTreeMap<(usize, usize), bool>,
    /// When the first of two last said or heard something on their link.
    stirred: BTreeMap<(usize, usize), Instant>,
    queue: BinaryHeap<Reverse<(Instant, u64, What)>>,
    queued: u64,
    rng: SmallRng,
    story: u64,
}

#[expect(clippy::disallowed_methods, reason = "an arbitrary start of time")]
fn start() -> Instant {
    Instant::now()
}

fn pair(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn address(at: usize, house: u8) -> SocketAddr {
    ([192, 0, house, at as u8], 4848).into()
}

impl World {
    /// Sites that have joined whom `joined` says; all are started within a second.
    pub(crate) fn new(
        count: usize,
        timing: &Timing,
        seed: u64,
        joined: impl Fn(usize, usize) -> bool,
    ) -> Self {
        let (now, mut rng) = (start(), SmallRng::seed_from_u64(seed));
        let mut world = Self {
            loss: 0.05,
            lost: nothing,
            links_end: true,
            life: Life::SITES,
            noticed: Vec::new(),
            timing: timing.clone(),
            start: now,
            now,
            hosts: Vec::new(),
            ways: BTreeMap::new(),
            rtt: BTreeMap::new(),
            blocked: BTreeMap::new(),
            stirred: BTreeMap::new(),
            queue: BinaryHeap::new(),
            queued: 0,
            story: 0xcbf2_9ce4_8422_2325,
            rng: SmallRng::seed_from_u64(rng.random()),
        };
        for at in 0..count {
            let wan = world.program(at, 1, 2);
            world.hosts.push(Host {
                wan,
                running: true,
                wake: None,
                sent: 0,
                received: 0,
                quiet: 0,
                doubted: 0,
            });
        }
        for a in 0..count {
            for b in (a + 1..count).filter(|b| joined(a, *b)) {
                world.ways.insert((a, b), Way::None(PAUSES.0));
                let rtt = Duration::from_millis(world.rng.random_range(20..=300));
                world.rtt.insert((a, b), rtt);
                let after = Duration::from_millis(world.rng.random_range(0..1_000));
                world.put(now + after, What::Dial(a, b));
            }
        }
        for at in 0..count {
            world.join_all(at);
        }
        world
    }

    fn program(&mut self, at: usize, generation: u32, house: u8) -> Wan {
        let seed = self.rng.random();
        let name = name(at);
        let life = (name.as_str(), generation);
        Wan::with_timing(
            self.now,
            life,
            &[address(at, house)],
            seed,
            self.timing.clone(),
        )
    }

    fn join_all(&mut self, at: usize) {
        let joined: Vec<String> = self.peers(at).into_iter().map(name).collect();
        let now = self.now;
        self.hosts[at]
            .wan
            .set_joined(now, joined.iter().map(String::as_str));
        self.drain(at);
    }

    /// Whom a site has joined.
    pub(crate) fn peers(&self, at: usize) -> Vec<usize> {
        let of = |&(a, b): &(usize, usize)| match at {
            _ if a == at => Some(b),
            _ if b == at => Some(a),
            _ => None,
        };
        self.ways.keys().filter_map(of).collect()
    }

    pub(crate) fn wan(&self, at: usize) -> &Wan {
        &self.hosts[at].wan
    }

    pub(crate) fn time(&self) -> Duration {
        self.now - self.start
    }

    pub(crate) fn story(&self) -> u64 {
        self.story
    }

    /// Bytes that the busiest site sent, and received, a second since the last call.
    pub(crate) fn busiest(&mut self, over: Duration) -> (u64, u64) {
        let most = |f: fn(&Host) -> u64, hosts: &[Host]| hosts.iter().map(f).max().unwrap_or(0);
        let per_s = |bytes: u64| bytes / over.as_secs();
        let busiest = (
            most(|h| h.sent, &self.hosts),
            most(|h| h.received, &self.hosts),
        );
        for host in &mut self.hosts {
            (host.sent, host.received, host.quiet) = (0, 0, 0);
        }
        (per_s(busiest.0), per_s(busiest.1))
    }

    /// Of those, how many the busiest site spent on links that said nothing; asked before.
    pub(crate) fn quiet(&self, over: Duration) -> u64 {
        let most = self.hosts.iter().map(|h| h.quiet).max();
        most.unwrap_or(0) / over.as_secs()
    }

    /// Sites so far apart.
    pub(crate) fn far(&mut self, rtt: Duration) {
        self.rtt.values_mut().for_each(|known| *known = rtt);
    }

    /// How often sites that live were doubted, as they said themselves.
    pub(crate) fn doubts(&self) -> usize {
        self.hosts.iter().map(|h| usize::from(h.doubted)).sum()
    }

    /// No packet passes between these two, or again.
    pub(crate) fn block(&mut self, a: usize, b: usize, blocked: bool) {
        self.blocked.insert(pair(a, b), blocked);
        self.look(pair(a, b));
    }

    /// Its power is cut.
    pub(crate) fn kill(&mut self, at: usize) {
        self.hosts[at].running = false;
        for other in self.peers(at) {
            self.look(pair(at, other));
        }
    }

    /// It starts at another address.
    pub(crate) fn restart(&mut self, at: usize, generation: u32, house: u8) {
        self.hosts[at].wan = self.program(at, generation, house);
        (self.hosts[at].running, self.hosts[at].wake) = (true, None);
        self.join_all(at);
    }

    fn put(&mut self, at: Instant, what: What) {
        self.queued += 1;
        self.queue.push(Reverse((at, self.queued, what)));
    }

    fn happen(&mut self, what: What) {
        let now = self.now;
        match what {
            What::Wake(at) => {
                let host = &mut self.hosts[at];
                if host.wake == Some(now) && host.running {
                    host.wake = None;
                    host.wan.handle_timeout(now);
                    self.drain(at);
                }
            }
            What::Frame(from, to, number, bytes) => {
                let stands = self.ways.get(&pair(from, to)) == Some(&Way::Stands(number));
                if stands && self.reachable(pair(from, to)) {
                    let len = bytes.len() as u64;
                    self.hosts[to].received += len + AROUND;
                    self.hosts[to].sent += ACK;
                    self.hosts[from].received += ACK;
                    self.stir(to, from, now);
                    self.stir(from, to, now + self.rtt[&pair(from, to)] / 2);
                    let taken = self.hosts[to].wan.handle_frame(now, &name(from), &bytes);
                    taken.expect("a frame of ours");
                    self.drain(to);
                }
            }
            What::Dial(a, b) => self.dial(a, b),
            What::Look(from, to, number) => self.keep_alive(from, to, number),
            What::Silent(a, b, number) => self.give_up((a, b), number),
        }
    }

    fn drain(&mut self, at: usize) {
        while let Some((to, bytes)) = self.hosts[at].wan.poll_transmit() {
            self.transmit(at, &to, bytes);
        }
        while let Some(event) = self.hosts[at].wan.poll_event() {
            if let WanEvent::Presence(_, presence) = &event {
                self.tell_story(&[at as u64, *presence as u64]);
            }
            self.noticed.push((at, event));
        }
        let next = self.hosts[at].wan.poll_timeout();
        if next != self.hosts[at].wake {
            self.hosts[at].wake = next;
            if let Some(next) = next {
                self.put(next.max(self.now), What::Wake(at));
                self.hosts[at].wake = Some(next.max(self.now));
            }
        }
    }

    fn transmit(&mut self, from: usize, to: &Arc<str>, bytes: Vec<u8>) {
        let to: usize = to[5..].parse().expect("our own names");
        let Some(Way::Stands(number)) = self.ways.get(&pair(from, to)).copied() else {
            return;
        };
        let frame = Frame::from_bytes(&bytes).expect("a frame of ours");
        self.hosts[from].note_doubts(&name(from), &frame);
        self.tell_story(&[from as u64, to as u64, bytes.len() as u64]);
        if (self.lost)(&frame) {
            return;
        }
        self.stir(from, to, self.now);
        let rtt = self.rtt[&pair(from, to)];
        let (mut late, mut again) = (rtt / 2, rtt * 2 + Duration::from_millis(50));
        self.hosts[from].sent += bytes.len() as u64 + AROUND;
        // A link repeats what was lost, and waits twice as long each time.
        while self.rng.random_bool(self.loss) && again < seconds(6) {
            self.hosts[from].sent += bytes.len() as u64 + AROUND;
            late += again;
            again *= 2;
        }
        self.put(self.now + late, What::Frame(from, to, number, bytes));
    }

    fn tell_story(&mut self, words: &[u64]) {
        let time = self.time().as_micros() as u64;
        for word in words.iter().chain([&time]) {
            let mixed = (self.story ^ word).wrapping_mul(0x0100_0000_01b3);
            self.story = mixed.rotate_left(7);
        }
    }

    /// Pairs of running sites that have joined each other of which one does not see the other as `wanted`.
    pub(crate) fn unlike(&self, whom: impl Fn(usize) -> bool, wanted: &[Presence]) -> usize {
        let running = (0..self.hosts.len()).filter(|at| self.hosts[*at].running);
        let wrong = running.map(|at| {
            let sites = self.hosts[at].wan.sites().into_iter();
            let meant = sites.filter(|s| whom(s.site[5..].parse().expect("our own names")));
            meant.filter(|s| !wanted.contains(&s.presence)).count()
        });
        wrong.sum()
    }

    /// How often a site was thought to be so.
    pub(crate) fn thought(&self, what: Presence) -> usize {
        let like = |e: &&(usize, WanEvent)| matches!(&e.1, WanEvent::Presence(_, p) if *p == what);
        self.noticed.iter().filter(like).count()
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
