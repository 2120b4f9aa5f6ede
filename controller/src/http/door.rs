//! How a request came: from where, whether over TLS, and whether a page of our own made it.
//!
//! A browser shows a cookie by itself, also when a page of somebody else made it ask. `SameSite=Strict` keeps that to pages of
//! the same site, which are not all ours; so what changes something with a cookie has to come from a page of this very origin
//! (OWASP, Cross-Site Request Forgery Prevention Cheat Sheet: Fetch Metadata, then the origin, then a header of one's own).

use std::{convert::Infallible, net::IpAddr};

use axum::{
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, header, request::Parts},
};

use super::{
    error::{Code, Problem},
    network::{Remote, Secure},
};

/// What browsers say about who made them ask (W3C Fetch Metadata §2.3). No page can write it.
const FETCH_SITE: &str = "sec-fetch-site";
/// A header that pages of other origins cannot send without asking first, and nobody lets them.
const OWN_HEADER: &str = "x-requested-with";

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    /// From where, over the network.
    pub(crate) from: Option<IpAddr>,
    /// Over TLS, up to us or to the proxy before us.
    pub(crate) secure: bool,
    maker: Maker,
}

/// Who made the browser ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Maker {
    /// A page of our own.
    Own,
    /// A program that sends the header of its own.
    Program,
    /// Somebody else.
    Other,
    /// Nobody says: no browser of today, or none at all.
    Unsaid,
}

impl<S: Send + Sync> FromRequestParts<S> for Door {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.extensions, &parts.headers))
    }
}

impl Door {
    pub(super) fn of(seen: &Extensions, headers: &HeaderMap) -> Self {
        let secure = seen.get::<Secure>().is_some_and(|Secure(secure)| *secure);
        Self {
            from: seen.get::<Remote>().map(|Remote(ip)| *ip),
            secure,
            maker: Maker::of(headers, secure),
        }
    }

    /// Whether a change may be made with a cookie.
    ///
    /// # Errors
    /// When somebody else's page may have made it.
    pub(super) fn may_change(&self) -> Result<(), Problem> {
        match self.maker {
            Maker::Own | Maker::Program => Ok(()),
            Maker::Other => Err(foreign()),
            Maker::Unsaid => Err(Problem::new(
                Code::CrossOrigin,
                "a change with a cookie has to say who makes it: programs send the header X-Requested-With, or a token in place of the cookie",
            )),
        }
    }

    /// Whether somebody may sign in: nobody is signed in by a page of somebody else, as somebody else.
    ///
    /// # Errors
    /// When a page of somebody else asks.
    pub(crate) fn may_sign_in(&self) -> Result<(), Problem> {
        match self.maker {
            Maker::Own | Maker::Program | Maker::Unsaid => Ok(()),
            Maker::Other => Err(foreign()),
        }
    }
}

fn foreign() -> Problem {
    Problem::new(
        Code::CrossOrigin,
        "a page of another origin made this request; sign in on the controller's own page, or use a token. A proxy before the controller has to pass on Host",
    )
}

impl Maker {
    fn of(headers: &HeaderMap, secure: bool) -> Self {
        if let Some(site) = headers.get(FETCH_SITE) {
            return match site.as_bytes() {
                b"same-origin" => Self::Own,
                _ => Self::Other,
            };
        }
        match headers.get(header::ORIGIN) {
            Some(origin) if is_own(origin.to_str().ok(), headers, secure) => Self::Own,
            Some(_) => Self::Other,
            None if headers.contains_key(OWN_HEADER) => Self::Program,
            None => Self::Unsaid,
        }
    }
}

/// Whether an origin is that of the host that is asked. Behind a proxy that does not say so, nobody knows which scheme it speaks.
fn is_own(origin: Option<&str>, headers: &HeaderMap, secure: bool) -> bool {
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    let (Some((scheme, authority)), Some(host)) = (origin.and_then(|o| o.split_once("://")), host)
    else {
        return false;
    };
    (scheme == "https" || !secure) && authority.eq_ignore_ascii_case(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The headers; may something be changed; may somebody sign in.
    type Row<'a> = (&'a [(&'static str, &'a str)], bool, bool);

    fn door(headers: &[(&'static str, &str)], secure: bool) -> Door {
        let headers = headers.iter();
        let headers = headers.map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap()));
        let mut seen = Extensions::new();
        seen.insert(Secure(secure));
        let headers: Vec<(header::HeaderName, header::HeaderValue)> = headers.collect();
        Door::of(&seen, &headers.into_iter().collect())
    }

    #[test]
    fn only_our_own_pages_change_something_with_a_cookie() {
        const HOST: (&str, &str) = ("host", "boot.lab:4843");
        let own = ("origin", "https://boot.lab:4843");
        let rows: &[Row<'_>] = &[
            (&[HOST, own], true, true),
            (&[HOST, ("origin", "https://BOOT.lab:4843")], true, true),
            (&[HOST, ("origin", "http://boot.lab:4843")], false, false),
            (&[HOST, ("origin", "https://boot.lab")], false, false),
            (&[HOST, ("origin", "https://evil.lab:4843")], false, false),
            (&[HOST, ("origin", "null")], false, false),
            (&[own], false, false),
            (&[HOST, own, (FETCH_SITE, "same-origin")], true, true),
            // Behind a proxy that asks us by another name.
            (
                &[("host", "127.0.0.1:1"), own, (FETCH_SITE, "same-origin")],
                true,
                true,
            ),
            (&[HOST, own, (FETCH_SITE, "same-site")], false, false),
            (&[HOST, own, (FETCH_SITE, "cross-site")], false, false),
            (&[HOST, own, (FETCH_SITE, "none")], false, false),
            (&[HOST], false, true),
            (&[HOST, (OWN_HEADER, "enforcer")], true, true),
            (&[HOST, ("origin", "null"), (OWN_HEADER, "x")], false, false),
        ];
        for (headers, change, sign_in) in rows {
            let door = door(headers, true);
            assert_eq!(door.may_change().is_ok(), *change, "{headers:?}");
            assert_eq!(door.may_sign_in().is_ok(), *sign_in, "{headers:?}");
        }
    }

    #[test]
    fn in_the_clear_nobody_knows_the_scheme_of_the_proxy() {
        for scheme in ["http", "https"] {
            let origin = format!("{scheme}://boot.lab");
            let door = door(&[("host", "boot.lab"), ("origin", &origin)], false);
            assert!(door.may_change().is_ok(), "{scheme}");
        }
    }
}
