//! A second look at whom we suspect. foca declares a suspect down unless it hears its refutation, and with loss a rumour
//! misses somebody now and then. So we ask the suspect itself, and who has spoken to us since is not declared down by us.

use std::time::Instant;

use foca::{State, Timer};

use super::{Membership, timers::Task};
use crate::identity::Identity;

impl Membership {
    /// Takes over a timer of foca's. With a suspicion begins the asking.
    pub(super) fn set_timer(&mut self, now: Instant, at: Instant, timer: Timer<Identity>) {
        if let Timer::ChangeSuspectToDown { member_id, .. } = &timer
            && !self.timers.suspects(member_id.node)
        {
            let ask_at = now + self.timing.ask_suspect;
            self.timers.set(ask_at, Task::Ask(*member_id));
        }
        self.timers.set(at, Task::Foca(timer));
    }

    pub(super) fn ask_suspect(&mut self, now: Instant, suspect: Identity) {
        let known = self.known(suspect.node);
        let still = known.is_some_and(|m| *m.id() == suspect && m.state() == State::Suspect);
        if still && self.timers.suspects(suspect.node) {
            let asked = self.foca.announce(suspect, &mut self.effects);
            self.note_fault(&asked);
            let again_at = now + self.timing.ask_suspect;
            self.timers.set(again_at, Task::Ask(suspect));
        }
    }

    /// It speaks, so it lives. To others it stays suspected until they hear that themselves; if it goes silent again, the
    /// next probe that fails begins a new suspicion.
    pub(super) fn hear(&mut self, speaker: &Identity) {
        if self.timers.suspects(speaker.node) {
            let is_it = self
                .known(speaker.node)
                .is_some_and(|known| known.id() == speaker);
            if is_it {
                self.timers.acquit(speaker.node);
            }
        }
    }
}
