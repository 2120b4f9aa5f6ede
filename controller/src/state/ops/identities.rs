//! People sign in at the identity provider: who they are here is found, made or refused.

use std::sync::Arc;

use super::{
    sessions::NewSession,
    users::{UserError, about, may_be_made, told},
};
use crate::state::{
    Changes, Timestamp, Transition, View,
    session::Session,
    user::{Identity, OidcLink, Role, User, UserName},
};

/// Who makes the people that come from the provider.
const BY: &str = "oidc";

/// Why who signed in at the provider is not let in here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The configuration gives them nothing.
    #[error(
        "you are known to the provider and have no role here; an admin gives one by a group or another claim: `[[oidc.roles]]`"
    )]
    NoRole,
    /// No name that can be one here.
    #[error(
        "the provider says no name that can be one here; an admin can choose another claim with `oidc.name_claim`, or have it sent along: `oidc.scopes`"
    )]
    NoName,
    /// Shut out.
    #[error("{0} is disabled here; an admin can run `enforcer users set {0} --enable`")]
    Disabled(UserName),
    /// Not known, and nobody is made by signing in.
    #[error(
        "{0} is not known here; an admin can run `enforcer users create {0} --role viewer --oidc`"
    )]
    Unknown(UserName),
    /// The name is that of somebody who comes another way.
    #[error(
        "{0} is somebody here who does not sign in at the provider; if that is you, an admin can run `enforcer users set {0} --oidc`"
    )]
    NotLinked(UserName),
    /// The name is that of an account of the controller's host, or owns something here.
    #[error(
        "{0} is also the name of {1}; if that is you, an admin can run `enforcer users create {0} --role viewer --oidc`"
    )]
    InUse(UserName, &'static str),
    /// Somebody else at the provider has the name here.
    #[error(
        "another account of the provider is {0} here; ask an admin, who can let go of it with `enforcer users set {0} --no-oidc`"
    )]
    Other(UserName),
    /// They cannot be written down.
    #[error(transparent)]
    User(#[from] UserError),
}

/// Somebody signed in at the provider.
#[derive(Debug, Clone)]
pub struct SignInByOidc {
    /// Who they are there.
    pub identity: Identity,
    /// The name that they would have here; `None`: none that could be one.
    pub name: Option<UserName>,
    /// What they may from now on; `None`: nothing.
    pub role: Option<Role>,
    /// Whether somebody who is not known is written down.
    pub create: bool,
    /// An account of the controller's host has the name.
    pub is_account: bool,
    /// With which browser.
    pub browser: NewSession,
}

impl Transition for SignInByOidc {
    type Outcome = Result<Session, IdentityError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let known = self.find(view)?.map(|user| User::clone(user));
            if let Some(user) = known.as_ref().filter(|user| user.disabled) {
                return Err(IdentityError::Disabled(user.name.clone()));
            }
            let role = self.role.ok_or(IdentityError::NoRole)?;
            let before = match &known {
                Some(user) => user.clone(),
                None => self.made(view, role, now)?,
            };
            let user = User {
                role,
                oidc: OidcLink::Bound(self.identity.clone()),
                ..before
            };
            if known.as_ref() != Some(&user) {
                let kind = match known {
                    Some(_) => "user.changed",
                    None => "user.created",
                };
                let text = format!("{}, by the identity provider", told(&user));
                changes.event(about(kind, &user.name, text));
                changes.write(user.clone());
            }
            Ok(self.browser.begin(view, &user.name, now, changes))
        })
    }
}

impl SignInByOidc {
    /// Who they are here: by what the provider calls them for good; by their name only when an admin said that they will come.
    fn find<'v>(&self, view: &'v View) -> Result<Option<&'v Arc<User>>, IdentityError> {
        let bound = OidcLink::Bound(self.identity.clone());
        if let Some(user) = view.users().find(|user| user.oidc == bound) {
            return Ok(Some(user));
        }
        let Some(user) = self.name.as_ref().and_then(|name| view.user(name)) else {
            return Ok(None);
        };
        match user.oidc {
            OidcLink::Awaited => Ok(Some(user)),
            OidcLink::None => Err(IdentityError::NotLinked(user.name.clone())),
            OidcLink::Bound(_) => Err(IdentityError::Other(user.name.clone())),
        }
    }

    /// A new person. Whoever chooses a name at the provider shall not become who had it here before, or has it on the host.
    fn made(&self, view: &View, role: Role, now: Timestamp) -> Result<User, IdentityError> {
        let name = self.name.as_ref().ok_or(IdentityError::NoName)?;
        if !self.create {
            return Err(IdentityError::Unknown(name.clone()));
        }
        // Where the host knows no account, its number is the name.
        let number = name.as_str().bytes().all(|b| b.is_ascii_digit());
        if self.is_account || number {
            let what = "an account of the controller's host";
            return Err(IdentityError::InUse(name.clone(), what));
        }
        if owns(view, name) {
            let what = "the owner of images, setups or machines";
            return Err(IdentityError::InUse(name.clone(), what));
        }
        may_be_made(view, name)?;
        Ok(User {
            name: name.clone(),
            role,
            disabled: false,
            password_set: None,
            oidc: OidcLink::None,
            note: None,
            by: BY.to_owned(),
            created: now,
        })
    }
}

fn owns(view: &View, name: &UserName) -> bool {
    let is = |owner: &Option<UserName>| owner.as_ref() == Some(name);
    view.images().any(|image| is(&image.owner))
        || view.setups().any(|setup| is(&setup.owner))
        || view.machines().any(|machine| is(&machine.owner))
}
