//! A change that counts on what its asker has read: it is made only while that still is so.

use crate::state::{
    Changes, Timestamp, Transition, View,
    revision::{Revision, Subject},
};

/// What an asker counts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// That the record is there, in whatever state.
    There,
    /// That there is none.
    Absent,
    /// That it is in one of these states.
    OneOf(Vec<Revision>),
}

impl Expected {
    fn holds(&self, found: Option<Revision>) -> bool {
        match self {
            Self::There => found.is_some(),
            Self::Absent => found.is_none(),
            Self::OneOf(known) => found.is_some_and(|found| known.contains(&found)),
        }
    }
}

/// It is not what its asker counts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Changed {
    /// Another state.
    #[error(
        "somebody changed this since you read it, and nothing of yours was done; read it again, and decide anew"
    )]
    Since,
    /// It is there.
    #[error(
        "there is one of this name already, and nothing was done; read it, and say what to replace with `If-Match`"
    )]
    There,
    /// It is gone.
    #[error(
        "this is not there any more, and nothing was done; to make it anew leave out `If-Match`"
    )]
    Gone,
}

/// What somebody asks for that is done only while its subject is as they know it. Looked at in the transaction that does it:
/// nobody comes between.
#[derive(Debug, Clone)]
pub struct Unchanged<T> {
    /// What they have read.
    pub about: Subject,
    /// In which state; `None`: they do not care.
    pub expected: Option<Expected>,
    /// What they ask for.
    pub wants: T,
}

impl<T: Transition> Transition for Unchanged<T> {
    type Outcome = Result<T::Outcome, Changed>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let (changes, outcome) = self.wants.run(view, now);
        // What would do nothing anyhow says why itself (RFC 9110 §13.2.1).
        if changes.is_empty() {
            return (changes, Ok(outcome));
        }
        match self.objection(view) {
            None => (changes, Ok(outcome)),
            Some(changed) => (Changes::none(), Err(changed)),
        }
    }
}

impl<T> Unchanged<T> {
    fn objection(&self, view: &View) -> Option<Changed> {
        let expected = self.expected.as_ref()?;
        let found = self.about.revision(view);
        if expected.holds(found) {
            return None;
        }
        Some(match (expected, found) {
            (Expected::Absent, _) => Changed::There,
            (Expected::There | Expected::OneOf(_), None) => Changed::Gone,
            (Expected::There | Expected::OneOf(_), Some(_)) => Changed::Since,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{
        Write,
        ops::{CreateUser, DeleteUser, SetUser, UserError},
        user::{Role, UserName},
    };

    fn ann() -> UserName {
        "ann".parse().unwrap()
    }

    fn world() -> View {
        let mut view = View::default();
        let create = CreateUser {
            name: ann(),
            role: Role::Viewer,
            oidc: false,
            note: None,
            by: "local:root".to_owned(),
        };
        let (changes, made) = create.run(&view, Timestamp::UNIX_EPOCH);
        made.unwrap();
        changes.writes.iter().for_each(|w: &Write| view.absorb(w));
        view
    }

    fn promoted(view: &View, expected: Option<Expected>) -> (Changes, Result<(), Changed>) {
        let promote = Unchanged {
            about: Subject::User(ann()),
            expected,
            wants: SetUser {
                name: ann(),
                role: Some(Role::Admin),
                disabled: None,
                oidc: None,
                note: None,
                by: "local:root".to_owned(),
            },
        };
        let (changes, outcome) = promote.run(view, Timestamp::UNIX_EPOCH);
        (changes, outcome.map(|set| drop(set.unwrap())))
    }

    #[test]
    fn a_change_is_made_while_its_subject_is_as_it_was_read() {
        let view = world();
        let read = Subject::User(ann()).revision(&view).unwrap();
        for expected in [
            None,
            Some(Expected::There),
            Some(Expected::OneOf(vec![read])),
        ] {
            let (changes, outcome) = promoted(&view, expected);
            assert!(outcome.is_ok() && !changes.is_empty());
        }
    }

    #[test]
    fn of_two_who_read_the_same_the_second_is_told_and_writes_nothing() {
        let mut view = world();
        let read = Subject::User(ann()).revision(&view).unwrap();
        let expected = || Some(Expected::OneOf(vec![read]));
        let (changes, _) = promoted(&view, expected());
        changes.writes.iter().for_each(|w| view.absorb(w));
        let demote = Unchanged {
            about: Subject::User(ann()),
            expected: expected(),
            wants: DeleteUser {
                name: ann(),
                by: "local:bob".to_owned(),
            },
        };
        let (changes, outcome) = demote.run(&view, Timestamp::UNIX_EPOCH);
        assert_eq!(outcome, Err(Changed::Since));
        assert!(changes.is_empty());
    }

    #[test]
    fn what_should_be_new_does_not_replace_what_is_there() {
        let (changes, outcome) = promoted(&world(), Some(Expected::Absent));
        assert_eq!(outcome, Err(Changed::There));
        assert!(changes.is_empty());
    }

    #[test]
    fn what_is_refused_anyhow_says_why() {
        let gone = Unchanged {
            about: Subject::User(ann()),
            expected: Some(Expected::There),
            wants: DeleteUser {
                name: ann(),
                by: "local:bob".to_owned(),
            },
        };
        let (_, outcome) = gone.run(&View::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(outcome, Ok(Err(UserError::NotFound(ann()))));
    }
}
