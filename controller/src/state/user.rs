//! People: who they are to Enforcer, what they may, and who asks for something.

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// People one site may have: they are all in memory.
pub const MAX_USERS: usize = 4_096;
/// The account that is an admin whatever is written down.
pub const ROOT: &str = "root";
/// Longest note, characters.
pub const MAX_NOTE: usize = 500;

/// Why a text names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no user's name; use 1 to 63 letters, digits, '-', '_', '.' and '@'")]
pub struct BadUser(pub String);

super::name::names! {
    /// A person's name: that of their account on the controller's host, or, where the host knows none, its number.
    UserName: is_user_name, BadUser;
}

fn is_user_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
    (1..=63).contains(&text.len()) && text.chars().all(plain)
}

impl UserName {
    /// Whether a caller, as the API names them (`local:ann`), is this person.
    #[must_use]
    pub fn is(&self, caller: &str) -> bool {
        account(caller) == self.0
    }
}

/// The account of a caller, as the API names them: what is behind the way they came.
#[must_use]
pub fn account(caller: &str) -> &str {
    caller.split_once(':').map_or(caller, |(_, name)| name)
}

/// What a person may do; each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    Viewer,
    /// Make machines boot things.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// A person that an admin wrote down. Whoever is not written down is what the transport says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Their name.
    pub name: UserName,
    /// What they may.
    pub role: Role,
    /// An admin shut them out: they may nothing, whatever their group says, and their tokens neither.
    #[serde(default)]
    pub disabled: bool,
    /// When their password was set; `None`: they have none, and cannot sign in.
    #[serde(default)]
    pub password_set: Option<Timestamp>,
    /// Whether they sign in at the identity provider (OpenID Connect).
    #[serde(default)]
    pub oidc: OidcLink,
    /// Words about them.
    #[serde(default)]
    pub note: Option<String>,
    /// Who wrote them down.
    pub by: String,
    /// When.
    pub created: Timestamp,
}

/// Who somebody is at an identity provider. Names and addresses change there, and are given to others; this is not
/// (OpenID Connect Core §5.7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Which provider, as it names itself.
    pub issuer: String,
    /// What it calls them (`sub`).
    pub subject: String,
}

/// Who signs in as a person at the identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OidcLink {
    /// Nobody.
    #[default]
    None,
    /// Whoever signs in there by their name first: an admin said so.
    Awaited,
    /// This one.
    Bound(Identity),
}

/// Who asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// As the API names them.
    pub caller: String,
    /// They may do what is otherwise the owner's.
    pub admin: bool,
}

impl Asker {
    /// Whether something of this owner is theirs to change. What is nobody's is everybody's.
    #[must_use]
    pub fn may_change(&self, owner: Option<&UserName>) -> bool {
        self.admin || owner.is_none_or(|owner| owner.is(&self.caller))
    }

    /// Their name, where it can be one.
    #[must_use]
    pub fn user(&self) -> Option<UserName> {
        account(&self.caller).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_known_by_the_account_behind_the_way_they_came() {
        let ann: UserName = "ann".parse().unwrap();
        for (caller, is) in [
            ("local:ann", true),
            ("ann", true),
            ("local:annabel", false),
            ("local:x:ann", false),
            ("ann:bob", false),
        ] {
            assert_eq!(ann.is(caller), is, "{caller}");
        }
        for name in ["", "a b", "a:b", "a\n", &"x".repeat(64)] {
            assert!(name.parse::<UserName>().is_err(), "{name:?}");
        }
        for name in ["1000", "_svc", "ann@example.org"] {
            assert!(name.parse::<UserName>().is_ok(), "{name:?}");
        }
    }

    #[test]
    fn what_has_an_owner_is_changed_by_them_and_by_admins() {
        let ann: UserName = "ann".parse().unwrap();
        for (caller, admin, theirs) in [
            ("local:ann", false, true),
            ("local:bob", false, false),
            ("local:root", true, true),
        ] {
            let asker = Asker {
                caller: caller.to_owned(),
                admin,
            };
            assert_eq!(asker.may_change(Some(&ann)), theirs, "{caller}");
            assert!(asker.may_change(None), "{caller}");
        }
    }
}
