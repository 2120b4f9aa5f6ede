//! What a controller found out, because it holds the links, is told to foca: it would need longer.

use std::time::Instant;

use foca::{Member, State};

use super::{Membership, settings::VERDICT_TRAVELS, view::Standing};
use crate::{identity::Identity, message::link::Verdict};

/// What became of a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The member is down now, and the others will hear of it.
    Now,
    /// It was down already; the reason was noted.
    Already,
    /// It is about a life of the node that we know nothing of, or about one that ended: the node has come back. Or it is
    /// about ourselves: the link settles that.
    NotMeant,
}

impl Membership {
    /// Applies a verdict to exactly the generation it names: a member that came back in the meantime is not meant.
    pub fn apply_verdict(&mut self, now: Instant, verdict: &Verdict) -> Applied {
        let known = self.known(verdict.node).cloned();
        let Some(member) = known.filter(|member| member.id().generation == verdict.generation)
        else {
            return Applied::NotMeant;
        };
        let was_down = member.state() == State::Down;
        if !was_down && self.came_back_lately(now, member.id()) {
            return Applied::NotMeant;
        }
        if !was_down {
            let down = [Member::down(*member.id())];
            let applied = self
                .foca
                .apply_many(down.into_iter(), true, &mut self.effects);
            self.note_fault(&applied);
            self.settle(now);
        }
        let standing = self.standing.entry(verdict.node);
        let standing = standing.or_insert(Standing::since(now));
        standing.verdict = Some(verdict.state);
        if was_down {
            Applied::Already
        } else {
            Applied::Now
        }
    }

    /// A verdict that comes late would throw out again who has just shown that it lives, and each of its lives in turn.
    fn came_back_lately(&self, now: Instant, member: &Identity) -> bool {
        let standing = self.standing.get(&member.node);
        member.renewals > 0
            && standing.is_some_and(|standing| {
                now.saturating_duration_since(standing.identity_since) < VERDICT_TRAVELS
            })
    }
}
