//! How a machine is switched on and off, and by what means one that runs is restarted.

mod address;

use mesh_proto::message::Secret;
use serde::{Deserialize, Serialize};

pub use address::{BadPower, Board, PowerAddress, Protocol};

use super::{
    Timestamp, View,
    machine::{Machine, MachineId, Standing},
};

/// What a person said about a machine's power.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerSettings {
    /// Whose.
    pub machine: MachineId,
    /// Who switches it.
    pub address: PowerAddress,
    /// The password, where there is one; never shown.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// When that was said; `None`: before that was kept.
    #[serde(default)]
    pub set: Option<Timestamp>,
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerAction {
    /// On; nothing when it is on.
    On,
    /// Off at once, as by a long press.
    Off,
    /// Off and on again; on, when it is off.
    Cycle,
    /// Only tell.
    Status,
}

impl PowerAction {
    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Cycle => "cycle",
            Self::Status => "status",
        }
    }
}

/// Whether a machine has power, as far as anybody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerState {
    /// It has.
    On,
    /// It has not.
    Off,
    /// Nobody can tell.
    Unknown,
}

/// Who can do something about a machine's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// Its agent, which lets the system end in order.
    Agent,
    /// Its management controller (IPMI or Redfish).
    Board,
    /// Magic packets, for a machine that is off and was said to hear them.
    Wake,
    /// Nobody but a person.
    PressReset,
}

impl Means {
    /// For people: what happens, or what they have to do.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Agent => "its agent restarts it",
            Self::Board => "its management controller restarts it",
            Self::Wake => "magic packets wake it",
            Self::PressReset => "waiting: press reset",
        }
    }
}

/// How a machine gets to its next boot.
#[must_use]
pub fn means_of_restart(view: &View, machine: &Machine) -> Means {
    if agent_obeys(view, machine) {
        return Means::Agent;
    }
    match view.power(&machine.id).map(|p| &p.address) {
        Some(PowerAddress::Board(_)) => Means::Board,
        // Who was silent for long enough may well be off; packets to one that runs do no harm.
        Some(PowerAddress::WakeOnLan) => Means::Wake,
        None => Means::PressReset,
    }
}

/// Who does `action`: the board when there is one, since it always knows; else who can.
#[must_use]
pub fn means_of(view: &View, machine: &Machine, action: PowerAction) -> Means {
    let settings = view.power(&machine.id).map(|p| &p.address);
    match (settings, action) {
        (Some(PowerAddress::Board(_)), _) => Means::Board,
        (_, PowerAction::On) => Means::Wake,
        (_, PowerAction::Off | PowerAction::Cycle | PowerAction::Status)
            if agent_obeys(view, machine) =>
        {
            Means::Agent
        }
        (Some(PowerAddress::WakeOnLan), PowerAction::Cycle) => Means::Wake,
        (Some(PowerAddress::WakeOnLan) | None, _) => Means::PressReset,
    }
}

/// Whether it would take the command to restart.
fn agent_obeys(view: &View, machine: &Machine) -> bool {
    let ours = machine.standing == Standing::Accepted && machine.disputed.is_none();
    ours && view.member(&machine.id).is_some_and(|m| m.is_alive())
}
