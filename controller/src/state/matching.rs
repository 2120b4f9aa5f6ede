//! Which machine is this? By what it is made of, not by one number that may repeat, be zero, or have moved (TRAPS 38).
//!
//! Every mark that a machine and a newcomer share speaks for it, every mark they both have and do not share against it.
//! Values that say nothing (placeholders, all zeros, one value on several machines) do not count. What is not clear
//! enough is left to a person.

mod identity;
mod score;

use ipxe::MacAddr;

use super::{View, machine::MachineId};
use crate::ordered::sort_by;
pub use identity::{Identity, Mark};
pub use score::{Score, same_board, same_hardware};

/// The least sum for which a machine counts as known: one network card that nothing speaks against.
pub const ENOUGH: i32 = 3;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// This one.
    Known(Candidate),
    /// None of ours; with the one that came closest, for the reasons.
    New(Option<Candidate>),
    /// Several are equally likely.
    Ambiguous(Vec<Candidate>),
}

/// A machine that may be the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub machine: MachineId,
    /// What speaks for and against it.
    pub score: Score,
}

/// Finds the machine that `who` is. `booted` is the card whose boot script the newcomer knew, if any: it settles a draw.
#[must_use]
pub fn find(view: &View, who: &Identity, booted: Option<MacAddr>) -> Match {
    let common = |mark: &Mark| view.machines_with(mark).count() > 1;
    let mut candidates: Vec<Candidate> = view
        .machines_like(who)
        .map(|(machine, known)| Candidate {
            machine: machine.clone(),
            score: score::score(known, who, &common, booted),
        })
        .collect();
    sort_by(&mut candidates, |a, b| {
        let by_score = b.score.sum.cmp(&a.score.sum);
        by_score.then_with(|| a.machine.cmp(&b.machine))
    });
    let enough: Vec<_> = candidates
        .iter()
        .filter(|c| c.score.sum >= ENOUGH)
        .collect();
    match enough.as_slice() {
        [] => Match::New(candidates.into_iter().next()),
        [first, second, ..] if first.score.sum == second.score.sum => {
            let best = first.score.sum;
            candidates.retain(|c| c.score.sum == best);
            Match::Ambiguous(candidates)
        }
        [first, ..] => Match::Known((*first).clone()),
    }
}

#[cfg(test)]
pub(crate) mod examples;
#[cfg(test)]
mod tests;
