//! Whether to stay awake for an answer.
//!
//! A virtual machine on our host answers a block within microseconds, and waking a thread on another core takes longer than
//! that: who goes to sleep after each block loses half of the rate in lockstep or more (measured: 25 MB/s asleep, 68 awake,
//! where the halted core belongs to a virtual machine itself). A machine on a wire answers after some hundred microseconds:
//! for it there is nothing to be gained, and a small board has better things to do.

use std::time::Duration;

/// How long an answer is waited for awake: what waking up costs at most.
pub(super) const AWAKE: Duration = Duration::from_micros(50);
/// After so many answers in a row that came later, clients are taken to be far away …
const LATE_MAX: u32 = 4;
/// … and only one wait in so many tries whether they still are.
const TRY_EVERY: u32 = 64;

/// How soon the last answers came.
#[derive(Debug, Default)]
pub(super) struct Vigil {
    /// Waits in a row without a quick answer.
    late: u32,
}

impl Vigil {
    /// Whether the next answer is worth staying awake for.
    pub(super) fn is_due(&self) -> bool {
        self.late < LATE_MAX || self.late.is_multiple_of(TRY_EVERY)
    }

    /// It came while we were awake.
    pub(super) fn paid(&mut self) {
        self.late = 0;
    }

    /// It did not, or we did not stay awake.
    pub(super) fn missed(&mut self) {
        self.late = self.late.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `waits` are spent awake when answers are always late.
    fn awake(vigil: &mut Vigil, waits: u32) -> u32 {
        let waits = (0..waits).filter(|_| {
            let is_due = vigil.is_due();
            vigil.missed();
            is_due
        });
        u32::try_from(waits.count()).expect("few")
    }

    #[test]
    fn far_clients_cost_next_to_nothing() {
        let mut vigil = Vigil::default();
        assert_eq!(awake(&mut vigil, 6400), LATE_MAX + 6400 / TRY_EVERY - 1);
    }

    #[test]
    fn one_quick_answer_is_enough_to_stay_awake_again() {
        let mut vigil = Vigil::default();
        awake(&mut vigil, 1000);
        vigil.paid();
        assert_eq!(awake(&mut vigil, LATE_MAX), LATE_MAX);
        assert!(!vigil.is_due());
    }
}
