//! Join tokens are made and taken back; enrolment uses them.

use super::{MachineError, MachineRef};
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    deployment::Deployment,
    event::Draft,
    trust::{
        Digest,
        token::{JoinToken, MAX_TOKENS, TOKEN_LIVES, TokenId, TokenScope, TokenText},
    },
};

/// Longest life of a token: what lies around for longer is not a secret any more.
pub const MAX_TOKEN_LIFE: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// For a machine that is not there.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// No such token.
    #[error("no join token is called '{0}'; `enforcer join-tokens list` shows them")]
    NotFound(String),
    /// A life that cannot be.
    #[error("a join token lives between a minute and seven days")]
    Life,
    /// Too many good ones.
    #[error("{MAX_TOKENS} join tokens are good already; revoke some")]
    Full,
}

/// A person makes a token.
#[derive(Debug, Clone)]
pub struct CreateToken {
    /// Its name; fresh.
    pub id: TokenId,
    /// SHA-256 of its secret ([`TokenText::digest`](crate::state::trust::token::TokenText::digest)).
    pub secret_sha256: Digest,
    /// For this machine only.
    pub machine: Option<MachineRef>,
    /// How long it is good; `None`: [`TOKEN_LIVES`].
    pub lives: Option<jiff::SignedDuration>,
    /// Who makes it, for people.
    pub by: String,
}

impl Transition for CreateToken {
    type Outcome = Result<JoinToken, TokenError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let outcome = self.created(view, now, &mut changes);
        (changes, outcome)
    }
}

impl CreateToken {
    fn created(
        &self,
        view: &View,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Result<JoinToken, TokenError> {
        let (scope, whom) = match &self.machine {
            None => (TokenScope::Any, "any machine".to_owned()),
            Some(named) => {
                let missing = || MachineError::NotFound(named.0.clone());
                let machine = named.find(view).ok_or_else(missing)?;
                let scope = TokenScope::Machine {
                    machine: machine.id.clone(),
                };
                (scope, machine.name.to_string())
            }
        };
        let lives = self.lives.unwrap_or(TOKEN_LIVES);
        if lives < jiff::SignedDuration::from_mins(1) || lives > MAX_TOKEN_LIFE {
            return Err(TokenError::Life);
        }
        make_room(view, now, changes)?;
        let token = JoinToken {
            id: self.id.clone(),
            secret_sha256: self.secret_sha256,
            scope,
            by: self.by.clone(),
            created: now,
            expires: now + lives,
            used_by: None,
            revoked: None,
        };
        let text = format!("{} made join token {} for {whom}", self.by, token.id);
        changes.event(Draft::new("join-token.created", text).field("token", token.id.as_str()));
        changes.write(token.clone());
        Ok(token)
    }
}

/// The spent token that ended first makes room; good ones do not.
fn make_room(view: &View, now: Timestamp, changes: &mut Changes) -> Result<(), TokenError> {
    use crate::state::trust::token::TokenState;
    if view.tokens().count() < MAX_TOKENS {
        return Ok(());
    }
    let spent = view.tokens().filter(|t| t.state(now) != TokenState::Good);
    let first = spent.min_by_key(|t| t.expires).ok_or(TokenError::Full)?;
    changes.write(Key::Token(first.id.clone()));
    Ok(())
}

/// Makes a token for the new system that a job writes; the one that the same job gave out before is dead.
pub(super) fn token_for(
    view: &View,
    job: &Deployment,
    text: &TokenText,
    now: Timestamp,
    changes: &mut Changes,
) -> Result<(), TokenError> {
    make_room(view, now, changes)?;
    end_token(view, job, now, changes);
    let token = JoinToken {
        id: text.id.clone(),
        secret_sha256: text.digest(),
        scope: TokenScope::Machine {
            machine: job.machine.clone(),
        },
        by: format!("deployment {}", job.id),
        created: now,
        // The job's end is its end; this is for a job that never ends.
        expires: now + MAX_TOKEN_LIFE,
        used_by: None,
        revoked: None,
    };
    changes.write(token);
    Ok(())
}

/// The token of a job is dead, unless it was used.
pub(super) fn end_token(view: &View, job: &Deployment, now: Timestamp, changes: &mut Changes) {
    let Some(known) = job.token.as_ref().and_then(|id| view.token(id)) else {
        return;
    };
    if known.used_by.is_none() && known.revoked.is_none() {
        let mut token = JoinToken::clone(known);
        token.revoked = Some(now);
        changes.write(token);
    }
}

/// A person takes a token back. A key that was enrolled by it stays.
#[derive(Debug, Clone)]
pub struct RevokeToken(pub TokenId);

impl Transition for RevokeToken {
    type Outcome = Result<JoinToken, TokenError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(known) = view.token(&self.0) else {
            return (changes, Err(TokenError::NotFound(self.0.to_string())));
        };
        let mut token = JoinToken::clone(known);
        if token.revoked.is_none() {
            token.revoked = Some(now);
            let text = format!("join token {} was revoked", token.id);
            changes.event(Draft::new("join-token.revoked", text).field("token", token.id.as_str()));
            changes.write(token.clone());
        }
        (changes, Ok(token))
    }
}
