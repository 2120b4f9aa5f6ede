//! People sign in with a password, use their session, and sign out.

use std::net::IpAddr;

use crate::ordered::sort_by;
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    audit::SIGNED_IN,
    event::Draft,
    password::Password,
    session::{MAX_PER_USER, MAX_SESSIONS, Session, SessionName},
    trust::Digest,
    user::{UserName, account},
};

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// No such session, or none of theirs.
    #[error("no session is called '{0}'; `enforcer sessions list` shows yours")]
    NotFound(SessionName),
    /// While the password was looked at, it was changed, or whose it is was shut out.
    #[error("the password was changed just now; sign in again")]
    Changed,
}

/// Somebody showed their password.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// What is kept of what their browser will show; fresh.
    pub id: Digest,
    /// What was found to fit.
    pub shown: Password,
    /// From where, over the network.
    pub from: Option<IpAddr>,
    /// The session that this browser had before; it ends.
    pub replaces: Option<Digest>,
}

impl Transition for SignIn {
    type Outcome = Result<Session, SessionError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let user = &self.shown.user;
        let enabled = view.user(user).is_some_and(|user| !user.disabled);
        let same = view.password(user).is_some_and(|kept| **kept == self.shown);
        if !enabled || !same {
            return (changes, Err(SessionError::Changed));
        }
        let browser = NewSession {
            id: self.id,
            from: self.from,
            replaces: self.replaces,
        };
        let session = browser.begin(view, user, now, &mut changes);
        (changes, Ok(session))
    }
}

/// The browser that somebody signs in with.
#[derive(Debug, Clone, Copy)]
pub struct NewSession {
    /// What is kept of what it will show; fresh.
    pub id: Digest,
    /// From where, over the network.
    pub from: Option<IpAddr>,
    /// The session that it had before; it ends.
    pub replaces: Option<Digest>,
}

impl NewSession {
    /// It is somebody's from now on.
    pub(super) fn begin(
        self,
        view: &View,
        user: &UserName,
        now: Timestamp,
        changes: &mut Changes,
    ) -> Session {
        make_room(view, user, now, changes);
        if let Some(before) = self.replaces {
            changes.write(Key::Session(before));
        }
        let session = Session {
            id: self.id,
            user: user.clone(),
            from: self.from,
            created: now,
            used: now,
        };
        let text = match self.from {
            Some(from) => format!("{user} signed in from {from}"),
            None => format!("{user} signed in on this host"),
        };
        changes.event(about(SIGNED_IN, &session, text));
        changes.write(session.clone());
        session
    }
}

/// What is over goes; where there are too many, of the person or in all, those used longest ago give way.
fn make_room(view: &View, user: &UserName, now: Timestamp, changes: &mut Changes) {
    let (over, mut open): (Vec<_>, Vec<_>) = view.sessions().partition(|s| s.is_over(now));
    sort_by(&mut open, |a, b| a.used.cmp(&b.used));
    let theirs = open.iter().filter(|s| s.user == *user);
    let too_many = theirs.clone().count().saturating_sub(MAX_PER_USER - 1);
    let mut gone: Vec<Digest> = theirs.take(too_many).map(|s| s.id).collect();
    let in_all = (open.len() - gone.len()).saturating_sub(MAX_SESSIONS - 1);
    let others = open.iter().filter(|s| !gone.contains(&s.id));
    let others: Vec<Digest> = others.take(in_all).map(|s| s.id).collect();
    gone.extend(over.iter().map(|s| s.id));
    for id in gone.into_iter().chain(others) {
        changes.write(Key::Session(id));
    }
}

/// Notes that a session is used, as exactly as that is kept.
#[derive(Debug, Clone, Copy)]
pub struct NoteSessionUse(pub Digest);

impl Transition for NoteSessionUse {
    type Outcome = ();

    fn run(&self, view: &View, now: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        // Of many requests at once the first one writes; and what ended meanwhile stays ended.
        if let Some(known) = view.session(&self.0)
            && known.is_use_to_note(now)
            && known.stands(view, now)
        {
            let mut session = Session::clone(known);
            session.used = now;
            changes.write(session);
        }
        (changes, ())
    }
}

/// A session ends, from the next request on: its person signs out, or somebody takes it back.
#[derive(Debug, Clone)]
pub struct EndSession {
    /// Which.
    pub name: SessionName,
    /// Who says so, as the API names them.
    pub by: String,
    /// They may end others' sessions.
    pub admin: bool,
}

impl Transition for EndSession {
    type Outcome = Result<(), SessionError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let known = view.session_named(&self.name);
        let Some(session) = known.filter(|s| self.admin || s.user.is(&self.by)) else {
            return (changes, Err(SessionError::NotFound(self.name.clone())));
        };
        let text = match session.user.as_str() == account(&self.by) {
            true => format!("{} signed out", session.user),
            false => format!("{} signed {} out", self.by, session.user),
        };
        changes.event(about("session.ended", session, text));
        changes.write(Key::Session(session.id));
        (changes, Ok(()))
    }
}

/// Ends a person's sessions: their password is another, or they are shut or struck out.
pub(super) fn end_sessions_of(view: &View, name: &UserName, changes: &mut Changes) {
    for session in view.sessions().filter(|s| s.user == *name) {
        changes.write(Key::Session(session.id));
    }
}

fn about(kind: &str, session: &Session, text: String) -> Draft {
    Draft::new(kind, text)
        .field("session", session.name().to_string())
        .field("user", session.user.to_string())
}
