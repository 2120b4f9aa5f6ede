//! Making two views one, over the link. foca only gossips: who missed a rumour stays ignorant for minutes. So an agent
//! compares digests with its controller now and then, and when they differ both exchange all they know.

use std::{collections::HashMap, fmt, time::Instant};

use foca::{Member, State};
use sha2::{Digest, Sha256};

use super::{Membership, settings::SWAP_DOWN};
use crate::{
    codec,
    identity::Identity,
    message::link::{Entry, EntryState},
};

/// Up to this many news of one swap are passed on as rumours. More is a view that was behind, which the others are not.
const WORTH_GOSSIP: usize = 32;

/// Stands for who is there: equal on two nodes that hold the same identities active, themselves among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateDigest(pub [u8; 16]);

impl fmt::Display for StateDigest {
    /// 32 hex digits, as in [`Swap`](crate::message::link::Swap).
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// What a merge did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Entries that told us something.
    pub news: usize,
    /// Entries about strangers that were dropped because the list is full.
    pub dropped: usize,
}

impl Membership {
    /// Of the identities that are there. Suspicion and incarnations are left out: they are gossip's, and would differ
    /// somewhere at every moment.
    #[must_use]
    pub fn state_digest(&self) -> StateDigest {
        let mut all: Vec<_> = self.foca.iter_members().map(Member::id).collect();
        all.extend((!self.left).then_some(self.identity()));
        all.sort_unstable_by_key(|identity| identity.node);
        let mut bytes = Vec::with_capacity(all.len() * 40);
        for identity in all {
            codec::identity(identity, &mut bytes);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&Sha256::digest(&bytes)[..16]);
        StateDigest(digest)
    }

    /// All we know: who is there, ourselves among them, and who went lately. What a swap carries, and what may be kept to
    /// start from again.
    #[must_use]
    pub fn state(&self, now: Instant) -> Vec<Entry> {
        let lately = |member: &&Member<Identity>| {
            let standing = self.standing.get(&member.id().node);
            member.state() != State::Down
                || standing.is_none_or(|gone| now.saturating_duration_since(gone.since) < SWAP_DOWN)
        };
        let others = self.others().filter(lately);
        let mut all: Vec<_> = others.map(Entry::from).collect();
        if !self.left {
            let ours = Member::new(*self.identity(), self.effects.incarnation, State::Alive);
            all.push(Entry::from(&ours));
        }
        all
    }

    /// Takes over what another node knows. What it says about us is heard too: that is how we learn that we are thought
    /// to be gone.
    pub fn merge(&mut self, now: Instant, entries: &[Entry]) -> Merged {
        let mut room = self.room();
        let members = self.foca.iter_membership_state();
        let known: HashMap<_, _> = members.map(|member| (member.id().node, member)).collect();
        let (ours, left) = (*self.identity(), self.left);
        let mut dropped = 0;
        let mut news: Vec<Member<Identity>> = Vec::new();
        for entry in entries {
            let told = Member::from(entry);
            match known.get(&entry.node) {
                // We know best who we are, but not that others think we are gone.
                _ if entry.node == ours.node => {
                    news.extend(
                        (!left && *told.id() == ours && told.state() != State::Alive)
                            .then_some(told),
                    );
                }
                Some(known) if is_news(known, &told) => news.push(told),
                Some(_) => {}
                None if room == 0 => dropped += 1,
                None => {
                    room -= 1;
                    news.push(told);
                }
            }
        }
        let count = news.len();
        let rumour = count <= WORTH_GOSSIP;
        let merged = self
            .foca
            .apply_many(news.into_iter(), rumour, &mut self.effects);
        self.note_fault(&merged);
        self.settle(now);
        self.counters.strangers += dropped as u64;
        Merged {
            news: count,
            dropped,
        }
    }
}

/// Whether foca would change its mind. Asking first keeps what it knows already out of the rumours.
fn is_news(known: &Member<Identity>, told: &Member<Identity>) -> bool {
    if known.id() != told.id() {
        return told.id().beats(known.id());
    }
    let newer = told.incarnation() > known.incarnation();
    match (known.state(), told.state()) {
        (State::Down, _) => false,
        (_, State::Down) => true,
        (State::Alive, State::Suspect) => told.incarnation() >= known.incarnation(),
        (State::Suspect, State::Suspect) | (_, State::Alive) => newer,
    }
}

impl From<&Entry> for Identity {
    fn from(entry: &Entry) -> Self {
        Self {
            renewals: entry.renewals,
            ..Self::new(entry.node, entry.generation, entry.addr, entry.role)
        }
    }
}

impl From<&Entry> for Member<Identity> {
    fn from(entry: &Entry) -> Self {
        let state = match entry.state {
            EntryState::Alive => State::Alive,
            EntryState::Suspect => State::Suspect,
            EntryState::Down => State::Down,
        };
        Self::new(entry.into(), entry.incarnation, state)
    }
}

impl From<&Member<Identity>> for Entry {
    fn from(member: &Member<Identity>) -> Self {
        let id = member.id();
        Self {
            node: id.node,
            generation: id.generation,
            renewals: id.renewals,
            addr: id.addr,
            role: id.role,
            incarnation: member.incarnation(),
            state: match member.state() {
                State::Alive => EntryState::Alive,
                State::Suspect => EntryState::Suspect,
                State::Down => EntryState::Down,
            },
        }
    }
}
