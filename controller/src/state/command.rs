//! Commands: written down, then sent, then settled (DESIGN §5).

use mesh_proto::message::command::{Command, Order};
use serde::{Deserialize, Serialize};

pub use super::number::CommandId;
use super::{Timestamp, machine::MachineId};

/// How long a command may wait for a member that does not take it, beyond its own time to live.
pub const SEND_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);
/// How long a member may take from the order to its last word, unless the command names a longer time itself.
pub const SETTLE_WITHIN: jiff::SignedDuration = jiff::SignedDuration::from_mins(10);
/// Settled commands kept per machine.
pub const KEPT: usize = 32;
/// Commands that may be open for one machine: more is a loop somewhere.
pub const MAX_OPEN: usize = 16;

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandStage {
    /// Written down.
    Issued,
    /// On its way over the link; it may be under way.
    Sent,
    /// Settled: done, or for a reboot about to be.
    Done,
    /// Settled: it was tried and went wrong.
    Failed,
    /// Settled: the agent would not.
    Refused,
    /// Settled: nobody took it in time.
    Expired,
    /// Settled: its boot ended, or we were restarted, before we heard how it went.
    Lost,
}

impl CommandStage {
    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Sent => "sent",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Lost => "lost",
        }
    }

    /// Whether its end is still to come.
    #[must_use]
    pub fn is_open(self) -> bool {
        match self {
            Self::Issued | Self::Sent => true,
            Self::Done | Self::Failed | Self::Refused | Self::Expired | Self::Lost => false,
        }
    }
}

/// A command for one boot of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRecord {
    /// Its number.
    pub id: CommandId,
    /// For whom.
    pub machine: MachineId,
    /// For which boot.
    pub boot_id: String,
    /// What.
    pub command: Command,
    /// Good for so long after its receipt, milliseconds.
    pub ttl_ms: u32,
    /// Who asked for it, for people.
    pub by: String,
    /// When it was written down.
    pub issued: Timestamp,
    /// Where it stands.
    pub stage: CommandStage,
    /// The agent's last word on it, or ours.
    #[serde(default)]
    pub text: Option<String>,
    /// When it was settled.
    #[serde(default)]
    pub settled: Option<Timestamp>,
}

impl CommandRecord {
    /// As the link carries it.
    #[must_use]
    pub fn order(&self) -> Order {
        Order {
            id: self.id.to_string(),
            boot_id: self.boot_id.clone(),
            ttl_ms: self.ttl_ms,
            command: self.command.clone(),
        }
    }

    /// When nobody waits for it any longer.
    #[must_use]
    pub fn overdue_at(&self) -> Timestamp {
        let ttl = jiff::SignedDuration::from_millis(self.ttl_ms.into());
        match self.stage {
            CommandStage::Sent => self.issued + ttl + SEND_WITHIN + self.takes(),
            _ => self.issued + ttl + SEND_WITHIN,
        }
    }

    fn takes(&self) -> jiff::SignedDuration {
        match self.command {
            Command::Identify { seconds } => {
                SETTLE_WITHIN + jiff::SignedDuration::from_secs(seconds.into())
            }
            Command::Reboot
            | Command::Inventory
            | Command::Wake { .. }
            | Command::Stop
            | Command::RotateKeys => SETTLE_WITHIN,
        }
    }
}
