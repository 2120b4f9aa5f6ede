//! The cookie by which a browser shows its session (RFC 6265). It is for this host and its own pages only, and no script reads it.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::state::session::{LIVES, SessionText};

/// Its name over TLS: browsers take this prefix only from a host itself, over TLS, for all of its paths.
const SECURE: &str = "__Host-enforcer-session";
/// Its name in the clear, behind a proxy that does not say that it speaks TLS.
const PLAIN: &str = "enforcer-session";

/// What a browser shows. One that is none of ours is as good as none: programs of the same host have cookies too.
pub(super) fn shown(headers: &HeaderMap, secure: bool) -> Option<SessionText> {
    let values = headers.get_all(header::COOKIE).iter();
    let pairs = values.filter_map(|value| value.to_str().ok());
    let mut pairs = pairs.flat_map(|value| value.split(';'));
    let ours = pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == self::name(secure)).then_some(value)
    });
    ours?.parse().ok()
}

/// The header that gives a browser its session.
pub(super) fn set(text: &SessionText, secure: bool) -> HeaderValue {
    written(text.reveal(), LIVES.as_secs(), secure)
}

/// The header that takes it back.
pub(super) fn clear(secure: bool) -> HeaderValue {
    written("", 0, secure)
}

fn name(secure: bool) -> &'static str {
    if secure { SECURE } else { PLAIN }
}

fn written(value: &str, max_age_s: i64, secure: bool) -> HeaderValue {
    let name = name(secure);
    let tail = if secure { "; Secure" } else { "" };
    let text =
        format!("{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{tail}");
    let mut value = HeaderValue::from_str(&text).expect("hex digits and our own words");
    value.set_sensitive(true);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_shows_what_it_was_given() {
        let text = SessionText::fresh([7; 32]);
        for secure in [true, false] {
            let given = set(&text, secure);
            let given = given.to_str().unwrap();
            assert!(given.contains("; HttpOnly; SameSite=Strict"), "{given}");
            assert!(given.contains("; Path=/; Max-Age=604800;"), "{given}");
            assert_eq!(given.ends_with("; Secure"), secure);
            assert_eq!(given.starts_with("__Host-"), secure);
            assert!(!given.contains("Domain"), "{given}");
            let pair = given.split(';').next().unwrap();
            let show = |cookies: &[&str], secure| {
                let cookies = cookies.iter().map(|c| (header::COOKIE, c.parse().unwrap()));
                shown(&cookies.collect(), secure)
            };
            assert_eq!(show(&[pair], secure), Some(text.clone()));
            let among = format!("a=b; {pair}; c");
            assert_eq!(show(&["x=y", &among], secure), Some(text.clone()));
            assert_eq!(show(&[pair], !secure), None, "of the other kind");
            assert_eq!(show(&[&pair[..pair.len() - 1]], secure), None);
            let cleared = clear(secure);
            assert!(cleared.to_str().unwrap().contains("=; Path=/; Max-Age=0;"));
        }
    }
}
