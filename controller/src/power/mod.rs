//! Switches machines: by their agents, by magic packets, by their management controllers. One trait, a driver each.

mod agent;
mod ipmi;
mod redfish;
mod starts;
#[cfg(test)]
mod tests;
mod wake;

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{sync::Semaphore, time::timeout};
use tracing::{info, warn};

use crate::{
    mesh::Mesh,
    state::{
        machine::Machine,
        ops::TellPower,
        power::{
            Means, PowerAction, PowerAddress, PowerSettings, PowerState, Protocol, means_of,
            means_of_restart,
        },
    },
    store::Store,
};

/// Machines that are switched at the same time: each may be a process.
const AT_ONCE: usize = 8;
/// How long one may take, all attempts of a slow management controller included.
const WITHIN: Duration = Duration::from_secs(40);

/// Why a machine was not switched; each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PowerError {
    /// Nobody can.
    #[error(
        "nobody can do this for {0}: say who switches it (`enforcer machines set {0} --power ipmi://user@host`), or press its button"
    )]
    NoMeans(String),
    /// A program of this host.
    #[error("ipmitool cannot be run ({0}); install the package ipmitool")]
    NoTool(String),
    /// The management controller refused, or is not there.
    #[error("the management controller did not do it: {0}")]
    Board(String),
    /// Nobody could send packets.
    #[error("no magic packet could be sent: the controller's log says why")]
    NotSent,
    /// The agent would not.
    #[error("{0}")]
    Agent(String),
    /// Too slow.
    #[error("it took longer than {} s", WITHIN.as_secs())]
    Late,
}

/// Does something about one machine's power.
pub(crate) trait Driver: Send + Sync {
    /// Does it, and says how the machine is then, as far as it can tell.
    fn perform(&self, action: PowerAction) -> BoxFuture<'_, Result<PowerState, PowerError>>;
}

/// Switches machines; clones are the same.
#[derive(Clone)]
pub struct Power {
    store: Store,
    mesh: Option<Mesh>,
    places: Arc<Semaphore>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switched {
    /// How the machine is now.
    pub state: PowerState,
    /// Who did it.
    pub means: Means,
}

impl Power {
    /// Switches the machines of `store`.
    #[must_use]
    pub fn new(store: Store, mesh: Option<Mesh>) -> Self {
        Self {
            store,
            mesh,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Does what a person asked for.
    ///
    /// # Errors
    /// With what hinders.
    pub async fn switch(
        &self,
        machine: &Machine,
        action: PowerAction,
        by: &str,
    ) -> Result<Switched, PowerError> {
        let means = means_of(&self.store.view(), machine, action);
        self.perform(machine, means, action, by).await
    }

    /// Brings a machine to its next boot. [`Means::PressReset`]: nobody could, a person has to.
    ///
    /// # Errors
    /// With what hinders, where there was a means.
    pub async fn restart(&self, machine: &Machine, by: &str) -> Result<Means, PowerError> {
        let means = means_of_restart(&self.store.view(), machine);
        if means == Means::PressReset {
            return Ok(means);
        }
        let done = self.perform(machine, means, PowerAction::Cycle, by).await;
        done.map(|switched| switched.means)
    }

    async fn perform(
        &self,
        machine: &Machine,
        means: Means,
        action: PowerAction,
        by: &str,
    ) -> Result<Switched, PowerError> {
        let Some(driver) = self.driver(machine, means, by) else {
            return Err(PowerError::NoMeans(machine.name.to_string()));
        };
        let work = async {
            // It is never closed.
            let _place = self.places.acquire().await;
            driver.perform(action).await
        };
        let done = timeout(WITHIN, work).await.unwrap_or(Err(PowerError::Late));
        if action != PowerAction::Status {
            self.tell(machine, action, means, &done, by).await;
        }
        done.map(|state| Switched { state, means })
    }

    async fn tell(
        &self,
        machine: &Machine,
        action: PowerAction,
        means: Means,
        done: &Result<PowerState, PowerError>,
        by: &str,
    ) {
        info!(machine = %machine.name, action = action.word(), ?means, ?done, "a machine was switched");
        let told = TellPower {
            machine: machine.id.clone(),
            action,
            done: done
                .as_ref()
                .map(|_| via(means))
                .map_err(ToString::to_string),
            by: by.to_owned(),
        };
        if let Err(error) = self.store.apply(told).await {
            warn!(%error, "what was done to a machine's power could not be written down");
        }
    }

    fn driver(&self, machine: &Machine, means: Means, by: &str) -> Option<Box<dyn Driver>> {
        match means {
            Means::PressReset => None,
            Means::Agent => Some(Box::new(agent::Agent {
                mesh: self.mesh.clone()?,
                machine: machine.id.clone(),
                by: by.to_owned(),
            })),
            Means::Wake => Some(Box::new(wake::Wake {
                mesh: self.mesh.clone(),
                machine: machine.clone(),
                by: by.to_owned(),
            })),
            Means::Board => board(self.store.view().power(&machine.id)?),
        }
    }
}

/// For the record of events.
fn via(means: Means) -> &'static str {
    match means {
        Means::Agent => "by its agent",
        Means::Board => "by its management controller",
        Means::Wake => "by magic packets",
        Means::PressReset => "by a person",
    }
}

fn board(settings: &PowerSettings) -> Option<Box<dyn Driver>> {
    let PowerAddress::Board(board) = &settings.address else {
        return None;
    };
    let secret = settings.secret.clone();
    Some(match &board.protocol {
        Protocol::Ipmi { cipher } => Box::new(ipmi::Ipmi {
            board: board.clone(),
            cipher: *cipher,
            secret,
        }),
        Protocol::Redfish { tls, pin, system } => Box::new(redfish::Redfish::new(
            board,
            *tls,
            *pin,
            system.clone(),
            secret.as_ref(),
        )),
    })
}
