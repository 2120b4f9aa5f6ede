//! API tokens are made by people, used by programs and taken back.

use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    api_token::{
        ApiToken, MAX_TOKEN_LIFE, MAX_TOKENS, TOKEN_LIVES, TokenName, TokenPrefix, TokenStanding,
    },
    event::Draft,
    label::Selector,
    trust::Digest,
    user::{Role, UserName, account},
};

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiTokenError {
    /// No such token, or none of theirs.
    #[error("no API token is called '{0}'; `enforcer tokens list` shows yours")]
    NotFound(TokenName),
    /// A good one has the name.
    #[error("there is an API token '{0}' already; revoke it, or take another name")]
    Taken(TokenName),
    /// A token asks.
    #[error(
        "a token makes no tokens: one that was stolen would outlive its end; use the local socket on the controller's host"
    )]
    ByToken,
    /// For somebody else.
    #[error("only an admin makes tokens for others; leave out --user, or ask an admin")]
    ForOther,
    /// Whose it would be is not written down.
    #[error("no user is called '{0}'; an admin runs `enforcer users create {0} --role ROLE` first")]
    NoUser(String),
    /// Whose it would be is disabled.
    #[error("'{0}' is disabled; an admin runs `enforcer users set {0} --enable` first")]
    Disabled(UserName),
    /// More than its maker, or whose it is, may.
    #[error("{whose} may be {}; a token may not be {}", .ceiling.name(), .asked.name())]
    Role {
        /// Who sets the bound.
        whose: String,
        /// What they may.
        ceiling: Role,
        /// What was asked for.
        asked: Role,
    },
    /// A life that cannot be.
    #[error("an API token lives between a minute and 366 days")]
    Life,
    /// Too many good ones.
    #[error("{MAX_TOKENS} API tokens are good already; revoke some")]
    Full,
}

/// Who makes a token.
#[derive(Debug, Clone)]
pub struct TokenMaker {
    /// As the API names them.
    pub caller: String,
    /// What they may.
    pub role: Role,
    /// They are a token themselves.
    pub by_token: bool,
}

/// A person makes a token.
#[derive(Debug, Clone)]
pub struct CreateApiToken {
    /// By what it is found; fresh.
    pub prefix: TokenPrefix,
    /// What people call it.
    pub name: TokenName,
    /// SHA-256 of its secret's text.
    pub secret_sha256: Digest,
    /// What it may at most; `None`: look.
    pub role: Option<Role>,
    /// Whose it is to be; `None`: its maker's.
    pub user: Option<UserName>,
    /// Only machines with these labels shall be within its reach; `None`: all.
    pub labels: Option<Selector>,
    /// How long it is good; `None`: [`TOKEN_LIVES`].
    pub lives: Option<jiff::SignedDuration>,
    /// Who makes it.
    pub maker: TokenMaker,
}

impl Transition for CreateApiToken {
    type Outcome = Result<ApiToken, ApiTokenError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        Changes::unless_refused(|changes| self.created(view, now, changes))
    }
}

