//! Which counters of which session were taken already. Memory is bounded: a session that is forgotten could be replayed,
//! so it is the one that was silent for longest, and only one datagram is believed again for each that is replayed.

use std::{collections::HashMap, time::Instant};

use super::{Header, SessionId};
use crate::{identity::NodeId, membership::MAX_MEMBERS};

/// How far a datagram may be overtaken by later ones of its sender. One counter serves all receivers, so that a
/// controller's burst to a thousand members may lie between two datagrams to us.
pub(super) const WINDOW: u64 = 1_024;
const WORDS: usize = (WINDOW / 64) as usize;
/// Sessions we remember of one sender: the current one, and those of processes that just ended.
const SESSIONS: usize = 4;
/// Senders we remember.
const SENDERS: usize = MAX_MEMBERS;

#[derive(Debug, Default)]
pub(super) struct Windows {
    senders: HashMap<NodeId, Vec<Session>>,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    heard: Instant,
    /// One above the highest counter that was taken.
    end: u64,
    /// Bit `counter % WINDOW` for the last `WINDOW` counters below `end`.
    taken: [u64; WORDS],
}

impl Windows {
    /// Whether the counter was not taken yet.
    pub(super) fn is_fresh(&self, header: &Header) -> bool {
        let sessions = self.senders.get(&header.sender);
        let mut all = sessions.into_iter().flatten();
        all.find(|session| session.id == header.session)
            .is_none_or(|session| session.is_fresh(header.counter))
    }

    /// Notes that it is taken now. Only for what was proved to be authentic.
    pub(super) fn take(&mut self, now: Instant, header: &Header) {
        self.make_room(header.sender);
        let sessions = self.senders.entry(header.sender).or_default();
        if let Some(session) = sessions
            .iter_mut()
            .find(|session| session.id == header.session)
        {
            session.heard = now;
            session.take(header.counter);
            return;
        }
        if sessions.len() >= SESSIONS {
            let oldest = (0..sessions.len()).min_by_key(|&at| sessions[at].heard);
            sessions.swap_remove(oldest.expect("there are some"));
        }
        sessions.push(Session::begin(now, header));
    }

    fn make_room(&mut self, sender: NodeId) {
        if self.senders.len() < SENDERS || self.senders.contains_key(&sender) {
            return;
        }
        let last_heard = |sessions: &Vec<Session>| sessions.iter().map(|s| s.heard).max();
        let silent = self
            .senders
            .iter()
            .min_by_key(|(node, sessions)| (last_heard(sessions), **node));
        if let Some(silent) = silent.map(|(node, _)| *node) {
            self.senders.remove(&silent);
        }
    }
}

impl Session {
    fn begin(now: Instant, header: &Header) -> Self {
        let mut session = Self {
            id: header.session,
            heard: now,
            end: 0,
            taken: [0; WORDS],
        };
        session.take(header.counter);
        session
    }

    fn is_fresh(&self, counter: u64) -> bool {
        if counter >= self.end {
            // No sealer uses the last number; beyond it the window could not move on.
            return counter != u64::MAX;
        }
        self.end - counter <= WINDOW && !self.bit(counter)
    }

    fn take(&mut self, counter: u64) {
        let end = counter.saturating_add(1);
        if end > self.end {
            let skipped = self.end..end;
            if end - self.end >= WINDOW {
                self.taken = [0; WORDS];
            } else {
                skipped.for_each(|counter| self.set(counter, false));
            }
            self.end = end;
        }
        self.set(counter, true);
    }

    fn bit(&self, counter: u64) -> bool {
        let (word, bit) = place(counter);
        self.taken[word] >> bit & 1 == 1
    }

    fn set(&mut self, counter: u64, taken: bool) {
        let (word, bit) = place(counter);
        self.taken[word] = self.taken[word] & !(1 << bit) | u64::from(taken) << bit;
    }
}

fn place(counter: u64) -> (usize, u64) {
    let at = counter % WINDOW;
    ((at / 64) as usize, at % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::SiteTag;

    #[expect(clippy::disallowed_methods, reason = "an arbitrary start of time")]
    fn start() -> Instant {
        Instant::now()
    }

    fn header(sender: u64, session: u8, counter: u64) -> Header {
        Header {
            site: SiteTag::of("home"),
            epoch: 1,
            sender: NodeId(sender),
            session: SessionId([session; 16]),
            counter,
        }
    }

    /// Takes the counter when it is fresh, and says whether it was.
    fn take(windows: &mut Windows, now: Instant, header: &Header) -> bool {
        let fresh = windows.is_fresh(header);
        if fresh {
            windows.take(now, header);
        }
        fresh
    }

    #[test]
    fn each_counter_is_taken_once_and_only_inside_the_window() {
        let (now, mut windows) = (start(), Windows::default());
        for (counter, fresh) in [
            (5, true),
            (5, false),
            (0, true),
            (4, true),
            (4, false),
            (WINDOW + 4, true),
            (5, false),
            (4, false),
            (6, true),
            (6, false),
            (2 * WINDOW + 4, true),
            (WINDOW + 4, false),
            (WINDOW + 5, true),
            (WINDOW + 3, false),
            (100 * WINDOW, true),
            (100 * WINDOW - 1, true),
            (99 * WINDOW + 1, true),
            (99 * WINDOW, false),
        ] {
            let found = take(&mut windows, now, &header(1, 1, counter));
            assert_eq!(found, fresh, "counter {counter}");
        }
    }

    #[test]
    fn the_last_counter_is_never_taken() {
        let (now, mut windows) = (start(), Windows::default());
        assert!(take(&mut windows, now, &header(1, 1, u64::MAX - 1)));
        assert!(!take(&mut windows, now, &header(1, 1, u64::MAX)));
        assert!(!take(&mut windows, now, &header(1, 1, u64::MAX - 1)));
    }

    #[test]
    fn senders_and_sessions_do_not_disturb_each_other() {
        let (now, mut windows) = (start(), Windows::default());
        for other in [header(1, 1, 7), header(1, 2, 7), header(2, 1, 7)] {
            assert!(take(&mut windows, now, &other));
            assert!(!take(&mut windows, now, &other));
        }
    }

    #[test]
    fn the_session_that_was_silent_for_longest_is_forgotten() {
        let (mut now, mut windows) = (start(), Windows::default());
        for session in 0..=SESSIONS as u8 {
            now += std::time::Duration::from_secs(1);
            assert!(take(&mut windows, now, &header(1, session, 1)));
        }
        assert!(windows.is_fresh(&header(1, 0, 1)), "forgotten");
        for session in 1..=SESSIONS as u8 {
            assert!(
                !windows.is_fresh(&header(1, session, 1)),
                "session {session}"
            );
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (mut now, mut windows) = (start(), Windows::default());
        for sender in 0..2 * SENDERS as u64 {
            now += std::time::Duration::from_millis(1);
            assert!(take(&mut windows, now, &header(sender, 1, 1)));
        }
        assert_eq!(windows.senders.len(), SENDERS);
        assert!(!windows.is_fresh(&header(2 * SENDERS as u64 - 1, 1, 1)));
    }
}
