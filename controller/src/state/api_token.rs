//! API tokens: what a program shows in place of a person.
//!
//! A secret of 256 random bits cannot be guessed, so that its plain SHA-256 is all that need be kept: a slow hash protects what
//! people choose. A token may never more than whose it is, at the moment of each request.

use std::{fmt, str::FromStr};

use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};

use super::{
    Timestamp, View,
    label::Selector,
    name::{BadPlainName, is_plain_name},
    trust::Digest,
    user::{ROOT, Role, UserName},
};
use crate::hex::is_hex;

/// How long a token is good when nobody says otherwise.
pub const TOKEN_LIVES: jiff::SignedDuration = jiff::SignedDuration::from_hours(30 * 24);
/// Longest life of a token: a year and a day, so that what is renewed once a year has no gap.
pub const MAX_TOKEN_LIFE: jiff::SignedDuration = jiff::SignedDuration::from_hours(366 * 24);
/// Tokens kept, those that are over included; the one that ended first makes room.
pub const MAX_TOKENS: usize = 1_024;
/// How exactly it is kept when a token was used last: a commit per request would wear out a Pi's card.
pub const USED_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);
/// What every token begins with: scanners of published code find it by that.
const WORD: &str = "enf";

super::name::names! {
    /// A token's name: 1 to 63 letters, digits, `-`, `_` and `.`.
    TokenName: is_plain_name, BadPlainName;
}

/// A text that is no API token. It does not say the text: that may be a secret of something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no API token; `enforcer tokens create` prints one")]
pub struct BadApiToken;

/// By what a token is found: 48 random bits that are no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TokenPrefix(u64);

impl TokenPrefix {
    /// From random bits.
    #[must_use]
    pub fn from_random(bits: u64) -> Self {
        Self(bits >> 16)
    }

    /// As the store files it.
    #[must_use]
    pub fn to_be_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TokenPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

/// An API token as it is kept: not the secret, only its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// By what it is found.
    pub prefix: TokenPrefix,
    /// What people call it.
    pub name: TokenName,
    /// SHA-256 of its secret's text.
    pub secret_sha256: Digest,
    /// What it may at most.
    pub role: Role,
    /// Whose it is; `None`: the site's, made by whom the host says to be an admin.
    #[serde(default)]
    pub user: Option<UserName>,
    /// Only machines with these labels are within its reach; `None`: all.
    #[serde(default)]
    pub labels: Option<Selector>,
    /// Who made it, as the API names them.
    pub by: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was used last, within [`USED_EVERY`].
    #[serde(default)]
    pub used: Option<Timestamp>,
    /// When a person took it back.
    #[serde(default)]
    pub revoked: Option<Timestamp>,
}

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenStanding {
    /// It can be used.
    Good,
    /// It is too old.
    Expired,
    /// A person took it back.
    Revoked,
    /// Whose it is was disabled, or struck out.
    NoUser,
}

impl ApiToken {
    /// Where it stands.
    #[must_use]
    pub fn standing(&self, view: &View, now: Timestamp) -> TokenStanding {
        let user = self.user.as_ref().map(|name| view.user(name));
        if self.revoked.is_some() {
            TokenStanding::Revoked
        } else if now >= self.expires {
            TokenStanding::Expired
        } else if user.is_some_and(|user| user.is_none_or(|u| u.disabled)) {
            TokenStanding::NoUser
        } else {
            TokenStanding::Good
        }
    }

    /// What it may now: never more than whose it is.
    #[must_use]
    pub fn role(&self, view: &View) -> Role {
        let user = self.user.as_ref().and_then(|name| view.user(name));
        user.map_or(self.role, |user| self.role.min(user.role))
    }

    /// Whose account counts; the site's tokens are root's.
    #[must_use]
    pub fn account(&self) -> &str {
        self.user.as_ref().map_or(ROOT, UserName::as_str)
    }

    /// Whether it is time to note that it is used.
    #[must_use]
    pub fn is_use_to_note(&self, now: Timestamp) -> bool {
        self.used.is_none_or(|used| now >= used + USED_EVERY)
    }
}

/// A token's text: `enf_<prefix>_<secret>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiTokenText {
    /// By what it is found.
    pub prefix: TokenPrefix,
    /// 64 hex digits.
    pub secret: Secret,
}

impl ApiTokenText {
    /// A token's text from random bits.
    #[must_use]
    pub fn fresh(prefix: TokenPrefix, bits: [u8; 32]) -> Self {
        Self {
            prefix,
            secret: Secret::new(crate::hex::of(&bits)),
        }
    }

    /// What is kept of the secret.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.secret.expose().as_bytes())
    }

    /// As a person is given it, once.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{WORD}_{}_{}", self.prefix, self.secret.expose())
    }
}

impl FromStr for ApiTokenText {
    type Err = BadApiToken;

    fn from_str(text: &str) -> Result<Self, BadApiToken> {
        let mut parts = text.split('_');
        let mut part = || parts.next().ok_or(BadApiToken);
        let (word, prefix, secret) = (part()?, part()?, part()?);
        let good = word == WORD && is_hex(prefix, 12) && is_hex(secret, 64);
        if !good || parts.next().is_some() {
            return Err(BadApiToken);
        }
        let prefix = u64::from_str_radix(prefix, 16).map_err(|_| BadApiToken)?;
        Ok(Self {
            prefix: TokenPrefix(prefix),
            secret: Secret::new(secret),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_its_secret_does_not_show() {
        let token = ApiTokenText::fresh(TokenPrefix::from_random(7 << 16), [9; 32]);
        let text = token.reveal();
        assert_eq!(&text[..17], "enf_000000000007_");
        assert_eq!(text.parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains(token.secret.expose()));
        for bad in [
            "",
            "enf_7_9",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}_"),
            &format!("{text} "),
            &text.replace('9', "g"),
            &text.to_uppercase(),
        ] {
            assert_eq!(bad.parse::<ApiTokenText>(), Err(BadApiToken), "{bad}");
        }
    }
}