impl CreateApiToken {
    fn created(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<ApiToken, ApiTokenError> {
        let user = self.whose(view)?;
        let lives = self.lives.unwrap_or(TOKEN_LIVES);
        if lives < jiff::SignedDuration::from_mins(1) || lives > MAX_TOKEN_LIFE {
            return Err(ApiTokenError::Life);
        }
        make_room(view, &self.name, now, changes)?;
        let token = ApiToken {
            prefix: self.prefix,
            name: self.name.clone(),
            secret_sha256: self.secret_sha256,
            role: self.role.unwrap_or(Role::Viewer),
            user,
            labels: self.labels.clone(),
            by: self.maker.caller.clone(),
            created: now,
            expires: now + lives,
            used: None,
            revoked: None,
        };
        let reach = token.labels.as_ref();
        let text = format!(
            "{} made the API token {} ({}) of {}{}",
            token.by,
            token.name,
            token.role.name(),
            token.account(),
            reach.map_or_else(String::new, |labels| format!(
                ", for machines with {labels}"
            ))
        );
        changes.event(about("token.created", &token, text));
        changes.write(token.clone());
        Ok(token)
    }

    /// Whose the token is; `None`: the site's. And that it may no more than they, nor than its maker.
    fn whose(&self, view: &View) -> Result<Option<UserName>, ApiTokenError> {
        let maker = &self.maker;
        if maker.by_token {
            return Err(ApiTokenError::ByToken);
        }
        let own = account(&maker.caller);
        let named = self.user.as_ref().map_or(own, UserName::as_str);
        if named != own && maker.role != Role::Admin {
            return Err(ApiTokenError::ForOther);
        }
        let nobody = || ApiTokenError::NoUser(named.to_owned());
        let name: UserName = named.parse().map_err(|_| nobody())?;
        let asked = self.role.unwrap_or(Role::Viewer);
        let bound = |whose: &str, ceiling: Role| match asked > ceiling {
            true => Err(ApiTokenError::Role {
                whose: whose.to_owned(),
                ceiling,
                asked,
            }),
            false => Ok(()),
        };
        bound(&maker.caller, maker.role)?;
        match view.user(&name) {
            Some(user) if user.disabled => Err(ApiTokenError::Disabled(name)),
            Some(user) => bound(named, user.role).map(|()| Some(name)),
            // An admin who is not written down is one by the host's word; nobody can take that back in the store.
            None if named == own && maker.role == Role::Admin => Ok(None),
            None => Err(nobody()),
        }
    }
}

/// A name is free again when its token is over; where too many are kept, the one that ended first makes room.
fn make_room(
    view: &View,
    name: &TokenName,
    now: Timestamp,
    changes: &mut Changes,
) -> Result<(), ApiTokenError> {
    let over = |token: &ApiToken| {
        use TokenStanding::{Expired, Revoked};
        matches!(token.standing(view, now), Expired | Revoked)
    };
    if let Some(same) = view.api_token_named(name) {
        if !over(same) {
            return Err(ApiTokenError::Taken(name.clone()));
        }
        changes.write(Key::ApiToken(same.prefix));
        return Ok(());
    }
    if view.api_tokens().count() < MAX_TOKENS {
        return Ok(());
    }
    let spent = view.api_tokens().filter(|t| over(t));
    let first = spent.min_by_key(|t| t.revoked.unwrap_or(t.expires));
    changes.write(Key::ApiToken(first.ok_or(ApiTokenError::Full)?.prefix));
    Ok(())
}

/// A person takes a token back, from the next request on.
#[derive(Debug, Clone)]
pub struct RevokeApiToken {
    /// Which.
    pub name: TokenName,
    /// Who says so, as the API names them.
    pub by: String,
    /// They may take back others' tokens.
    pub admin: bool,
}

impl Transition for RevokeApiToken {
    type Outcome = Result<ApiToken, ApiTokenError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let known = view.api_token_named(&self.name);
        let theirs = known.filter(|t| self.admin || t.account() == account(&self.by));
        let Some(known) = theirs else {
            return (changes, Err(ApiTokenError::NotFound(self.name.clone())));
        };
        let mut token = ApiToken::clone(known);
        if token.revoked.is_none() {
            token.revoked = Some(now);
            let text = format!("{} revoked the API token {}", self.by, token.name);
            changes.event(about("token.revoked", &token, text));
            changes.write(token.clone());
        }
        (changes, Ok(token))
    }
}

/// Notes that a token is used, as exactly as that is kept.
#[derive(Debug, Clone, Copy)]
pub struct NoteTokenUse(pub TokenPrefix);

impl Transition for NoteTokenUse {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        // Of many requests at once the first one writes.
        if let Some(known) = view.api_token(self.0).filter(|t| t.is_use_to_note(now)) {
            let mut token = ApiToken::clone(known);
            token.used = Some(now);
            changes.write(token);
        }
        (changes, ())
    }
}

/// Strikes out the tokens of a person who is struck out: whoever gets the name later has none of them.
pub(super) fn end_tokens_of(view: &View, name: &UserName, changes: &mut Changes) {
    for token in view.api_tokens().filter(|t| t.user.as_ref() == Some(name)) {
        changes.write(Key::ApiToken(token.prefix));
    }
}

fn about(kind: &str, token: &ApiToken, text: String) -> Draft {
    Draft::new(kind, text)
        .field("token", token.name.to_string())
        .field("user", token.account().to_owned())
}
