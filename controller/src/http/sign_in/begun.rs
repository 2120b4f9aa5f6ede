//! Who began to sign in at the identity provider and has not come back yet: bounded in number and in time, and good once.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{http::network::Whom, oidc::attempt::Attempt, state::trust::Digest};

/// How long somebody may take at the provider: to find their second factor, or to set a new password.
pub(crate) const LASTS: Duration = Duration::from_secs(600);
/// Attempts kept, some hundred bytes each. Beyond that the oldest gives way.
const KEPT: usize = 4_096;
/// Of one address: a room of people may be behind it. Nobody pushes out others from one.
const OF_ADDRESS: usize = 64;

/// An attempt that waits for its browser.
#[derive(Debug, Clone)]
pub(crate) struct Begun {
    /// What was said to the provider.
    pub(crate) attempt: Attempt,
    /// What is kept of what the browser shows when it comes back.
    pub(crate) browser: Digest,
    /// Where it goes then: a path of ours.
    pub(crate) back: String,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_state: HashMap<Digest, Entry>,
}

#[derive(Debug)]
struct Entry {
    begun: Begun,
    from: Option<Whom>,
    at: Instant,
}

impl Waiting {
    /// Keeps an attempt; false when its address has too many.
    pub(super) fn begin(&mut self, begun: Begun, from: Option<Whom>, now: Instant) -> bool {
        self.by_state.retain(|_, entry| !entry.is_over(now));
        let theirs = self.by_state.values().filter(|entry| entry.from == from);
        if from.is_some() && theirs.count() >= OF_ADDRESS {
            return false;
        }
        if self.by_state.len() >= KEPT {
            let oldest = self.by_state.iter().min_by_key(|(_, entry)| entry.at);
            if let Some(oldest) = oldest.map(|(state, _)| *state) {
                self.by_state.remove(&oldest);
            }
        }
        let state = Digest::of(begun.attempt.state.expose().as_bytes());
        let at = now;
        self.by_state.insert(state, Entry { begun, from, at });
        true
    }

    /// The attempt with this state, for the browser that began it. It is gone then, also for who should not have asked.
    pub(super) fn end(
        &mut self,
        state: &str,
        browser: Option<Digest>,
        now: Instant,
    ) -> Option<Begun> {
        let entry = self.by_state.remove(&Digest::of(state.as_bytes()))?;
        let same = browser.is_some_and(|shown| shown.is(&entry.begun.browser));
        (same && !entry.is_over(now)).then_some(entry.begun)
    }
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= LASTS
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn begun(n: u32) -> Begun {
        let mut bits = [0; 32];
        bits[..4].copy_from_slice(&n.to_be_bytes());
        Begun {
            attempt: Attempt::fresh([bits; 3]),
            browser: Digest::of(b"shown"),
            back: "/".to_owned(),
        }
    }

    fn at(n: u32) -> Option<Whom> {
        Some(IpAddr::from(n.to_be_bytes()).into())
    }

    fn state(n: u32) -> String {
        begun(n).attempt.state.expose().to_owned()
    }

    #[test]
    fn an_attempt_is_good_once_for_its_browser_and_for_ten_minutes() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let shown = Some(Digest::of(b"shown"));
        let just = now + LASTS - Duration::from_millis(1);
        for (browser, at_end, good) in [
            (shown, just, true),
            (shown, now + LASTS, false),
            (Some(Digest::of(b"other")), now, false),
            (None, now, false),
        ] {
            assert!(waiting.begin(begun(1), at(1), now));
            assert!(waiting.end(&state(2), shown, now).is_none());
            let ended = waiting.end(&state(1), browser, at_end);
            assert_eq!(ended.is_some(), good, "{browser:?}");
            assert!(waiting.end(&state(1), shown, now).is_none(), "once");
        }
    }

    #[test]
    fn one_address_pushes_nobody_out_and_many_do_not_grow_the_table() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        let of_address = u32::try_from(OF_ADDRESS).unwrap();
        assert!((0..of_address).all(|n| waiting.begin(begun(n), at(1), now)));
        assert!(!waiting.begin(begun(of_address), at(1), now));
        assert!(waiting.begin(begun(of_address), at(2), now));
        let later = now + Duration::from_secs(1);
        let kept = u32::try_from(KEPT).unwrap();
        assert!((0..kept).all(|n| waiting.begin(begun(1_000_000 + n), at(n + 9), later)));
        assert_eq!(waiting.by_state.len(), KEPT);
        assert!(waiting.begin(begun(1), at(1), later + LASTS));
        assert_eq!(waiting.by_state.len(), 1);
    }
}
