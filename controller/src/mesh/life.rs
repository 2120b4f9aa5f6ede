//! Which members live, by their links: a state machine over moments, with no clock and no socket.
//!
//! ```text
//!            silent 6 s                silent 10.5 s, no new hello
//!   alive ----------------> unreachable ------------------------> down
//!     ^                        |  knocked at once a second
//!     +-- heard, new hello ----+            bye -> left
//! ```
//!
//! A link that closed is as silent as one that lost its cable. Nobody is `down` in the first half minute after the
//! controller started: the members need that long to call again. Whoever was `down`, `left` or revoked comes back by a
//! hello only.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::ordered::Gather as _;
use mesh_proto::identity::NodeId;

/// Silence after which a member is called unreachable: three keep-alives lost (DESIGN §6).
pub const UNREACHABLE_AFTER: Duration = Duration::from_secs(6);
/// Silence after which it is called down, if it did not call anew: a machine paused for 8 s never is.
pub const DOWN_AFTER: Duration = Duration::from_millis(10_500);
/// Between two knocks.
pub const KNOCK_EVERY: Duration = Duration::from_secs(1);
/// Nobody is down so soon after the controller started.
pub const GRACE: Duration = Duration::from_secs(30);

/// What is thought of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Word {
    /// Its link speaks.
    Alive,
    /// Its link is silent.
    Unreachable,
    /// It stayed silent.
    Down,
    /// It said goodbye.
    Left,
}

/// What has to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// This is thought of it from now on.
    Is(NodeId, u32, Word),
    /// Ask it to call anew.
    Knock(NodeId),
}

#[derive(Debug, Clone, Copy)]
struct Member {
    generation: u32,
    heard: Instant,
    word: Word,
    knock: Instant,
}

/// The members that are watched.
#[derive(Debug)]
pub struct Life {
    grace_ends: Instant,
    members: BTreeMap<NodeId, Member>,
}

impl Life {
    /// Starts to watch. `known` had links when the controller ended; they are unreachable, and given the grace to come
    /// back.
    pub fn new(now: Instant, known: impl IntoIterator<Item = (NodeId, u32)>) -> Self {
        let member = |generation| Member {
            generation,
            // A host that was started seconds ago cannot say how long they have been silent.
            heard: now.checked_sub(UNREACHABLE_AFTER).unwrap_or(now),
            word: Word::Unreachable,
            knock: now,
        };
        Self {
            grace_ends: now + GRACE,
            members: known.into_iter().map(|(n, g)| (n, member(g))).gather(),
        }
    }

    /// A link stands, with a generation of its own.
    pub fn linked(&mut self, now: Instant, node: NodeId, generation: u32) {
        let member = Member {
            generation,
            heard: now,
            word: Word::Alive,
            knock: now,
        };
        self.members.insert(node, member);
    }

    /// Something came over the link of this generation at `at`.
    pub fn heard(&mut self, node: NodeId, generation: u32, at: Instant) {
        if let Some(member) = self.members.get_mut(&node)
            && member.generation == generation
        {
            member.heard = member.heard.max(at);
        }
    }

    /// The member goes on purpose.
    pub fn left(&mut self, node: NodeId, generation: u32) -> Option<Step> {
        let member = self.members.get_mut(&node)?;
        let goes = member.generation == generation && member.word != Word::Left;
        goes.then(|| {
            member.word = Word::Left;
            Step::Is(node, generation, Word::Left)
        })
    }

    /// The member is no member any more: its key was revoked or its machine forgotten.
    pub fn forget(&mut self, node: NodeId) {
        self.members.remove(&node);
    }

    /// What is thought of a member of this generation.
    #[must_use]
    pub fn word(&self, node: NodeId) -> Option<Word> {
        self.members.get(&node).map(|m| m.word)
    }

    /// Looks at the time: what changed, and whom to knock at.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<Step> {
        let grace = now < self.grace_ends;
        let steps = self.members.iter_mut();
        steps
            .flat_map(|(node, member)| member.look(*node, now, grace))
            .collect()
    }
}

