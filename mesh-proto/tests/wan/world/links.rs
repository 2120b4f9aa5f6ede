//! The links of sites in virtual time: dialled, quiet, silent, given up.

use std::time::{Duration, Instant};

use mesh_proto::wan;
use rand_gossip::RngExt;

use super::{ACK, What, World, name, pair};

/// What a side sends into a silence until it gives the link up: QUIC repeats one packet, twice as late each time.
const INTO_SILENCE: u64 = 8 * ACK;

/// Pauses between dials of a site that does not answer: doubled from the first to the last.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// The timers of a link, as `mesh-net`'s transport sets them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    /// Who has heard and said nothing for so long asks for a sign of life.
    pub(super) keep_alive: Duration,
    /// Whether both sides ask, or only the one that dialled.
    both_ask: bool,
    /// A link whose other side is silent ends after this to both together.
    idle: Duration,
}

impl Life {
    pub(crate) const SITES: Self = Self {
        keep_alive: wan::LINK_KEEP_ALIVE,
        both_ask: false,
        idle: wan::LINK_IDLE,
    };
    pub(crate) const AGENTS: Self = Self {
        keep_alive: Duration::from_secs(2),
        both_ask: true,
        idle: Duration::from_millis(8_250),
    };
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Being dialled; the pause before the next dial.
    None(Duration),
    /// The number tells links of one pair apart.
    Stands(u64),
}

impl World {
    pub(super) fn reachable(&self, (a, b): (usize, usize)) -> bool {
        let blocked = self.blocked.get(&(a, b)).copied().unwrap_or(false);
        !blocked && self.hosts[a].running && self.hosts[b].running
    }

    /// A link whose ends do not hear each other any more will end.
    pub(super) fn look(&mut self, (a, b): (usize, usize)) {
        if let Some(Way::Stands(number)) = self.ways.get(&(a, b)).copied()
            && !self.reachable((a, b))
            && self.links_end
        {
            let Life {
                keep_alive, idle, ..
            } = self.life;
            let after = idle + keep_alive.mul_f64(self.rng.random());
            for one in [a, b] {
                self.hosts[one].sent += INTO_SILENCE;
            }
            self.put(self.now + after, What::Silent(a, b, number));
        }
    }

    pub(super) fn dial(&mut self, a: usize, b: usize) {
        let Some(Way::None(pause)) = self.ways.get(&(a, b)).copied() else {
            return;
        };
        // QUIC repeats its first packet three times before the dial is given up.
        let meets = !self.rng.random_bool(self.loss.powi(3));
        if !self.reachable((a, b)) || !meets {
            let longer = (pause * 2).min(PAUSES.1);
            self.ways.insert((a, b), Way::None(longer));
            let off = self.rng.random_range(0.8..1.0);
            return self.put(self.now + pause.mul_f64(off), What::Dial(a, b));
        }
        self.queued += 1;
        let number = self.queued;
        self.ways.insert((a, b), Way::Stands(number));
        for (one, other) in [(a, b), (b, a)] {
            self.hosts[one].wan.link_up(self.now, &name(other));
            self.drain(one);
            self.stir(one, other, self.now);
            if one == a || self.life.both_ask {
                let at = self.now + self.life.keep_alive;
                self.put(at, What::Look(one, other, number));
            }
        }
    }

    /// A side that has said and heard nothing for a while asks for a sign of life, and gets it.
    pub(super) fn keep_alive(&mut self, from: usize, to: usize, number: u64) {
        let ways = pair(from, to);
        if self.ways.get(&ways) != Some(&Way::Stands(number)) {
            return;
        }
        let due = self.stirred[&(from, to)] + self.life.keep_alive;
        if due <= self.now && self.reachable(ways) {
            for one in [from, to] {
                let host = &mut self.hosts[one];
                host.sent += ACK;
                host.received += ACK;
                host.quiet += ACK;
            }
            // Where both ask, the other side's timer runs from the same packet and is not stopped by this one.
            self.stir(from, to, self.now);
        }
        // What is said into a silence is counted where that begins.
        let next = self.stirred[&(from, to)] + self.life.keep_alive;
        let silent = self.now + self.life.keep_alive;
        let next = if next > self.now { next } else { silent };
        self.put(next, What::Look(from, to, number));
    }

    /// The first of two said or heard something.
    pub(super) fn stir(&mut self, one: usize, other: usize, at: Instant) {
        let last = self.stirred.entry((one, other)).or_insert(at);
        *last = at.max(*last);
    }

    /// Both sides of a silent link give it up.
    pub(super) fn give_up(&mut self, (a, b): (usize, usize), number: u64) {
        let stands = self.ways.get(&(a, b)) == Some(&Way::Stands(number));
        if !stands || self.reachable((a, b)) {
            return;
        }
        self.ways.insert((a, b), Way::None(PAUSES.0));
        self.put(self.now + PAUSES.0, What::Dial(a, b));
        for (one, other) in [(a, b), (b, a)] {
            self.hosts[one].wan.link_down(self.now, &name(other));
            self.drain(one);
        }
    }
}
