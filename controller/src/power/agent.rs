//! By the agent: it can end what runs, and tells by living that there is power.

use futures_util::future::BoxFuture;
use mesh_proto::message::command::Command;

use super::{Driver, PowerError};
use crate::{
    mesh::Mesh,
    state::{
        machine::MachineId,
        ops::{Giver, MachineRef},
        power::{PowerAction, PowerState},
    },
};

/// A living agent.
pub(super) struct Agent {
    pub(super) mesh: Mesh,
    pub(super) machine: MachineId,
    pub(super) by: String,
}

impl Driver for Agent {
    fn perform(&self, action: PowerAction) -> BoxFuture<'_, Result<PowerState, PowerError>> {
        Box::pin(async move {
            let (command, then) = match action {
                PowerAction::On | PowerAction::Status => return Ok(PowerState::On),
                PowerAction::Off => (Command::Stop, PowerState::Unknown),
                PowerAction::Cycle => (Command::Reboot, PowerState::On),
            };
            let machine = MachineRef(self.machine.to_string());
            // Whoever wants it was asked about the machine before.
            let by = Giver::Controller(self.by.clone());
            let issued = self.mesh.command(machine, command, by).await;
            let issued = issued.map_err(|e| PowerError::Agent(e.to_string()))?;
            issued.map_err(|e| PowerError::Agent(e.to_string()))?;
            Ok(then)
        })
    }
}
