//! What is asked for under a name is done once: asked for again, it is what was made the first time. The name is written in
//! the transaction that does it, so no crash comes between.

use super::{Created, ForMachine, RolledOut};
use crate::ordered::sort_by;
use crate::state::{
    Changes, Key, Timestamp, Transition, View,
    activation::Activation,
    answered::{Answered, MAX_ANSWERS, Made, RequestKey},
    command::CommandRecord,
    provider::ProviderMember,
};

/// The name is another request's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this Idempotency-Key was used for another request within the last day, and nothing was done; take a new key for each request, and the same only to repeat one"
)]
pub struct KeyReused;

/// Something that can be made once.
#[derive(Debug, Clone)]
pub struct Once<T> {
    /// The request's name; `None`: it has none, and is done each time.
    pub key: Option<RequestKey>,
    /// What is asked for.
    pub wants: T,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum OnceMade<O> {
    /// It was done, or refused, now.
    Now(O),
    /// It was done before.
    Before(Made),
}

/// An outcome that says what was made.
pub trait Makes {
    /// What; `None`: nothing, so that it can be tried again.
    fn made(&self) -> Option<Made>;
}

impl<T> Transition for Once<T>
where
    T: Transition,
    T::Outcome: Makes,
{
    type Outcome = Result<OnceMade<T::Outcome>, KeyReused>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let known = self.key.and_then(|key| view.answered(&key.name));
        if let (Some(key), Some(known)) = (self.key, known.filter(|k| k.counts(now))) {
            let outcome = match known.request == key.request {
                true => Ok(OnceMade::Before(known.made.clone())),
                false => Err(KeyReused),
            };
            return (Changes::none(), outcome);
        }
        let (mut changes, outcome) = self.wants.run(view, now);
        if let (Some(key), Some(made)) = (self.key, outcome.made()) {
            make_room(view, now, &mut changes);
            changes.write(Answered {
                name: key.name,
                request: key.request,
                at: now,
                made,
            });
        }
        (changes, Ok(OnceMade::Now(outcome)))
    }
}

/// Forgets what does not count any more, and the oldest when there are too many.
pub(super) fn make_room(view: &View, now: Timestamp, changes: &mut Changes) {
    let mut kept: Vec<_> = view
        .answers()
        .map(|a| (a.at, a.name, a.counts(now)))
        .collect();
    sort_by(&mut kept, |a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    let surplus = (kept.len() + 1).saturating_sub(MAX_ANSWERS);
    for (n, (_, name, counts)) in kept.into_iter().enumerate() {
        if n < surplus || !counts {
            changes.write(Key::Answered(name));
        }
    }
}

impl<T: Makes, E> Makes for Result<T, E> {
    fn made(&self) -> Option<Made> {
        self.as_ref().ok()?.made()
    }
}

impl Makes for Activation {
    fn made(&self) -> Option<Made> {
        Some(Made::Activations {
            ids: vec![self.id],
            refused: Vec::new(),
        })
    }
}

impl Makes for Vec<ForMachine> {
    fn made(&self) -> Option<Made> {
        let (mut ids, mut refused) = (Vec::new(), Vec::new());
        for (name, outcome) in self {
            match outcome {
                Ok(activation) => ids.push(activation.id),
                Err(why) => refused.push((name.to_string(), why.to_string())),
            }
        }
        // Nothing is due: what stood against it may be gone the next time.
        (!ids.is_empty()).then_some(Made::Activations { ids, refused })
    }
}

impl Makes for Created {
    fn made(&self) -> Option<Made> {
        Some(Made::Deployments {
            ids: vec![self.deployment.id],
            rollout: None,
            refused: Vec::new(),
        })
    }
}

impl Makes for Vec<Created> {
    fn made(&self) -> Option<Made> {
        Some(Made::Deployments {
            ids: self.iter().map(|c| c.deployment.id).collect(),
            rollout: None,
            refused: Vec::new(),
        })
    }
}

impl Makes for RolledOut {
    fn made(&self) -> Option<Made> {
        let refused = self.refused.iter();
        Some(Made::Deployments {
            ids: self.rollout.deployments.clone(),
            rollout: Some(self.rollout.id),
            refused: refused
                .map(|(n, why)| (n.clone(), why.to_string()))
                .collect(),
        })
    }
}

impl Makes for CommandRecord {
    fn made(&self) -> Option<Made> {
        Some(Made::Command { id: self.id })
    }
}

impl Makes for (CommandRecord, ProviderMember) {
    fn made(&self) -> Option<Made> {
        self.0.made()
    }
}
