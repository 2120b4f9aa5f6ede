//! Requests that have a name of their asker's own (`Idempotency-Key`), and what was made for them: asked again, it is that.

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{
    Timestamp, activation::ActivationId, command::CommandId, deployment::DeploymentId,
    rollout::RolloutId, trust::Digest,
};

/// How long a request is remembered: who did not hear an answer asks again within minutes, a person the next morning.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(24);
/// Requests remembered; the oldest makes room. At some hundred bytes each that is a megabyte.
pub const MAX_ANSWERS: usize = 4_096;

/// The name of a request, and what it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKey {
    /// SHA-256 of the asker and their name for it: nobody meets another's.
    pub name: Digest,
    /// SHA-256 of all of the request that counts.
    pub request: Digest,
}

impl RequestKey {
    /// The request that `caller`, as the API names them, calls `key`.
    #[must_use]
    pub fn new(caller: &str, key: &str, request: Digest) -> Self {
        // No caller's name has a zero byte.
        let name = Digest::of(format!("{caller}\0{key}").as_bytes());
        Self { name, request }
    }
}

/// A request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// See [`RequestKey::name`].
    pub name: Digest,
    /// See [`RequestKey::request`].
    pub request: Digest,
    /// When.
    pub at: Timestamp,
    /// What was made.
    pub made: Made,
}

impl Answered {
    /// Whether it still counts.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> bool {
        now.duration_since(self.at) < KEPT_FOR
    }
}

/// What was made for a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "what")]
pub enum Made {
    /// Boot configs were made due.
    Activations {
        /// These.
        ids: Vec<ActivationId>,
        /// Machines that could not have it, and why.
        refused: Vec<(String, String)>,
    },
    /// Deployments were asked for.
    Deployments {
        /// These.
        ids: Vec<DeploymentId>,
        /// The rollout that they are.
        rollout: Option<RolloutId>,
        /// Machines for which it cannot be done, and why.
        refused: Vec<(String, String)>,
    },
    /// A command was given.
    Command {
        /// This.
        id: CommandId,
    },
}
