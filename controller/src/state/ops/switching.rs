//! Machines are switched for their jobs: written down before it is done, so that a controller that dies in between does
//! not do it again at once.

use super::{
    deployments::{about, name_of},
    job_reports::bounded,
};
use crate::state::{
    Changes, Timestamp, Transition, View,
    deployment::{
        Deployment, DeploymentId, Switched,
        restart::{Means, means, to_switch},
    },
    machine::MachineId,
};

/// This machine is about to be switched off and on, or woken, for the job that is due there.
#[derive(Debug, Clone)]
pub struct SwitchOn(pub MachineId);

impl Transition for SwitchOn {
    /// The job and by what means, when it is so.
    type Outcome = Option<(Deployment, Means)>;

    fn run(&self, view: &View, now: Timestamp) -> (Changes, Self::Outcome) {
        let mut changes = Changes::none();
        let machine = view.machine(&self.0);
        let Some(job) = machine.and_then(|machine| to_switch(view, machine, now)) else {
            return (changes, None);
        };
        let times = job.switched.as_ref().map_or(0, |last| last.times) + 1;
        let next = Deployment {
            switched: Some(Switched {
                at: now,
                times,
                refused: None,
            }),
            ..Deployment::clone(job)
        };
        changes.write(next.clone());
        (changes, Some((next, means(view, &self.0))))
    }
}

/// Nobody could switch it.
#[derive(Debug, Clone)]
pub struct SwitchRefused {
    /// For which job.
    pub id: DeploymentId,
    /// Why not, for people.
    pub why: String,
}

impl Transition for SwitchRefused {
    type Outcome = ();

    fn run(&self, view: &View, _: Timestamp) -> (Changes, ()) {
        let mut changes = Changes::none();
        let Some(job) = view.deployment(self.id) else {
            return (changes, ());
        };
        if let Some(last) = &job.switched {
            let why = bounded(&self.why);
            let (name, title) = (name_of(view, job), job.title());
            let text = format!("{name} was not started for {title}: {why}");
            changes.event(about("deployment.not-started", job, text));
            changes.write(Deployment {
                switched: Some(Switched {
                    refused: Some(why),
                    ..last.clone()
                }),
                ..Deployment::clone(job)
            });
        }
        (changes, ())
    }
}
