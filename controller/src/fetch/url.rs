//! Where a file comes from: `http://` or `https://`, and nothing else.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use http::Uri;

/// Longest URL that is taken, bytes; servers refuse longer ones.
const MAX_URL: usize = 2048;

/// With or without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// An http or https URL, taken apart and safe to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// With or without TLS.
    pub scheme: Scheme,
    /// A name or an address; IPv6 without its brackets.
    pub host: String,
    /// Port, the scheme's own when none was named.
    pub port: u16,
    path: String,
}

/// Why a text is no URL of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Neither http nor https.
    #[error("'{0}' is neither an http:// nor an https:// URL")]
    Scheme(String),
    /// `user:password@`, which would end up in logs and scripts.
    #[error("a URL with a user name or password in it is not taken")]
    Credentials,
    /// Not a URL at all.
    #[error("'{0}' is not a URL")]
    Syntax(String),
}

impl FromStr for Url {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let shown = || text.chars().filter(|c| !c.is_control()).take(120).collect();
        if text.len() > MAX_URL {
            return Err(BadUrl::Syntax(shown()));
        }
        let scheme = match text.split_once("://") {
            Some((word, _)) if word.eq_ignore_ascii_case("http") => Scheme::Http,
            Some((word, _)) if word.eq_ignore_ascii_case("https") => Scheme::Https,
            _ => return Err(BadUrl::Scheme(shown())),
        };
        let uri: Uri = text.parse().map_err(|_| BadUrl::Syntax(shown()))?;
        let authority = uri.authority().ok_or_else(|| BadUrl::Syntax(shown()))?;
        if authority.as_str().contains('@') {
            return Err(BadUrl::Credentials);
        }
        let host = authority.host().trim_matches(['[', ']']);
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.parse::<Ipv6Addr>().is_err() && (host.is_empty() || !host.chars().all(good)) {
            return Err(BadUrl::Syntax(shown()));
        }
        Ok(Self {
            scheme,
            host: host.to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(scheme.port()),
            path: uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        })
    }
}

impl Url {
    /// Path and query.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `host`, or `host:port` where the port is not the scheme's own.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match self.port == self.scheme.port() {
            true => host,
            false => format!("{host}:{}", self.port),
        }
    }

    /// Where `location` leads that this URL's server answered (RFC 3986 §5.2, without dot segments: a server that sends
    /// them means what it sends).
    ///
    /// # Errors
    /// When it leads to no URL of ours.
    pub fn join(&self, location: &str) -> Result<Self, BadUrl> {
        let start = format!("{}://{}", self.scheme.word(), self.authority());
        let has_scheme = location
            .find([':', '/', '?'])
            .is_some_and(|at| location[at..].starts_with(':'));
        if has_scheme {
            return location.parse();
        }
        if let Some(rest) = location.strip_prefix("//") {
            return format!("{}://{rest}", self.scheme.word()).parse();
        }
        if location.starts_with('/') {
            return format!("{start}{location}").parse();
        }
        let path = self.path.split('?').next().unwrap_or_default();
        let folder = path.rfind('/').map_or("/", |at| &path[..=at]);
        format!("{start}{folder}{location}").parse()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.scheme.word(),
            self.authority(),
            self.path
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_and_https_are_urls() {
        for (text, shown) in [
            ("http://a", "http://a/"),
            ("HTTPS://A.example:443/x?y=1#z", "https://a.example/x?y=1"),
            ("http://10.0.0.1:8080/a%20b", "http://10.0.0.1:8080/a%20b"),
            ("http://[fd00::1]:81/", "http://[fd00::1]:81/"),
        ] {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), shown, "{text}");
        }
        for bad in [
            "file:///etc/shadow",
            "unix:///run/x.sock",
            "ftp://a/b",
            "/etc/passwd",
            "",
            "http://",
            "http:///x",
            "http://a b/",
            "http://a/b\nc",
            "http://u:p@a/",
            "http://a%2fb/",
            "gopher://a",
            "javascript://a",
        ] {
            assert!(bad.parse::<Url>().is_err(), "{bad:?}");
        }
        assert!(
            format!("http://a/{}", "x".repeat(3000))
                .parse::<Url>()
                .is_err()
        );
    }

    #[test]
    fn a_location_leads_where_a_browser_would_go() {
        let from: Url = "http://a:81/b/c?d=/e".parse().unwrap();
        for (location, to) in [
            ("x", "http://a:81/b/x"),
            ("/x/y", "http://a:81/x/y"),
            ("//h/x", "http://h/x"),
            ("https://h/x", "https://h/x"),
            ("x?u=http://y", "http://a:81/b/x?u=http://y"),
        ] {
            assert_eq!(from.join(location).unwrap().to_string(), to, "{location}");
        }
        for bad in ["file:///etc/shadow", "unix:/run/x", "data:,x", "FILE:/x"] {
            assert!(from.join(bad).is_err(), "{bad}");
        }
    }
}
