//! Whether a machine that idles in the management OS has something better to boot.

use ipxe::BootPlan;
use mesh_proto::message::{command::Command, link::Habitat};

use super::{BootRequest, decide, due};
use crate::state::{Timestamp, View, deployment::restart, machine::MachineId};

/// Why this machine should start again now, if so: a job wants it, or its agent idles in the management OS and what was
/// activated for it waits no longer. Said once per boot: a machine that was told already is left alone.
#[must_use]
pub fn next_boot_wanted(view: &View, machine: &MachineId, now: Timestamp) -> Option<String> {
    let known = view.machine(machine)?;
    restart::wanted(view, known, now).or_else(|| config_waits(view, machine, now))
}

fn config_waits(view: &View, machine: &MachineId, now: Timestamp) -> Option<String> {
    let member = view.member(machine)?;
    if !member.is_alive() || member.habitat != Habitat::ManagementOs {
        return None;
    }
    let told = |c: &Command| matches!(c, Command::Reboot);
    let mut commands = view.commands_of(machine);
    if commands.any(|c| c.boot_id == member.boot_id && told(&c.command)) {
        return None;
    }
    let known = view.machine(machine)?;
    let due = due(view, machine, now)?;
    let request = BootRequest {
        mac: known.main_mac()?,
        arch: None,
        session: None,
        after_management: false,
        base: "http://192.0.2.1".to_owned(),
        known_address: None,
        controller: None,
        peers: Default::default(),
    };
    match decide(&request, view, now).plan {
        BootPlan::Config(_) => Some(format!("{} is due", due.config.name)),
        BootPlan::Management(_)
        | BootPlan::AskPeers
        | BootPlan::LocalDisk(_)
        | BootPlan::Silent => None,
    }
}
