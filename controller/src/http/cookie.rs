//! The cookies by which a browser shows its session, and before that where it began to sign in (RFC 6265). They are for this host
//! only, and no script reads them. The session's is for our own pages (`SameSite=Strict`). The other has to come along when the
//! identity provider, another site, sends the browser back (`Lax`): it opens nothing but the end of what this browser began.

use axum::http::{HeaderMap, HeaderValue, header};

use super::sign_in::LASTS;
use crate::state::session::{LIVES, SessionText};

/// What is in a cookie. Its name over TLS is one that browsers take only from a host itself, over TLS, for all of its paths; its
/// name in the clear is for a proxy that does not say that it speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// A session.
    Session,
    /// A sign-in at the identity provider that has begun.
    Begun,
}

impl Cookie {
    /// What a browser shows. One that is none of ours is as good as none: programs of the same host have cookies too.
    pub(crate) fn shown(self, headers: &HeaderMap, secure: bool) -> Option<SessionText> {
        let values = headers.get_all(header::COOKIE).iter();
        let pairs = values.filter_map(|value| value.to_str().ok());
        let mut pairs = pairs.flat_map(|value| value.split(';'));
        let ours = pairs.find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            (name == self.name(secure)).then_some(value)
        });
        ours?.parse().ok()
    }

    /// The header that gives it to a browser.
    pub(crate) fn set(self, text: &SessionText, secure: bool) -> HeaderValue {
        let lives_s = match self {
            Self::Session => LIVES.as_secs(),
            Self::Begun => i64::try_from(LASTS.as_secs()).unwrap_or(i64::MAX),
        };
        self.written(text.reveal(), lives_s, secure)
    }

    /// The header that takes it back.
    pub(crate) fn clear(self, secure: bool) -> HeaderValue {
        self.written("", 0, secure)
    }

    fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Session, true) => "__Host-enforcer-session",
            (Self::Session, false) => "enforcer-session",
            (Self::Begun, true) => "__Host-enforcer-sign-in",
            (Self::Begun, false) => "enforcer-sign-in",
        }
    }

    fn written(self, value: &str, max_age_s: i64, secure: bool) -> HeaderValue {
        let name = self.name(secure);
        let site = match self {
            Self::Session => "Strict",
            Self::Begun => "Lax",
        };
        let tail = if secure { "; Secure" } else { "" };
        let text =
            format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite={site}{tail}");
        let mut value = HeaderValue::from_str(&text).expect("hex digits and our own words");
        value.set_sensitive(true);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_shows_what_it_was_given() {
        let text = SessionText::fresh([7; 32]);
        for secure in [true, false] {
            let given = Cookie::Session.set(&text, secure);
            let given = given.to_str().unwrap();
            let begun = Cookie::Begun.set(&text, secure);
            let begun = begun.to_str().unwrap();
            assert!(
                begun.contains("; Max-Age=600; HttpOnly; SameSite=Lax"),
                "{begun}"
            );
            assert!(given.contains("; HttpOnly; SameSite=Strict"), "{given}");
            assert!(given.contains("; Path=/; Max-Age=604800;"), "{given}");
            assert_eq!(given.ends_with("; Secure"), secure);
            assert_eq!(given.starts_with("__Host-"), secure);
            assert!(!given.contains("Domain"), "{given}");
            let pair = given.split(';').next().unwrap();
            let show = |cookies: &[&str], secure| {
                let cookies = cookies.iter().map(|c| (header::COOKIE, c.parse().unwrap()));
                Cookie::Session.shown(&cookies.collect(), secure)
            };
            assert_eq!(show(&[pair], secure), Some(text.clone()));
            let among = format!("a=b; {pair}; c");
            assert_eq!(show(&["x=y", &among], secure), Some(text.clone()));
            assert_eq!(show(&[pair], !secure), None, "of the other kind");
            let other = begun.split(';').next().unwrap();
            assert_eq!(show(&[other], secure), None, "no session");
            assert_eq!(show(&[&pair[..pair.len() - 1]], secure), None);
            let cleared = Cookie::Session.clear(secure);
            assert!(cleared.to_str().unwrap().contains("=; Path=/; Max-Age=0;"));
        }
    }
}