impl Member {
    fn look(&mut self, node: NodeId, now: Instant, grace: bool) -> Vec<Step> {
        let word = match (self.word, now.saturating_duration_since(self.heard)) {
            (Word::Down | Word::Left, _) => return Vec::new(),
            (_, silent) if silent < UNREACHABLE_AFTER => Word::Alive,
            (_, silent) if silent < DOWN_AFTER || grace => Word::Unreachable,
            _ => Word::Down,
        };
        let mut steps = Vec::new();
        if word != self.word {
            self.word = word;
            steps.push(Step::Is(node, self.generation, word));
        }
        if word == Word::Unreachable && now >= self.knock {
            self.knock = now + KNOCK_EVERY;
            steps.push(Step::Knock(node));
        }
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Time goes on in steps of 250 ms from `from` to `to`; what happened, and when.
    fn run(life: &mut Life, start: Instant, from: u64, to: u64) -> Vec<(u64, Step)> {
        let mut told = Vec::new();
        for at in (from..=to).step_by(250) {
            let steps = life.handle_timeout(start + ms(at));
            told.extend(steps.into_iter().map(|s| (at, s)));
        }
        told
    }

    fn words(told: &[(u64, Step)]) -> Vec<(u64, Word)> {
        let word = |(at, step): &(u64, Step)| match step {
            Step::Is(_, _, word) => Some((*at, *word)),
            Step::Knock(_) => None,
        };
        told.iter().filter_map(word).collect()
    }

    /// A controller that has been up for an hour, and a member that was last heard at zero.
    fn settled() -> (Life, Instant) {
        let start = Instant::now() + Duration::from_secs(3600);
        let mut life = Life::new(start - Duration::from_secs(3600), []);
        life.linked(start, A, 1);
        (life, start)
    }

    #[test]
    fn silence_is_unreachable_after_six_seconds_and_down_after_ten_and_a_half() {
        let (mut life, start) = settled();
        let told = run(&mut life, start, 0, 60_000);
        assert_eq!(
            words(&told),
            [(6000, Word::Unreachable), (10_500, Word::Down)]
        );
        let knocks: Vec<u64> = told
            .iter()
            .filter(|(_, s)| *s == Step::Knock(A))
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(knocks, [6000, 7000, 8000, 9000, 10_000]);
    }

    #[test]
    fn a_member_paused_for_eight_seconds_is_never_down() {
        let (mut life, start) = settled();
        let mut told = run(&mut life, start, 0, 8000);
        life.heard(A, 1, start + ms(8100));
        told.extend(run(&mut life, start, 8250, 14_000));
        assert_eq!(
            words(&told),
            [(6000, Word::Unreachable), (8250, Word::Alive)]
        );
    }

    #[test]
    fn a_new_hello_in_time_keeps_a_member_from_being_down() {
        let (mut life, start) = settled();
        run(&mut life, start, 0, 9000);
        life.linked(start + ms(9100), A, 2);
        // What the old link still brings is not the new one's voice.
        life.heard(A, 1, start + ms(20_000));
        let told = run(&mut life, start, 9250, 25_000);
        assert_eq!(
            words(&told),
            [(15_250, Word::Unreachable), (19_750, Word::Down)]
        );
    }

    #[test]
    fn who_is_down_comes_back_by_a_hello_only() {
        let (mut life, start) = settled();
        run(&mut life, start, 0, 12_000);
        life.heard(A, 1, start + ms(12_000));
        assert_eq!(run(&mut life, start, 12_000, 13_000), []);
        assert_eq!(life.word(A), Some(Word::Down));
        life.linked(start + ms(13_000), A, 2);
        assert_eq!(life.word(A), Some(Word::Alive));
    }

    #[test]
    fn who_says_goodbye_is_not_missed() {
        let (mut life, start) = settled();
        assert_eq!(life.left(A, 1), Some(Step::Is(A, 1, Word::Left)));
        assert_eq!(life.left(A, 1), None);
        assert_eq!(run(&mut life, start, 0, 60_000), []);
    }

    #[test]
    fn an_old_links_goodbye_does_not_end_the_new_one() {
        let (mut life, start) = settled();
        life.linked(start, A, 2);
        assert_eq!(life.left(A, 1), None);
        assert_eq!(life.word(A), Some(Word::Alive));
    }

    #[test]
    fn nobody_is_down_in_the_first_half_minute_of_a_controller() {
        let start = Instant::now();
        let mut life = Life::new(start, [(A, 7)]);
        let told = run(&mut life, start, 0, 40_000);
        assert_eq!(words(&told), [(30_000, Word::Down)]);
        assert!(
            told.iter()
                .filter(|(_, s)| matches!(s, Step::Knock(_)))
                .count()
                >= 24
        );
    }
}
