//! Why a link ended, and why a call got no answer.

use mesh_proto::message::Refusal;
use quinn::{ConnectionError, VarInt};

/// The application's word in QUIC's CONNECTION_CLOSE; the reason phrase beside it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// Done; nothing is wrong.
    Done,
    /// This side stops; come back later.
    Stopping,
    /// Frames or messages that make no sense.
    Protocol,
    /// The protocol that was negotiated needs a certificate, or one of another role.
    NoCertificate,
    /// The key is revoked.
    Revoked,
    /// The hello or the enrolment was refused.
    Refused,
    /// A newer link of the same node took over.
    Superseded,
    /// Too many, or too often; come back later.
    Busy,
    /// A time limit passed.
    TooSlow,
    /// A code newer than this program.
    Other(u32),
}

impl CloseCode {
    const KNOWN: [(Self, u32); 9] = [
        (Self::Done, 0),
        (Self::Stopping, 1),
        (Self::Protocol, 2),
        (Self::NoCertificate, 3),
        (Self::Revoked, 4),
        (Self::Refused, 5),
        (Self::Superseded, 6),
        (Self::Busy, 7),
        (Self::TooSlow, 8),
    ];

    pub(crate) fn to_wire(self) -> VarInt {
        if let Self::Other(code) = self {
            return code.into();
        }
        let known = Self::KNOWN.iter().find(|(code, _)| *code == self);
        known.map_or(0, |(_, number)| *number).into()
    }

    pub(crate) fn from_wire(code: VarInt) -> Self {
        let known = Self::KNOWN
            .iter()
            .find(|(_, number)| u64::from(*number) == code.into_inner());
        known.map_or_else(
            || Self::Other(u32::try_from(code.into_inner()).unwrap_or(u32::MAX)),
            |(code, _)| *code,
        )
    }
}

/// How a link ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkEnd {
    /// The other side closed it and said why.
    #[error("the other side closed the link: {reason}")]
    ByPeer {
        /// For programs.
        code: CloseCode,
        /// For people.
        reason: String,
    },
    /// This side closed it.
    #[error("this side closed the link")]
    ByUs,
    /// Nothing came for 8.25 s and longer, between sites 20 s.
    #[error("the other side fell silent")]
    Silent,
    /// The other side's host lives, but knows no such link: it restarted.
    #[error("the other side has restarted")]
    Reset,
    /// This side refused what the other showed in TLS.
    #[error("this side refused the other's certificate: {0}")]
    WeRefused(String),
    /// The other side refused in TLS. To a client a refused certificate looks so, right after a handshake that seemed to
    /// succeed.
    #[error("the other side refused in TLS: {0}")]
    TheyRefused(String),
    /// Anything else QUIC reports.
    #[error("the link broke: {0}")]
    Broken(String),
}

impl From<ConnectionError> for LinkEnd {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => Self::ByPeer {
                code: CloseCode::from_wire(close.error_code),
                reason: String::from_utf8_lossy(&close.reason).into_owned(),
            },
            ConnectionError::LocallyClosed => Self::ByUs,
            ConnectionError::TimedOut => Self::Silent,
            ConnectionError::Reset => Self::Reset,
            ConnectionError::TransportError(error) if is_crypto(error.code) => {
                Self::WeRefused(error.reason)
            }
            ConnectionError::ConnectionClosed(close) if is_crypto(close.error_code) => {
                Self::TheyRefused(String::from_utf8_lossy(&close.reason).into_owned())
            }
            error @ (ConnectionError::VersionMismatch
            | ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::CidsExhausted) => Self::Broken(error.to_string()),
        }
    }
}

/// TLS alerts travel as QUIC errors 0x100 to 0x1ff (RFC 9001 §4.8).
fn is_crypto(code: quinn::TransportErrorCode) -> bool {
    (0x100..0x200).contains(&u64::from(code))
}

/// Why a call got no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The link is gone.
    #[error(transparent)]
    Link(#[from] LinkEnd),
    /// No answer within the time the caller gave. Whether the other side acted on it is unknown.
    #[error("no answer in time")]
    TimedOut,
    /// The other side dropped the request without an answer.
    #[error("the other side dropped the request")]
    Dropped,
    /// Bytes that are no message of ours.
    #[error("the answer makes no sense: {0}")]
    Protocol(String),
    /// It said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}
