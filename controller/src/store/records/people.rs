//! Records about people.

use mesh_proto::message::Secret;

use crate::state::{
    Record, Timestamp,
    api_token::{ApiToken, TokenPrefix},
    password::{Cost, Password},
    session::Session,
    trust::Digest,
    user::{Identity, OidcLink, Role, User},
};

/// One of each.
pub(super) fn all(now: Timestamp) -> [Record; 4] {
    [
        Record::User(user(now).into()),
        Record::ApiToken(api_token(now).into()),
        Record::Password(password().into()),
        Record::Session(session(now).into()),
    ]
}

fn api_token(now: Timestamp) -> ApiToken {
    ApiToken {
        prefix: TokenPrefix::from_random(7),
        name: "ci".parse().unwrap(),
        secret_sha256: Digest::of(b"secret"),
        role: Role::Operator,
        labels: Some("pool=web,!spare".parse().unwrap()),
        user: Some("ann".parse().unwrap()),
        by: "local:ann".to_owned(),
        created: now,
        expires: now,
        used: Some(now),
        revoked: None,
    }
}

fn password() -> Password {
    Password {
        user: "ann".parse().unwrap(),
        cost: Cost::OWASP,
        salt: "07".repeat(16),
        hash: Secret::new("ab"),
    }
}

fn session(now: Timestamp) -> Session {
    Session {
        id: Digest::of(b"session"),
        user: "ann".parse().unwrap(),
        from: Some([192, 0, 2, 7].into()),
        created: now,
        used: now,
    }
}

fn user(now: Timestamp) -> User {
    User {
        name: "ann".parse().unwrap(),
        role: Role::Operator,
        disabled: true,
        password_set: Some(now),
        oidc: OidcLink::Bound(Identity {
            issuer: "https://sso.example.org".to_owned(),
            subject: "ann-1".to_owned(),
        }),
        note: Some("of the web team".to_owned()),
        by: "local:root".to_owned(),
        created: now,
    }
}
