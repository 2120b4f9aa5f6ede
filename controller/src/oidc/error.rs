//! Why the provider did not say who somebody is.

use std::path::PathBuf;

use super::{keys::NoKeys, metadata::MetadataError, token::TokenError};

/// See the module. Sentences for people; no secret is in them, and of the provider's words only its error code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// A file of ours.
    #[error("{} cannot be read ({why}); correct `oidc.client_secret_file` or `oidc.ca_file`, or the file's rights", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// As the system says.
        why: String,
    },
    /// No answer.
    #[error("the provider was asked for {what}: {why}")]
    Asked {
        /// What it was asked for.
        what: &'static str,
        /// What came in place of an answer.
        why: String,
    },
    /// It says that the code is not good, or that we are not who we are.
    #[error("the provider does not take the code: it says '{0}'")]
    Refused(String),
    /// It cannot be used.
    #[error("the provider cannot be used: {0}")]
    Metadata(#[from] MetadataError),
    /// Its keys cannot be used.
    #[error("the provider cannot be used: {0}")]
    Keys(#[from] NoKeys),
    /// The answer has no ID token.
    #[error(
        "the provider's answer has no ID token; is `openid` among `oidc.scopes`, and is the client one of OpenID Connect there?"
    )]
    NoToken,
    /// Its ID token does not hold.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The browser comes from another provider.
    #[error("another provider than `oidc.issuer` sent the browser back")]
    OtherIssuer,
    /// The two answers are about two people.
    #[error("the provider's ID token and its userinfo are about different people")]
    OtherPerson,
    /// Too many at once.
    #[error("too many people sign in at once; try again in a moment")]
    Busy,
    /// All of it took too long.
    #[error("the provider did not answer in time; try again in a moment")]
    Late,
}

impl OidcError {
    /// What the provider said does not hold; else it did not answer as it should.
    #[must_use]
    pub fn is_untrue(&self) -> bool {
        match self {
            Self::Token(_) | Self::OtherIssuer | Self::OtherPerson => true,
            Self::File { .. }
            | Self::Asked { .. }
            | Self::Refused(_)
            | Self::Metadata(_)
            | Self::Keys(_)
            | Self::NoToken
            | Self::Busy
            | Self::Late => false,
        }
    }
}
