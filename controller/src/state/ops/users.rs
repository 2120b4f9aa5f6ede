//! People are written down and struck out; what has an owner is changed by them.

use super::{api_tokens::end_tokens_of, sessions::end_sessions_of};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    event::Draft,
    image::ImageName,
    user::{Asker, MAX_NOTE, MAX_USERS, OidcLink, ROOT, Role, User, UserName},
};

/// Why a person cannot be written down or struck out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// Nobody of this name is written down.
    #[error("no user is called '{0}'; `enforcer users list` shows the known ones")]
    NotFound(UserName),
    /// Somebody is.
    #[error("there is a user '{0}' already; `enforcer users set` changes what they may")]
    Taken(UserName),
    /// Their role cannot be taken from them here.
    #[error("'{0}' is an admin by the host's word and stays one")]
    Root(UserName),
    /// Too many.
    #[error("there are {MAX_USERS} users; delete some first")]
    Full,
}

/// An admin writes a person down.
#[derive(Debug, Clone)]
pub struct CreateUser {
    /// Their name.
    pub name: UserName,
    /// What they may.
    pub role: Role,
    /// Who signs in at the identity provider by their name first is them.
    pub oidc: bool,
    /// Words about them.
    pub note: Option<String>,
    /// Who says so, as the API names them.
    pub by: String,
}

impl Transition for CreateUser {
    type Outcome = Result<User, UserError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        if let Err(error) = may_be_made(view, &self.name) {
            return (changes, Err(error));
        }
        let user = User {
            name: self.name.clone(),
            role: self.role,
            disabled: false,
            password_set: None,
            oidc: match self.oidc {
                true => OidcLink::Awaited,
                false => OidcLink::None,
            },
            note: self.note.as_deref().map(bounded),
            by: self.by.clone(),
            created: now,
        };
        let text = told(&user);
        changes.event(about("user.created", &user.name, text));
        changes.write(user.clone());
        (changes, Ok(user))
    }
}

/// Whether somebody of this name may be written down.
pub(super) fn may_be_made(view: &View, name: &UserName) -> Result<(), UserError> {
    if name.as_str() == ROOT {
        return Err(UserError::Root(name.clone()));
    }
    if view.user(name).is_some() {
        return Err(UserError::Taken(name.clone()));
    }
    match view.users().count() < MAX_USERS {
        true => Ok(()),
        false => Err(UserError::Full),
    }
}

/// An admin changes what a person may.
#[derive(Debug, Clone)]
pub struct SetUser {
    /// Who.
    pub name: UserName,
    /// What they may; `None` keeps.
    pub role: Option<Role>,
    /// Whether they are shut out; `None` keeps.
    pub disabled: Option<bool>,
    /// Whether who signs in at the identity provider by their name first is them, or nobody is any more; `None` keeps.
    pub oidc: Option<bool>,
    /// Words about them; `None` keeps.
    pub note: Option<String>,
    /// Who says so, as the API names them.
    pub by: String,
}

impl Transition for SetUser {
    type Outcome = Result<User, UserError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(known) = view.user(&self.name) else {
            return (changes, Err(UserError::NotFound(self.name.clone())));
        };
        let mut user = User::clone(known);
        user.role = self.role.unwrap_or(user.role);
        user.disabled = self.disabled.unwrap_or(user.disabled);
        user.note = self.note.as_deref().map(bounded).or(user.note);
        user.oidc = match (self.oidc, user.oidc) {
            (Some(true), OidcLink::None) => OidcLink::Awaited,
            (Some(false), _) => OidcLink::None,
            (Some(true) | None, kept) => kept,
        };
        if user != **known {
            let text = told(&user);
            changes.event(about("user.changed", &user.name, text));
            changes.write(user.clone());
            let let_go = user.oidc != known.oidc && user.oidc == OidcLink::None;
            if user.disabled || let_go {
                end_sessions_of(view, &user.name, &mut changes);
            }
        }
        (changes, Ok(user))
    }
}

/// An admin strikes a person out. They are again what the host says; what they own stays theirs; their tokens, their password
/// and their sessions are gone.
#[derive(Debug, Clone)]
pub struct DeleteUser {
    /// Who.
    pub name: UserName,
    /// Who says so, as the API names them.
    pub by: String,
}

impl Transition for DeleteUser {
    type Outcome = Result<(), UserError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        if view.user(&self.name).is_none() {
            return (changes, Err(UserError::NotFound(self.name.clone())));
        }
        let text = format!("{} deleted the user {}", self.by, self.name);
        changes.event(about("user.deleted", &self.name, text));
        changes.write(Key::User(self.name.clone()));
        changes.write(Key::Password(self.name.clone()));
        end_tokens_of(view, &self.name, &mut changes);
        end_sessions_of(view, &self.name, &mut changes);
        (changes, Ok(()))
    }
}

pub(super) fn told(user: &User) -> String {
    if user.disabled {
        return format!("{} is disabled: they may nothing from now on", user.name);
    }
    let article = match user.role {
        Role::Operator | Role::Admin => "an",
        Role::Viewer => "a",
    };
    format!(
        "{} is {article} {} from now on",
        user.name,
        user.role.name()
    )
}

pub(super) fn about(kind: &str, name: &UserName, text: String) -> Draft {
    Draft::new(kind, text).field("user", name.to_string())
}

/// A person's words, cut and cleaned.
fn bounded(text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(MAX_NOTE).collect()
}

/// It is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} belongs to {owner}; ask them, or an admin")]
pub struct NotYours {
    /// What.
    pub what: String,
    /// Whose.
    pub owner: UserName,
}

/// Whether an image is theirs to change; one that is not there is.
///
/// # Errors
/// With whose it is.
pub fn may_change_image(view: &View, name: &ImageName, asker: &Asker) -> Result<(), NotYours> {
    let owner = view.image(name).and_then(|image| image.owner.as_ref());
    match owner {
        Some(owner) if !asker.may_change(Some(owner)) => Err(NotYours {
            what: name.to_string(),
            owner: owner.clone(),
        }),
        Some(_) | None => Ok(()),
    }
}

/// What somebody asks for that only the image's owner may, where it has one.
#[derive(Debug, Clone)]
pub struct OnImage<T> {
    /// Which image it is about.
    pub image: ImageName,
    /// Who asks.
    pub asker: Asker,
    /// What they ask for.
    pub wants: T,
}

impl<T: Transition> Transition for OnImage<T> {
    type Outcome = Result<T::Outcome, NotYours>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        if let Err(refused) = may_change_image(view, &self.image, &self.asker) {
            return (Changes::none(), Err(refused));
        }
        let (changes, outcome) = self.wants.run(view, now);
        (changes, Ok(outcome))
    }
}
