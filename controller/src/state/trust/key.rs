//! Enrolled keys: one record per certificate, so that each can be pinned, renewed and denied.

use std::fmt;

use mesh_proto::message::enrol::{KeyKind, Level};
use serde::{Deserialize, Serialize};

use super::{Digest, token::TokenId};
use crate::state::{Timestamp, machine::MachineId};

/// How long the certificate of a `boot` key is good: no boot of the management OS lasts longer.
pub const BOOT_KEY_LIVES: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
/// How long the certificate of an `installed` key is good; it renews itself long before, and may do so after.
pub const INSTALLED_KEY_LIVES: jiff::SignedDuration = jiff::SignedDuration::from_hours(90 * 24);

/// A certificate's serial number, lower-case hex digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Serial(String);

impl Serial {
    /// As a certificate spells it, in either case.
    #[must_use]
    pub fn new(hex: &str) -> Self {
        Self(hex.to_ascii_lowercase())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key was taken for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub enum ProvedBy {
    /// The secret in its boot's script.
    BootSecret,
    /// A join token.
    Token {
        /// Which.
        id: TokenId,
    },
    /// A person accepted it.
    Person {
        /// Whether the pairing codes were compared.
        code: bool,
    },
    /// An enrolled key asked for its successor.
    Renewal,
}

impl ProvedBy {
    /// In words, after "taken by".
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Self::BootSecret => "its boot's secret",
            Self::Token { .. } => "a join token",
            Self::Person { code: true } => "a person who compared the pairing code",
            Self::Person { code: false } => "a person",
            Self::Renewal => "renewal",
        }
    }
}

/// Whether a key still counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum KeyState {
    /// It counts.
    Live,
    /// A newer key of this machine took its place; nothing bad is known of it.
    Replaced {
        /// When.
        at: Timestamp,
    },
    /// It must not be believed.
    Revoked {
        /// When.
        at: Timestamp,
        /// Why, for a person.
        reason: String,
    },
}

/// A key that got a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolledKey {
    /// Its certificate's serial.
    pub serial: Serial,
    /// SHA-256 of its SubjectPublicKeyInfo: what is pinned.
    pub key: Digest,
    /// Whose it is.
    pub machine: MachineId,
    /// For one boot, or for an installed OS.
    pub kind: KeyKind,
    /// How well it was proved.
    pub level: Level,
    /// By what.
    pub proved: ProvedBy,
    /// The boot that enrolled it.
    pub boot_id: String,
    /// The pairing code of its enrolment, for a person to compare later; `None` for renewals.
    #[serde(default)]
    pub code: Option<String>,
    /// When its certificate was issued, by the [issuing time](super::stamp).
    pub issued: Timestamp,
    /// When its certificate ends.
    pub expires: Timestamp,
    /// Whether it still counts.
    pub state: KeyState,
}

impl EnrolledKey {
    /// Whether nothing took its place and nobody revoked it. It may have expired.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match self.state {
            KeyState::Live => true,
            KeyState::Replaced { .. } | KeyState::Revoked { .. } => false,
        }
    }

    /// How long certificates of this kind are good.
    #[must_use]
    pub fn life(kind: KeyKind) -> jiff::SignedDuration {
        match kind {
            KeyKind::Boot => BOOT_KEY_LIVES,
            KeyKind::Installed => INSTALLED_KEY_LIVES,
        }
    }
}
