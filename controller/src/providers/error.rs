//! Why a provider could not be asked.

use std::{io, path::PathBuf, time::Duration};

use super::serf::Garbled;
use crate::{client::ClientError, store::StoreError};

/// What went wrong with a provider; words after "does not answer:".
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// Nobody there.
    #[error("{at} cannot be reached ({source})")]
    Connect {
        /// `host:port`.
        at: String,
        /// As the system says.
        source: io::Error,
    },
    /// It ended the conversation.
    #[error("it closed the connection")]
    Closed,
    /// The conversation broke.
    #[error("the connection broke ({0})")]
    Broken(io::Error),
    /// Too slow.
    #[error("it did not answer within {} s", .0.as_secs())]
    Late(Duration),
    /// Not what it should be.
    #[error(transparent)]
    Garbled(#[from] Garbled),
    /// It would not.
    #[error("it refused {0}: {1}")]
    Refused(&'static str, String),
    /// Our key for it.
    #[error("its secret cannot be read from {} ({source})", path.display())]
    Secret {
        /// Which file.
        path: PathBuf,
        /// As the system says.
        source: io::Error,
    },
    /// Consul's HTTP.
    #[error(transparent)]
    Http(#[from] ClientError),
    /// The CA file.
    #[error("{} holds no CA certificate", .0.display())]
    NoCa(PathBuf),
    /// Ours.
    #[error("what it told could not be written down ({0})")]
    Store(#[from] StoreError),
}

impl ProviderError {
    /// The label of the counter.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Connect { .. } => "unreachable",
            Self::Closed | Self::Broken(_) => "closed",
            Self::Late(_) | Self::Http(ClientError::Late(_)) => "late",
            Self::Garbled(Garbled::TooLong) | Self::Http(ClientError::TooLarge(_)) => "too-long",
            Self::Garbled(Garbled::NotSerf | Garbled::NotConsul) => "garbled",
            Self::Refused(..) => "refused",
            Self::Secret { .. } | Self::NoCa(_) => "secret",
            Self::Http(ClientError::Http(_)) => "closed",
            Self::Http(_) => "unreachable",
            Self::Store(_) => "store",
        }
    }
}
