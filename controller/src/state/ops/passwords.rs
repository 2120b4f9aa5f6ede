//! Passwords are set, and taken away.

use super::{UserError, sessions::end_sessions_of};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    event::Draft,
    password::Password,
    user::{User, UserName, account},
};

/// Why a password is not set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Whose it would be is not written down.
    #[error(transparent)]
    User(#[from] UserError),
    /// A token asks.
    #[error(
        "a token sets no passwords: one that was stolen would outlive its end; sign in, or use the local socket on the controller's host"
    )]
    ByToken,
    /// For somebody else.
    #[error("only an admin sets the passwords of others; ask one")]
    ForOther,
    /// Who changes their own has not shown the one they have.
    #[error("show your present password too; who forgot it asks an admin for a new one")]
    Present,
}

/// Who sets a password.
#[derive(Debug, Clone)]
pub struct PasswordSetter {
    /// As the API names them.
    pub caller: String,
    /// They may set those of others.
    pub admin: bool,
    /// They are a token.
    pub by_token: bool,
    /// Their present password, when they showed it and it was found to fit.
    pub shown: Option<Password>,
}

impl PasswordSetter {
    /// Whether they may set the password of `name`, or take it away.
    ///
    /// # Errors
    /// With why not.
    pub fn may_set(&self, view: &View, name: &UserName) -> Result<(), PasswordError> {
        if self.by_token {
            return Err(PasswordError::ByToken);
        }
        let own = account(&self.caller) == name.as_str();
        if !own && !self.admin {
            return Err(PasswordError::ForOther);
        }
        // Whoever finds a browser open would make it theirs for good.
        let kept = view.password(name).filter(|_| own);
        match kept.is_none_or(|kept| self.shown.as_ref() == Some(&**kept)) {
            true => Ok(()),
            false => Err(PasswordError::Present),
        }
    }

    fn find(&self, view: &View, name: &UserName) -> Result<User, PasswordError> {
        self.may_set(view, name)?;
        let known = view.user(name).map(|user| User::clone(user));
        Ok(known.ok_or_else(|| UserError::NotFound(name.clone()))?)
    }
}

/// A person's password is set. Their sessions end: who knew the old one is out.
#[derive(Debug, Clone)]
pub struct SetPassword {
    /// What is kept of it, and whose it is.
    pub password: Password,
    /// Who sets it.
    pub by: PasswordSetter,
}

impl Transition for SetPassword {
    type Outcome = Result<User, PasswordError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let name = &self.password.user;
            let mut user = self.by.find(view, name)?;
            user.password_set = Some(now);
            let text = format!("{} set the password of {name}", self.by.caller);
            changes.event(about("user.password-set", name, text));
            changes.write(user.clone()).write(self.password.clone());
            end_sessions_of(view, name, changes);
            Ok(user)
        })
    }
}

/// A person's password is taken away, and their sessions end: they come over the local socket or with tokens.
#[derive(Debug, Clone)]
pub struct ClearPassword {
    /// Whose.
    pub name: UserName,
    /// Who takes it.
    pub by: PasswordSetter,
}

impl Transition for ClearPassword {
    type Outcome = Result<User, PasswordError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| {
            let mut user = self.by.find(view, &self.name)?;
            if user.password_set.take().is_some() {
                let text = format!("{} took the password of {} away", self.by.caller, self.name);
                changes.event(about("user.password-cleared", &self.name, text));
                changes.write(user.clone());
                changes.write(Key::Password(self.name.clone()));
                end_sessions_of(view, &self.name, changes);
            }
            Ok(user)
        })
    }
}

fn about(kind: &str, name: &UserName, text: String) -> Draft {
    Draft::new(kind, text).field("user", name.to_string())
}
