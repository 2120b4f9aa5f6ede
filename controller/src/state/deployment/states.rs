//! Where a deployment stands, and what that means for its machine.

use mesh_proto::message::job::Step;
use serde::{Deserialize, Serialize};

/// Where a deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(
    missing_docs,
    reason = "those of the agent are its steps: see `job::Step`"
)]
pub enum State {
    /// Waits for its turn, or for its machine.
    Queued,
    /// The management OS was served for it, or its agent took it.
    Served,
    Capturing,
    Erasing,
    Fetching,
    Writing,
    Verifying,
    Editing,
    /// All is on the disk and was read back.
    Written,
    /// The machine starts again, into the disk.
    Rebooting,
    /// The disk was started; nobody spoke yet.
    HandedOver,
    /// Over: the new system spoke.
    Online,
    /// Over: done, and nothing to be started.
    Done,
    /// Over: see the reason.
    Failed,
    /// Over: a person ended it.
    Cancelled,
}

impl State {
    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Served => "served",
            Self::Capturing => "capturing",
            Self::Erasing => "erasing",
            Self::Fetching => "fetching",
            Self::Writing => "writing",
            Self::Verifying => "verifying",
            Self::Editing => "editing",
            Self::Written => "written",
            Self::Rebooting => "rebooting",
            Self::HandedOver => "handed-over",
            Self::Online => "online",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<Step> for State {
    fn from(step: Step) -> Self {
        match step {
            Step::Capturing => Self::Capturing,
            Step::Erasing => Self::Erasing,
            Step::Fetching => Self::Fetching,
            Step::Writing => Self::Writing,
            Step::Verifying => Self::Verifying,
            Step::Editing => Self::Editing,
        }
    }
}

/// What a machine boots for a deployment, and whether others may have their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It waits: nothing was done yet.
    Waiting,
    /// The management OS works on the disk.
    AtWork,
    /// The disk is to be started, and its system to speak.
    Starting,
    /// It is over.
    Over,
}
