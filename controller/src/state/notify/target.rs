//! Where notifications go: an HTTP address or a mailbox.

use std::{fmt, str::FromStr};

use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};

/// Longest URL, bytes: what servers and proxies take without asking.
const MAX_URL: usize = 2048;
/// Longest mailbox, bytes (RFC 5321 §4.5.3.1.3: a path of 256 with its brackets).
const MAX_MAILBOX: usize = 254;

/// A receiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "to")]
pub enum Target {
    /// A server that is sent a POST.
    Http {
        /// Which.
        url: HttpUrl,
        /// The key of its signatures.
        secret: Secret,
    },
    /// A person who is sent a mail.
    Mail {
        /// Whom.
        address: MailAddress,
    },
}

/// Why a text is no receiver.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// No URL that we ask.
    #[error("'{0}' is no http:// or https:// URL without user and password")]
    Url(String),
    /// No mailbox.
    #[error("'{0}' is no mail address; write it like ops@example.org")]
    Mailbox(String),
}

/// A URL of a server, `http` or `https`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpUrl(String);

crate::state::name::as_text! { HttpUrl: BadTarget }

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HttpUrl {
    type Err = BadTarget;

    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let refused = || BadTarget::Url(text.chars().take(80).collect());
        let uri: http::Uri = text.parse().map_err(|_| refused())?;
        let host = uri
            .authority()
            .filter(|a| !a.as_str().contains('@') && !a.host().is_empty());
        let good = text.len() <= MAX_URL
            && matches!(uri.scheme_str(), Some("http" | "https"))
            && host.is_some();
        good.then(|| Self(text.to_owned())).ok_or_else(refused)
    }
}

impl HttpUrl {
    /// As a request names it.
    #[must_use]
    pub fn uri(&self) -> http::Uri {
        self.0.parse().expect("checked when it was made")
    }
}

/// A mailbox, as the envelope of a mail has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MailAddress(String);

crate::state::name::as_text! { MailAddress: BadTarget }

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MailAddress {
    type Err = BadTarget;

    /// Plain addresses only: no names, quotes or comments, nothing that could end a line of SMTP.
    fn from_str(text: &str) -> Result<Self, BadTarget> {
        let plain = |part: &str, also: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with('.')
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || also.contains(c))
        };
        let (local, domain) = text.rsplit_once('@').unwrap_or_default();
        let good = text.len() <= MAX_MAILBOX
            && local.len() <= 64
            && plain(local, ".!#$%&'*+-/=?^_`{|}~")
            && plain(domain, ".-");
        let refused = || BadTarget::Mailbox(text.chars().take(80).collect());
        good.then(|| Self(text.to_owned())).ok_or_else(refused)
    }
}

impl MailAddress {
    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part behind the `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_servers_can_be_told() {
        for good in [
            "http://10.0.0.1/hook",
            "https://ci.example.org:8443/x?a=b",
            "http://[::1]:9/",
        ] {
            assert!(good.parse::<HttpUrl>().is_ok(), "{good}");
        }
        let long = format!("http://h/{}", "x".repeat(MAX_URL));
        let bad = [
            "",
            "hook",
            "/hook",
            "ftp://h/",
            "file:///etc/passwd",
            "http://u:p@h/",
            "http://h/\r\nX: y",
            &long,
        ];
        for bad in bad {
            assert!(bad.parse::<HttpUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_mailbox_cannot_say_anything_else_to_the_server() {
        for good in ["ops@example.org", "a.b+c@x", "o'neil@example.org"] {
            assert!(good.parse::<MailAddress>().is_ok(), "{good}");
        }
        let bad = [
            "",
            "ops",
            "@x",
            "a@",
            "a b@x",
            "a@x>\r\nRCPT TO:<b@x",
            "\"a\"@x",
            "<a@x>",
            "a@b@c",
            "ä@x",
            ".a@x",
            "a@x.",
        ];
        for bad in bad {
            assert!(bad.parse::<MailAddress>().is_err(), "{bad}");
        }
    }
}
