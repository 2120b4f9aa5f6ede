//! Machines are started for the jobs that wait for them, where their agents cannot do it.

use std::{collections::BTreeSet, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Means, Power};
use crate::ordered::Gather as _;
use crate::state::{
    deployment::{
        DeploymentId,
        restart::{self, to_switch},
    },
    machine::{Machine, MachineId},
    ops::{SwitchOn, SwitchRefused},
    power::PowerAction,
};

/// How often the queues are looked at: a person who asked for a deployment sees its machine start.
const EVERY: Duration = Duration::from_secs(1);

impl Power {
    /// Starts machines until we stop.
    pub async fn keep_starting(self, stop: CancellationToken) {
        let mut tick = interval(EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut started = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_done) = started.join_next() => continue,
                _ = tick.tick() => {}
            }
            for machine in self.due() {
                let power = self.clone();
                // What is written down is not due any more: the next tick does not find it again.
                if let Some(start) = self.intend(machine).await {
                    started.spawn(async move { power.start(start).await }.boxed());
                }
            }
        }
    }

    pub(super) fn due(&self) -> BTreeSet<MachineId> {
        let (view, now) = (self.store.view(), self.store.now());
        let machines: BTreeSet<_> = view.open_deployments().map(|d| &d.machine).gather();
        let due = |id: &&MachineId| {
            let machine = view.machine(id);
            machine.is_some_and(|machine| to_switch(&view, machine, now).is_some())
        };
        machines.into_iter().filter(due).cloned().gather()
    }

    async fn intend(&self, id: MachineId) -> Option<Start> {
        let (job, means) = match self.store.apply(SwitchOn(id)).await {
            Ok(intended) => intended?,
            Err(error) => {
                warn!(%error, "a machine is not started for its job");
                return None;
            }
        };
        let means = match means {
            restart::Means::Board => Means::Board,
            restart::Means::Wake => Means::Wake,
            restart::Means::Agent(_) | restart::Means::Nobody => return None,
        };
        Some(Start {
            machine: Machine::clone(self.store.view().machine(&job.machine)?),
            job: job.id,
            means,
        })
    }

    async fn start(&self, start: Start) {
        let by = format!("deployment {}", start.job);
        let done = self.perform(&start.machine, start.means, PowerAction::Cycle, &by);
        let Err(error) = done.await else { return };
        let refused = SwitchRefused {
            id: start.job,
            why: error.to_string(),
        };
        if let Err(error) = self.store.apply(refused).await {
            warn!(%error, "why a machine was not started could not be written down");
        }
    }
}

/// A machine that is to be started.
struct Start {
    machine: Machine,
    job: DeploymentId,
    means: Means,
}
