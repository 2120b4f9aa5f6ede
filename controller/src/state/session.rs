//! Sessions: who signed in with a password, in one browser, and until when.
//!
//! A browser shows 256 random bits in a cookie. They cannot be guessed, so that their plain SHA-256 is all that need be kept; a
//! session is found by it, and named to people by its first digits.

use std::{fmt, net::IpAddr, str::FromStr};

use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};

use super::{Timestamp, View, trust::Digest, user::UserName};
use crate::hex::is_hex;

/// How long a session may lie unused: a working day. Whoever finds the browser open the next morning finds it signed out.
pub const IDLE: jiff::SignedDuration = jiff::SignedDuration::from_hours(8);
/// How long a session lasts at most: a working week and its weekend. NIST SP 800-63B-4 §2.1.3 allows 30 days for a password.
pub const LIVES: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);
/// Sessions of one person: their computers and browsers. The one that was used longest ago gives way.
pub const MAX_PER_USER: usize = 16;
/// Sessions kept: they are all in memory. The one that was used longest ago gives way.
pub const MAX_SESSIONS: usize = 4_096;
/// How exactly it is kept when a session was used last: a commit per request would wear out a Pi's card.
pub const USED_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);

/// A text that is no session's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session is named by 12 hex digits; `enforcer sessions list` shows them")]
pub struct BadSession;

/// What people call a session: the first twelve digits of what is kept of it. It opens nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionName(String);

impl FromStr for SessionName {
    type Err = BadSession;

    fn from_str(text: &str) -> Result<Self, BadSession> {
        match is_hex(text, 12) {
            true => Ok(Self(text.to_owned())),
            false => Err(BadSession),
        }
    }
}

impl fmt::Display for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a browser shows: 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionText(Secret);

impl SessionText {
    /// From random bits.
    #[must_use]
    pub fn fresh(bits: [u8; 32]) -> Self {
        Self(Secret::new(crate::hex::of(&bits)))
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.expose().as_bytes())
    }

    /// As the browser is given it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose()
    }
}

impl FromStr for SessionText {
    type Err = BadSession;

    fn from_str(text: &str) -> Result<Self, BadSession> {
        match is_hex(text, 64) {
            true => Ok(Self(Secret::new(text))),
            false => Err(BadSession),
        }
    }
}

/// A session as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// SHA-256 of what the browser shows.
    pub id: Digest,
    /// Who signed in.
    pub user: UserName,
    /// From where, over the network.
    #[serde(default)]
    pub from: Option<IpAddr>,
    /// When they signed in.
    pub created: Timestamp,
    /// When it was used last, within [`USED_EVERY`].
    pub used: Timestamp,
}

impl Session {
    /// What people call it.
    #[must_use]
    pub fn name(&self) -> SessionName {
        SessionName(self.id.short())
    }

    /// When it ends if nobody uses it before.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        (self.used + IDLE).min(self.last())
    }

    /// When it ends whoever uses it.
    #[must_use]
    pub fn last(&self) -> Timestamp {
        self.created + LIVES
    }

    /// Whether its time is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.ends()
    }

    /// Whether it is good: in its time, and of somebody who may anything at all.
    #[must_use]
    pub fn stands(&self, view: &View, now: Timestamp) -> bool {
        let user = view.user(&self.user);
        !self.is_over(now) && user.is_some_and(|user| !user.disabled)
    }

    /// Whether it is time to note that it is used.
    #[must_use]
    pub fn is_use_to_note(&self, now: Timestamp) -> bool {
        now >= self.used + USED_EVERY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_shows_reads_back_and_does_not_show_otherwise() {
        let text = SessionText::fresh([9; 32]);
        assert_eq!(text.reveal(), "09".repeat(32));
        assert_eq!(text.reveal().parse(), Ok(text.clone()));
        assert!(!format!("{text:?}").contains("0909"));
        for bad in ["", "09", &"g".repeat(64), &"0A".repeat(32), &"0".repeat(65)] {
            assert_eq!(bad.parse::<SessionText>(), Err(BadSession), "{bad}");
            assert_eq!(bad.parse::<SessionName>(), Err(BadSession), "{bad}");
        }
    }

    #[test]
    fn a_session_ends_unused_after_eight_hours_and_used_after_a_week() {
        let begun: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let hours = |n| begun + jiff::SignedDuration::from_hours(n);
        let mut session = Session {
            id: Digest::of(b"id"),
            user: "ann".parse().unwrap(),
            from: None,
            created: begun,
            used: begun,
        };
        let second = jiff::SignedDuration::from_secs(1);
        assert!(!session.is_over(hours(8) - second));
        assert!(session.is_over(hours(8)));
        session.used = hours(7 * 24 - 1);
        assert!(!session.is_over(hours(7 * 24) - second));
        assert!(session.is_over(hours(7 * 24)));
        assert_eq!(session.name().to_string().parse(), Ok(session.name()));
    }
}
