//! What a controller may ask of a machine: a closed set, no shell among it.

use serde::{Deserialize, Serialize};

/// One command, bound to one boot of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The command's id; the same id is never done twice in one boot.
    pub id: String,
    /// The boot it is meant for, as the agent's hello named it: a replay after a reboot meets another one.
    pub boot_id: String,
    /// How long the order stays good, milliseconds from its receipt on the live link.
    pub ttl_ms: u32,
    /// What to do.
    pub command: Command,
}

/// Everything a machine can be asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Command {
    /// Restart; acknowledged before the machine goes down.
    Reboot,
    /// Show yourself to the person in front of the rack: screen, and the NIC's or disk's lamp where there is one.
    Identify {
        /// For how long.
        seconds: u32,
    },
    /// Read the hardware again and send the facts.
    Inventory,
    /// Send a magic packet on the local segment (AMD, "Magic Packet Technology").
    Wake {
        /// The sleeper's hardware address.
        mac: String,
    },
    /// Management OS: give the machine back to its disk. Installed OS: power off.
    Stop,
    /// Make a new key pair and have it certified.
    RotateKeys,
}

impl Command {
    /// Its stable word, as events, logs and metrics name it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::Identify { .. } => "identify",
            Self::Inventory => "inventory",
            Self::Wake { .. } => "wake",
            Self::Stop => "stop",
            Self::RotateKeys => "rotate-keys",
        }
    }
}
