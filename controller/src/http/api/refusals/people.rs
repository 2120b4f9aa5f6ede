//! What is refused to people, and to what they show.

use crate::{
    http::error::{Code, Problem},
    oidc::OidcError,
    state::{
        ops::{ApiTokenError, IdentityError, NotYours, PasswordError, SessionError, UserError},
        password::BadPassword,
    },
};

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        let code = match error {
            UserError::NotFound(_) => Code::UserNotFound,
            UserError::Taken(_) => Code::NameTaken,
            UserError::Root(_) => Code::BadValue,
            UserError::Full => Code::UsersFull,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ApiTokenError> for Problem {
    fn from(error: ApiTokenError) -> Self {
        let code = match error {
            ApiTokenError::NotFound(_) => Code::TokenNotFound,
            ApiTokenError::Taken(_) => Code::NameTaken,
            ApiTokenError::NoUser(_) => Code::UserNotFound,
            ApiTokenError::ByToken
            | ApiTokenError::ForOther
            | ApiTokenError::Disabled(_)
            | ApiTokenError::Role { .. } => Code::TokenRefused,
            ApiTokenError::Life => Code::BadValue,
            ApiTokenError::Full => Code::TokensFull,
        };
        Self::new(code, error.to_string())
    }
}

impl From<NotYours> for Problem {
    fn from(refused: NotYours) -> Self {
        Self::new(Code::NotYours, refused.to_string())
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::User(error) => error.into(),
            PasswordError::ByToken | PasswordError::ForOther | PasswordError::Present => {
                Self::new(Code::PasswordRefused, error.to_string())
            }
        }
    }
}

impl From<BadPassword> for Problem {
    fn from(error: BadPassword) -> Self {
        Self::new(Code::BadValue, error.to_string())
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        let code = match error {
            SessionError::NotFound(_) => Code::SessionNotFound,
            SessionError::Changed => Code::SignInRefused,
        };
        Self::new(code, error.to_string())
    }
}

impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        let code = match error {
            IdentityError::NoRole | IdentityError::Disabled(_) | IdentityError::Unknown(_) => {
                Code::OidcNoAccess
            }
            IdentityError::NoName
            | IdentityError::NotLinked(_)
            | IdentityError::InUse(..)
            | IdentityError::Other(_) => Code::OidcName,
            IdentityError::User(UserError::Full) => Code::UsersFull,
            IdentityError::User(_) => Code::OidcName,
        };
        Self::new(code, error.to_string())
    }
}

impl From<OidcError> for Problem {
    fn from(error: OidcError) -> Self {
        let code = match &error {
            OidcError::Busy => Code::TooManyRequests,
            error if error.is_untrue() => Code::OidcUntrue,
            _ => Code::OidcAway,
        };
        Self::new(code, error.to_string())
    }
}
