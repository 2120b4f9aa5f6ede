//! What happens when: datagrams that arrive, timers, frames of links, and what a node sends in turn.

use std::{
    cmp::Reverse,
    time::{Duration, Instant},
};

use rand_gossip::RngExt;

use super::{Condition, SOCKET, What, World};
use crate::{
    links::Frame,
    node::{Change, index},
};

impl World {
    pub(super) fn put(&mut self, at: Instant, what: What) {
        self.queued += 1;
        self.queue.push(Reverse((at, self.queued, what)));
    }

    pub(super) fn frame(&mut self, to: usize, at: Instant, frame: Frame) {
        let number = self.queued;
        self.frames.insert(number, frame);
        self.put(at, What::Frame(to, number));
    }

    pub(super) fn happen(&mut self, what: What) {
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
    pub(super) fn drain(&mut self, at: usize) {
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
}
