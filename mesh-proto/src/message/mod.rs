//! What controller and agent say to each other: the JSON protocol of `docs/PROTOCOL.md`.
//!
//! A message is one JSON object with `"v":1` and a `"kind"`; unknown fields are ignored, an unknown major is refused. It
//! travels in a [frame](crate::frame). Enrolment has a protocol of its own ([`enrol`]); everything else runs on a link
//! that both sides proved ([`link`]): whoever asks opens a stream, sends one request and reads replies until the last.

pub mod boot;
pub mod command;
pub mod delegation;
pub mod enrol;
pub mod job;
pub mod link;
pub mod peer;
pub mod ring;
mod secret;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::json;

pub use secret::Secret;

/// The major version this crate speaks.
pub const VERSION: u32 = 1;

/// Why bytes are no message we take.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not JSON, a field that cannot be, or a kind we do not know.
    #[error("a message cannot be read: {0}")]
    Malformed(serde_json::Error),
    /// Another protocol.
    #[error(
        "the other side speaks version {0} of the protocol, this side speaks {VERSION}; bring both to the same release"
    )]
    Version(u32),
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// A message as bytes, version included. `T` is written as an object that has a field at least: its kind.
///
/// # Errors
/// When a value cannot be said in JSON: a mistake in our own types.
pub fn encode<T: Serialize>(body: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(body).map(with_version)
}

/// The version goes in front of the fields as text: a flattened field would have each message compiled for a writer of its own.
fn with_version(mut object: Vec<u8>) -> Vec<u8> {
    debug_assert!(object.starts_with(b"{\""), "a message has fields");
    object.splice(1..1, format!("\"v\":{VERSION},").into_bytes());
    object
}

/// Bytes as a message.
///
/// # Errors
/// When the bytes are not one of `T`'s messages in a version we speak.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, MessageError> {
    // The version first: a message of another major may look like anything.
    let Version { v } = json::from_slice(bytes).map_err(MessageError::Malformed)?;
    if v != VERSION {
        return Err(MessageError::Version(v));
    }
    json::from_slice(bytes).map_err(MessageError::Malformed)
}

/// A no, with a stable word for programs and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// Why, as a program reads it.
    pub code: RefusalCode,
    /// Why, and what to do, for a person.
    pub text: String,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(code: RefusalCode, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

/// The reasons for a no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// The secret, token or code is not right, or was used already.
    BadProof,
    /// The secret or token is out of date.
    Expired,
    /// A secret asked for, or shown, from another address than the one it belongs to.
    WrongAddress,
    /// Another key holds this machine, and its link is alive.
    Disputed,
    /// A person said no.
    RefusedByPerson,
    /// The key was revoked.
    Revoked,
    /// A command for another boot of this machine.
    WrongBoot,
    /// A command this boot has seen already.
    Replayed,
    /// The asker's certificate does not allow this.
    NotAllowed,
    /// The key's trust level is too low for this.
    LevelTooLow,
    /// Too much at once; come back later.
    Busy,
    /// The key runs on another board than it was made for.
    WrongHardware,
    /// This agent cannot do it here.
    Unsupported,
    /// The job was cancelled, or there is no such job for this machine.
    NoJob,
    /// It was tried and went wrong.
    Failed,
    /// A message that made no sense here.
    Protocol,
    /// A reason newer than this program.
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::{link::FromAgent, *};

    #[test]
    fn unknown_fields_are_ignored_and_an_unknown_major_is_refused() {
        let bye = FromAgent::Bye {
            reason: "done".to_owned(),
        };
        assert_eq!(
            encode(&bye).unwrap(),
            br#"{"v":1,"kind":"bye","reason":"done"}"#
        );
        let newer = br#"{"v":1,"kind":"bye","reason":"done","mood":"good"}"#;
        assert_eq!(decode::<FromAgent>(newer).unwrap(), bye);
        let major = decode::<FromAgent>(br#"{"v":2,"kind":"bye","reason":"done"}"#);
        assert!(matches!(major, Err(MessageError::Version(2))), "{major:?}");
        let kind = decode::<FromAgent>(br#"{"v":1,"kind":"exec","line":"rm"}"#);
        assert!(matches!(kind, Err(MessageError::Malformed(_))), "{kind:?}");
    }

    #[test]
    fn a_secret_does_not_show_in_debug() {
        assert_eq!(format!("{:?}", Secret::new("abc")), "Secret(..)");
    }
}
