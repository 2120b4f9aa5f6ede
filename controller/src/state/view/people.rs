//! People, and what programs show in their place.

use std::sync::Arc;

use super::{View, rows::Rows};
use crate::state::{
    Key, Record,
    api_token::{ApiToken, TokenName, TokenPrefix},
    password::Password,
    session::{Session, SessionName},
    trust::Digest,
    user::{User, UserName},
};

/// See the module.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct PeopleView {
    users: Rows,
    tokens: Rows,
    passwords: Rows,
    sessions: Rows,
}

impl PeopleView {
    pub(super) fn put_user(&mut self, record: Record) {
        self.users.put(record);
    }

    pub(super) fn forget_user(&mut self, key: &Key) {
        self.users.remove(key);
    }

    pub(super) fn put_token(&mut self, record: Record) {
        self.tokens.put(record);
    }

    pub(super) fn forget_token(&mut self, key: &Key) {
        self.tokens.remove(key);
    }

    pub(super) fn put_password(&mut self, record: Record) {
        self.passwords.put(record);
    }

    pub(super) fn forget_password(&mut self, key: &Key) {
        self.passwords.remove(key);
    }

    pub(super) fn put_session(&mut self, record: Record) {
        self.sessions.put(record);
    }

    pub(super) fn forget_session(&mut self, key: &Key) {
        self.sessions.remove(key);
    }
}

impl View {
    /// All people that are written down, by name.
    pub fn users(&self) -> impl Iterator<Item = &Arc<User>> {
        self.people.users.all()
    }

    /// A person by name.
    #[must_use]
    pub fn user(&self, name: &UserName) -> Option<&Arc<User>> {
        self.people.users.get(&Key::User(name.clone()))
    }

    /// All API tokens that are kept.
    pub fn api_tokens(&self) -> impl Iterator<Item = &Arc<ApiToken>> {
        self.people.tokens.all()
    }

    /// An API token by prefix.
    #[must_use]
    pub fn api_token(&self, prefix: TokenPrefix) -> Option<&Arc<ApiToken>> {
        self.people.tokens.get(&Key::ApiToken(prefix))
    }

    /// An API token by name; at most one is kept of each.
    #[must_use]
    pub fn api_token_named(&self, name: &TokenName) -> Option<&Arc<ApiToken>> {
        self.api_tokens().find(|token| token.name == *name)
    }

    /// What is kept of a person's password.
    #[must_use]
    pub fn password(&self, user: &UserName) -> Option<&Arc<Password>> {
        self.people.passwords.get(&Key::Password(user.clone()))
    }

    /// All sessions that are kept, those that are over included.
    pub fn sessions(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.people.sessions.all()
    }

    /// A session by what is kept of what a browser shows.
    #[must_use]
    pub fn session(&self, id: &Digest) -> Option<&Arc<Session>> {
        self.people.sessions.get(&Key::Session(*id))
    }

    /// A session as people call it.
    #[must_use]
    pub fn session_named(&self, name: &SessionName) -> Option<&Arc<Session>> {
        self.sessions().find(|session| session.name() == *name)
    }
}
