//! Join tokens: a person's word, given in advance, that whoever shows it is ours.

use std::{fmt, str::FromStr};

use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};

use super::Digest;
use crate::{
    hex::is_hex,
    state::{Timestamp, machine::MachineId},
};

/// How long a token is good when nobody says otherwise.
pub const TOKEN_LIVES: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// Tokens kept, spent ones included; the one that ended first makes room.
pub const MAX_TOKENS: usize = 1024;

/// A token's name, 8 hex digits; no secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

/// A text that is no join token, or no token's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a join token: `enforcer join-tokens create` prints one")]
pub struct BadToken;

impl TokenId {
    /// A name from random bits.
    #[must_use]
    pub fn from_random(bits: u32) -> Self {
        Self(format!("{bits:08x}"))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenId {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let good = is_hex(text, 8);
        good.then(|| Self(text.to_owned())).ok_or(BadToken)
    }
}

crate::state::name::as_text! { TokenId: BadToken }

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom a token admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "for")]
pub enum TokenScope {
    /// Any machine, also one we never saw.
    Any,
    /// One machine.
    Machine {
        /// Which.
        machine: MachineId,
    },
}

/// A join token as it is kept: not the secret, only its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// Its name.
    pub id: TokenId,
    /// SHA-256 of its secret's text.
    pub secret_sha256: Digest,
    /// Whom it admits.
    pub scope: TokenScope,
    /// Who made it, for people.
    pub by: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// The machine that used it: a token is good once.
    #[serde(default)]
    pub used_by: Option<TokenUse>,
    /// When a person took it back.
    #[serde(default)]
    pub revoked: Option<Timestamp>,
}

/// Who used a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUse {
    /// The machine.
    pub machine: MachineId,
    /// The key that was enrolled by it: asking again with the same key is a retry.
    pub key: Digest,
    /// When.
    pub at: Timestamp,
}

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It can be used.
    Good,
    /// It was used.
    Used,
    /// It is too old.
    Expired,
    /// A person took it back.
    Revoked,
}

impl JoinToken {
    /// Where it stands.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> TokenState {
        if self.revoked.is_some() {
            TokenState::Revoked
        } else if self.used_by.is_some() {
            TokenState::Used
        } else if now >= self.expires {
            TokenState::Expired
        } else {
            TokenState::Good
        }
    }
}

/// A join token's text: `enforcer-<id>-<secret>-<start of the CA's SHA-256>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenText {
    /// Which token.
    pub id: TokenId,
    /// 32 hex digits.
    pub secret: Secret,
    /// The first 32 hex digits of the SHA-256 of the CA's DER, by which the agent knows its controller.
    pub ca: String,
}

impl TokenText {
    /// A token's text from random bits.
    #[must_use]
    pub fn fresh(id: TokenId, bits: u128, ca: &Digest) -> Self {
        Self {
            id,
            secret: Secret::new(format!("{bits:032x}")),
            ca: ca.to_string()[..32].to_owned(),
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
        format!("enforcer-{}-{}-{}", self.id, self.secret.expose(), self.ca)
    }
}

impl FromStr for TokenText {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let mut parts = text.trim().split('-');
        let mut part = || parts.next().ok_or(BadToken);
        let (word, id, secret, ca) = (part()?, part()?, part()?, part()?);
        if word != "enforcer" || !is_hex(secret, 32) || !is_hex(ca, 32) || parts.next().is_some() {
            return Err(BadToken);
        }
        Ok(Self {
            id: id.parse()?,
            secret: Secret::new(secret),
            ca: ca.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_its_secret_does_not_show() {
        let token = TokenText::fresh(TokenId::from_random(7), 9, &Digest::of(b"ca"));
        assert_eq!(token.reveal().parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains(token.secret.expose()));
        let text = token.reveal();
        for bad in [
            "",
            "enforcer-0-0-0",
            &text[1..],
            &text[..text.len() - 1],
            &format!("{text}-x"),
        ] {
            assert_eq!(bad.parse::<TokenText>(), Err(BadToken), "{bad}");
        }
    }
}
