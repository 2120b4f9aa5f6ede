//! The list of members as people and state swaps see it, and forgetting.

use std::time::Instant;

use foca::{Member, State, Timer};

use super::{
    Membership,
    event::{MemberState, MemberView},
    settings::{HOUSEKEEPING, REMEMBER_DOWN},
    timers::Task,
};
use crate::{identity::Identity, message::link::VerdictState};

/// What foca does not keep about a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Since when it is there, or gone.
    pub(super) since: Instant,
    /// Since when we know its present identity.
    pub(super) identity_since: Instant,
    /// What a controller said when it went.
    pub(super) verdict: Option<VerdictState>,
}

impl Standing {
    pub(super) fn since(now: Instant) -> Self {
        Self {
            since: now,
            identity_since: now,
            verdict: None,
        }
    }
}

impl Membership {
    /// All other members that are there or were lately, in the order of their ids.
    #[must_use]
    pub fn members(&self, now: Instant) -> Vec<MemberView> {
        let mut all: Vec<_> = self.others().map(|member| self.view(now, member)).collect();
        all.sort_unstable_by_key(|view| view.identity.node);
        all
    }

    /// How many other members are there.
    #[must_use]
    pub fn active(&self) -> usize {
        self.foca.num_members()
    }

    /// The other members that are there, in no order.
    pub fn active_members(&self) -> impl Iterator<Item = &Identity> {
        self.foca.iter_members().map(Member::id)
    }

    /// foca also lists our own earlier identities, as down.
    pub(super) fn others(&self) -> impl Iterator<Item = &Member<Identity>> {
        let ours = self.identity().node;
        let all = self.foca.iter_membership_state();
        all.filter(move |member| member.id().node != ours)
    }

    fn view(&self, now: Instant, member: &Member<Identity>) -> MemberView {
        let node = member.id().node;
        let standing = self.standing.get(&node).copied();
        let standing = standing.unwrap_or(Standing::since(now));
        MemberView {
            identity: *member.id(),
            state: state(member.state(), standing.verdict),
            since: standing.since,
            facts: self.board.newest(node),
        }
    }

    /// Forgets whom nobody has seen for a day, so that the list holds who matters.
    pub(super) fn keep_house(&mut self, now: Instant) {
        self.timers.set(now + HOUSEKEEPING, Task::Housekeeping);
        let members: Vec<_> = self.foca.iter_membership_state().cloned().collect();
        for member in members {
            // Nobody told us when those went that were down when we first heard of them.
            let standing = self.standing.entry(member.id().node);
            let standing = standing.or_insert(Standing::since(now));
            let gone = member.state() == State::Down;
            if gone && now.saturating_duration_since(standing.since) >= REMEMBER_DOWN {
                self.handle_timer(Timer::RemoveDown(*member.id()));
            }
        }
        let known: std::collections::HashSet<_> = self
            .foca
            .iter_membership_state()
            .map(|member| member.id().node)
            .chain([self.foca.identity().node])
            .collect();
        self.standing.retain(|node, _| known.contains(node));
        self.board.retain(|node| known.contains(&node));
    }
}

fn state(state: State, verdict: Option<VerdictState>) -> MemberState {
    match (state, verdict) {
        (State::Alive, _) => MemberState::Alive,
        (State::Suspect, _) => MemberState::Suspect,
        (State::Down, None | Some(VerdictState::Down)) => MemberState::Down,
        (State::Down, Some(VerdictState::Left)) => MemberState::Left,
        (State::Down, Some(VerdictState::Revoked)) => MemberState::Revoked,
    }
}
