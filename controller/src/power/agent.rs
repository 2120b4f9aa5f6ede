//! By the agent: it can end what runs, and tells by living that there is power.

use futures_util::future::BoxFuture;
use mesh_proto::message::command::Command;

use super::{Driver, PowerError};
use crate::{
    mesh::Mesh,
    state::{
        machine::MachineId,
        ops::MachineRef,
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
            let issued = self.mesh.command(machine, command, &self.by).await;
            let issued = issued.map_err(|e| PowerError::Agent(e.to_string()))?;
            issued.map_err(|e| PowerError::Agent(e.to_string()))?;
            Ok(then)
        })
    }
}
