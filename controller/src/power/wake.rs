//! By magic packets: they switch on, and nobody answers them.

use futures_util::future::BoxFuture;

use super::{Driver, PowerError};
use crate::{
    mesh::{Mesh, broadcast},
    state::{
        machine::Machine,
        power::{PowerAction, PowerState},
    },
};

/// A machine that may hear them.
pub(super) struct Wake {
    pub(super) mesh: Option<Mesh>,
    pub(super) machine: Machine,
    pub(super) by: String,
}

impl Driver for Wake {
    fn perform(&self, action: PowerAction) -> BoxFuture<'_, Result<PowerState, PowerError>> {
        Box::pin(async move {
            match action {
                PowerAction::Off | PowerAction::Status => {
                    Err(PowerError::NoMeans(self.machine.name.to_string()))
                }
                PowerAction::On | PowerAction::Cycle => self.send().await,
            }
        })
    }
}

impl Wake {
    async fn send(&self) -> Result<PowerState, PowerError> {
        let sent = match &self.mesh {
            // With members that sit in other segments.
            Some(mesh) => !mesh.wake(&self.machine, &self.by).await.is_empty(),
            None => {
                self.machine
                    .macs
                    .iter()
                    .filter(|mac| broadcast(**mac))
                    .count()
                    > 0
            }
        };
        sent.then_some(PowerState::Unknown)
            .ok_or(PowerError::NotSent)
    }
}
