//! A person ends a deployment.

use super::{DeployError, Held, about, may_use, name_of};
use crate::state::{
    Changes, Timestamp, Transition, View,
    deployment::{Deployment, DeploymentId, State, queue},
    ops::job_ends::over,
};

/// A person ends a deployment. The agent stops at its next word; a disk that was being written does not boot then. Of a
/// setup all parts end.
#[derive(Debug, Clone)]
pub struct CancelDeployment {
    /// Which.
    pub id: DeploymentId,
    /// Who, for people.
    pub by: String,
}

impl Transition for CancelDeployment {
    type Outcome = Result<Deployment, DeployError>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(known) = view.deployment(self.id) else {
            return (changes, Err(DeployError::NotFound(self.id)));
        };
        match (known.is_open(), known.state) {
            (true, _) => {
                if let Err(held) = self.may_end(view, known, now) {
                    return (changes, Err(held.into()));
                }
            }
            // Said twice is said once.
            (false, State::Cancelled) => return (changes, Ok(Deployment::clone(known))),
            (false, state) => {
                return (changes, Err(DeployError::Over(self.id, state.word())));
            }
        }
        let reason = format!("{} cancelled it", self.by);
        let cancelled = cancel(view, known, &reason, now, &mut changes);
        for part in queue::run_of(view, known) {
            if part.is_open() && part.id != known.id {
                cancel(view, part, &reason, now, &mut changes);
            }
        }
        (changes, Ok(cancelled))
    }
}

impl CancelDeployment {
    /// One's own is always one's to end, also on a machine that others have.
    fn may_end(&self, view: &View, known: &Deployment, now: Timestamp) -> Result<(), Held> {
        match view.machine(&known.machine) {
            Some(machine) if known.by != self.by => may_use(machine, &self.by, now),
            Some(_) | None => Ok(()),
        }
    }
}

/// Writes a deployment's end by somebody's word down.
pub(in crate::state::ops) fn cancel(
    view: &View,
    known: &Deployment,
    reason: &str,
    now: Timestamp,
    changes: &mut Changes,
) -> Deployment {
    let was = known.state.word();
    let next = known.to(State::Cancelled, Some(reason.to_owned()), now);
    let text = format!(
        "{} for {} ended while it was {was}: {reason}",
        next.title(),
        name_of(view, &next)
    );
    changes.event(about("deployment.cancelled", &next, text));
    over(view, &next, now, changes);
    changes.write(next.clone());
    next
}
