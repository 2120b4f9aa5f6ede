//! Deployments: jobs for a machine's disk, one queue per machine (DESIGN §5).
//!
//! `queued → served → capturing → erasing → fetching → writing → verifying → editing → written → rebooting → handed-over |
//! online | done | failed | cancelled`. A job is claimed before the management OS's script leaves or when the agent asks for
//! it; each step is written down before the agent is answered; what is over stays over. This file says what a deployment
//! is, with what is to be done and where it stands; [`queue`] whose turn it is, [`words`] what a person is told,
//! [`ops`](super::ops) how it changes.

mod order;
pub mod provision;
pub mod queue;
pub mod restart;
mod states;
pub mod words;

use mesh_proto::message::job::{Counts, DiskSeen, Edit, Kexec};
use serde::{Deserialize, Serialize};

pub use self::{
    order::{Order, Probe, Save, Until, When},
    states::{Phase, State},
};
pub use super::number::DeploymentId;
use super::{
    Timestamp,
    activation::Nonce,
    image::VersionId,
    machine::MachineId,
    rollout::RolloutId,
    setup::SetupName,
    trust::{key::Serial, token::TokenId},
};

/// Starts of the machine that one job gets to come online: the first, and one retry.
pub const MAX_TRIES: u32 = 2;
/// Boots of the management OS without a step by its agent before a job fails: never a boot loop. A flaky link can cost a
/// few; each step that is reported begins the count anew.
pub const MAX_BOOTS: u32 = 20;
/// Jobs that may wait for one machine: more is a loop somewhere.
pub const MAX_QUEUED: usize = 64;
/// Jobs kept per machine after they are over, for its history.
pub const KEPT: usize = 16;
/// Moments kept of one job; the first and the newest stay.
const MAX_HISTORY: usize = 64;

/// What larger thing a deployment belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "of")]
pub enum Part {
    /// Many machines get the same.
    Rollout {
        /// Which.
        rollout: RolloutId,
    },
    /// A machine gets several images, in order, as one.
    Setup {
        /// Which.
        setup: SetupName,
        /// The number of the first of them, which names them all.
        run: DeploymentId,
        /// Its place, from zero.
        index: u16,
        /// How many there are.
        count: u16,
    },
    /// The saved disk is written back.
    RollBack {
        /// What failed.
        failed: DeploymentId,
    },
}

/// What was found when all was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The disk.
    pub disk: DiskSeen,
    /// What was changed on top of the image.
    pub edits: Vec<Edit>,
    /// What was counted.
    pub counts: Counts,
    /// Whether the written kernel starts at once, when that was asked for and an agent said so.
    #[serde(default)]
    pub kexec: Option<Kexec>,
}

/// A state and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Which.
    pub state: State,
    /// When.
    pub at: Timestamp,
}

/// A machine was switched for its job, by its management controller or by magic packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switched {
    /// When, for the last time.
    pub at: Timestamp,
    /// How often.
    pub times: u32,
    /// Why the last time was none.
    #[serde(default)]
    pub refused: Option<String>,
}

/// A job for a machine's disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its number.
    pub id: DeploymentId,
    /// Its name in URLs: who shows it speaks for the new system.
    pub nonce: Nonce,
    /// Whose disk.
    pub machine: MachineId,
    /// Its place in the machine's queue: lower ones first.
    pub place: i64,
    /// Who asked for it, for people.
    pub by: String,
    /// What is to be done.
    pub order: Order,
    /// What it belongs to.
    #[serde(default)]
    pub part: Option<Part>,
    /// When it was asked for.
    pub created: Timestamp,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Why, where there is more to say.
    #[serde(default)]
    pub reason: Option<String>,
    /// Starts of the machine to come online.
    #[serde(default)]
    pub tries: u32,
    /// Boots of the management OS since the last step.
    #[serde(default)]
    pub boots: u32,
    /// The boot that was served last; its retries are no new boots.
    #[serde(default)]
    pub session: Option<String>,
    /// The disk as it was: what `save_current` made.
    #[serde(default)]
    pub captured: Option<VersionId>,
    /// What was written.
    #[serde(default)]
    pub written: Option<Written>,
    /// The token that was given out for it last; it ends with the job.
    #[serde(default)]
    pub token: Option<TokenId>,
    /// The key of the agent that has it; another one is another boot.
    #[serde(default)]
    pub taken_by: Option<Serial>,
    /// Somebody switched its machine for it, since the state began.
    #[serde(default)]
    pub switched: Option<Switched>,
    /// When somebody has to have spoken.
    #[serde(default)]
    pub deadline: Option<Timestamp>,
    /// The states it had.
    pub history: Vec<Moment>,
}

impl Deployment {
    /// What it means for its machine.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Queued => Phase::Waiting,
            State::Served
            | State::Capturing
            | State::Erasing
            | State::Fetching
            | State::Writing
            | State::Verifying
            | State::Editing => Phase::AtWork,
            State::Written | State::Rebooting => Phase::Starting,
            State::HandedOver => match self.order.until {
                Until::HandedOver => Phase::Over,
                Until::Online { .. } => Phase::Starting,
            },
            State::Online | State::Done | State::Failed | State::Cancelled => Phase::Over,
        }
    }

    /// Whether its end is still to come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.phase() != Phase::Over
    }

    /// Whether it has its machine: no other job may begin there.
    #[must_use]
    pub fn is_active(&self) -> bool {
        match self.phase() {
            Phase::AtWork | Phase::Starting => true,
            Phase::Waiting | Phase::Over => false,
        }
    }

    /// The rollout it belongs to.
    #[must_use]
    pub fn rollout(&self) -> Option<RolloutId> {
        match &self.part {
            Some(Part::Rollout { rollout }) => Some(*rollout),
            Some(Part::Setup { .. } | Part::RollBack { .. }) | None => None,
        }
    }

    /// The same in another state.
    #[must_use]
    pub fn to(&self, state: State, reason: Option<String>, now: Timestamp) -> Self {
        let mut next = self.clone();
        (next.state, next.since, next.reason) = (state, now, reason);
        // It goes on: what was done to the machine for the state before has worked.
        next.switched = None;
        next.history.push(Moment { state, at: now });
        if next.history.len() > MAX_HISTORY {
            next.history.remove(1);
        }
        if !next.is_open() {
            next.deadline = None;
            // What was for the new system alone is not kept longer than needed.
            next.order.provision.iter_mut().for_each(|f| f.text.clear());
        }
        next
    }

    /// What it does, in few words: `debian@3`, `erase`, `save to web1-disk`.
    #[must_use]
    pub fn title(&self) -> String {
        match (
            &self.order.image,
            &self.order.erase,
            &self.order.save_current,
        ) {
            (Some(image), ..) => image.id.to_string(),
            (None, Some(_), _) => "erase".to_owned(),
            (None, None, Some(save)) => format!("save to {}", save.name),
            (None, None, None) => "nothing".to_owned(),
        }
    }
}
