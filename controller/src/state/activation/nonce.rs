//! The name of one activation, or of one deployment, in URLs: who knows it may fetch the machine's files.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::state::trust::Digest;

/// 128 random bits that name one activation in URLs, as 32 lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce(String);

/// A text that is no nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a nonce: 32 lower-case hex digits")]
pub struct BadNonce;

impl Nonce {
    /// A nonce from random bits.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }

    /// A nonce that follows from this one, for `what`: nobody can tell it who does not know this one.
    #[must_use]
    pub fn derived(&self, what: &str) -> Self {
        let digest = Digest::of(format!("{what} of {self}").as_bytes());
        let (half, _) = digest.0.split_first_chunk().expect("32 bytes have 16");
        Self::from_random(u128::from_be_bytes(*half))
    }
}

impl FromStr for Nonce {
    type Err = BadNonce;

    fn from_str(text: &str) -> Result<Self, BadNonce> {
        let hex = text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() == 32 && hex {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadNonce)
        }
    }
}

crate::state::name::as_text! { Nonce: BadNonce }

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Nonce {
    /// Only its start: a nonce in a log would let its reader fetch the machine's files.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", &self.0[..6])
    }
}
