//! A person changes the order of a queue.

use super::{DeployError, about, name_of};
use crate::state::{
    Changes, Timestamp, Transition, View,
    deployment::{Deployment, DeploymentId, Part, Phase, queue},
};

/// A person moves a waiting deployment within its machine's queue. A setup's parts stay together: they move as one.
#[derive(Debug, Clone)]
pub struct MoveDeployment {
    /// Which.
    pub id: DeploymentId,
    /// Its new place among those that wait, the first is 0.
    pub to: usize,
}

impl Transition for MoveDeployment {
    /// The queue as it is then.
    type Outcome = Result<Vec<DeploymentId>, DeployError>;

    fn run(&self, view: &View, _: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let Some(known) = view.deployment(self.id) else {
            return (changes, Err(DeployError::NotFound(self.id)));
        };
        if known.phase() != Phase::Waiting || queue::goes_on(view, known) {
            let error = DeployError::NotWaiting(self.id, known.state.word());
            return (changes, Err(error));
        }
        let queue: Vec<&Deployment> = view.queue_of(&known.machine).map(AsRef::as_ref).collect();
        let places: Vec<i64> = queue.iter().map(|d| d.place).collect();
        let order = self.order(view, known, &queue);
        for (job, place) in order.iter().zip(&places) {
            if job.place != *place {
                let mut next = Deployment::clone(job);
                next.place = *place;
                changes.write(next);
            }
        }
        if !changes.is_empty() {
            let text = format!("{} for {} was moved", known.title(), name_of(view, known));
            changes.event(about("deployment.moved", known, text));
        }
        (changes, Ok(order.iter().map(|d| d.id).collect()))
    }
}

impl MoveDeployment {
    /// The queue in its new order: groups that belong together, one of them elsewhere.
    fn order<'a>(
        &self,
        view: &View,
        known: &Deployment,
        queue: &[&'a Deployment],
    ) -> Vec<&'a Deployment> {
        let (moved, others): (Vec<&Deployment>, Vec<&Deployment>) =
            queue.iter().partition(|d| group(d) == group(known));
        let first = others.first();
        // What was begun is not put behind anything.
        let begun = first.filter(|d| queue::goes_on(view, d)).map(|d| group(d));
        let mut at = self.to.min(others.len());
        let inside = |at: usize| {
            let (before, after) = (
                at.checked_sub(1).and_then(|b| others.get(b)),
                others.get(at),
            );
            let together = matches!((before, after), (Some(b), Some(a)) if group(b) == group(a));
            together || after.is_some_and(|a| begun.is_some() && Some(group(a)) == begun)
        };
        while at < others.len() && inside(at) {
            at += 1;
        }
        let (front, back) = others.split_at(at);
        [front, &moved, back].concat()
    }
}

/// What a deployment is moved with.
fn group(deployment: &Deployment) -> DeploymentId {
    match &deployment.part {
        Some(Part::Setup { run, .. }) => *run,
        Some(Part::Rollout { .. } | Part::RollBack { .. }) | None => deployment.id,
    }
}
