//! What is kept for a link that stands: how often its list is read, and how much it may say.

use std::time::{Duration, Instant};

use crate::membership::SwapClock;

/// Frames a second that a peer may send; ours send two, and some dozens at once when much changes.
const FRAMES_A_SECOND: u32 = 20;
/// Frames at once.
const BURST: u32 = 60;
/// Between two answers to "what is new?", and between two rumours that one site is told.
const SPACING: Duration = Duration::from_millis(900);

/// Readings of a link's list until it is one of many.
const NEW: u32 = 2;

/// A link.
#[derive(Debug)]
pub(super) struct Link {
    /// When its list is read, if nobody else's turn is before: at once, after 3 s, then every 15 s, give or take.
    reads: SwapClock,
    asked: u32,
    frames: u32,
    counted: Instant,
    answered: Option<Instant>,
    warned: Option<Instant>,
}

impl Link {
    pub(super) fn new(now: Instant, seed: [u8; 32]) -> Self {
        Self {
            reads: SwapClock::new(now, seed),
            asked: 0,
            frames: BURST,
            counted: now,
            answered: None,
            warned: None,
        }
    }

    /// Another link with the same site stands.
    pub(super) fn begin(&mut self, now: Instant, seed: [u8; 32]) {
        self.reads = SwapClock::new(now, seed);
        self.asked = 0;
    }

    /// When its list is read next, and before whose: who is new to us has the most to tell.
    pub(super) fn due(&self) -> (bool, Instant) {
        (self.asked >= NEW, self.reads.next())
    }

    /// It told news, and its list has the rest.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.reads.later(now, Duration::ZERO);
        self.asked = 0;
    }

    /// Its list is being read.
    pub(super) fn read(&mut self, now: Instant) {
        self.reads.done(now);
        self.asked = self.asked.saturating_add(1);
    }

    /// Whether another frame is taken.
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / FRAMES_A_SECOND;
        let gained = now.saturating_duration_since(self.counted).as_millis() / each.as_millis();
        let gained = u32::try_from(gained).unwrap_or(BURST).min(BURST);
        if gained > 0 {
            self.frames = (self.frames + gained).min(BURST);
            self.counted = now;
        }
        let admits = self.frames > 0;
        self.frames = self.frames.saturating_sub(1);
        admits
    }

    /// Whether its question is answered.
    pub(super) fn may_ask(&mut self, now: Instant) -> bool {
        spaced(&mut self.answered, now)
    }

    /// Whether it is told what is said of it.
    pub(super) fn may_be_warned(&mut self, now: Instant) -> bool {
        spaced(&mut self.warned, now)
    }
}

fn spaced(last: &mut Option<Instant>, now: Instant) -> bool {
    let free = last.is_none_or(|last| now.saturating_duration_since(last) >= SPACING);
    if free {
        *last = Some(now);
    }
    free
}
