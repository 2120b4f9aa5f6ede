//! State swaps over the link: what gossip missed. The agent asks with its digest; only when the digests differ do both
//! send all they know.

use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

use mesh_proto::{
    membership::SwapBudget,
    message::link::{ControllerReply, FromAgent, Swap, SwapAnswer},
};

use super::{GossipError, GossipHandle};
use crate::{AgentLink, CallError};

/// Time for one step of a swap.
const STEP: Duration = Duration::from_secs(10);

/// What came of a swap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// Both knew the same.
    Same,
    /// They differed; now both know both.
    Merged {
        /// Entries that told this node something.
        news: usize,
    },
    /// The controller has too much to do.
    Later(Duration),
}

/// Why a swap failed.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// The link.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The gossip.
    #[error(transparent)]
    Gossip(#[from] GossipError),
    /// Another answer than one to a swap.
    #[error("the controller answered something else")]
    Nonsense,
}

/// An agent's swap with its controller. When the next one is due says
/// [`SwapClock`](mesh_proto::membership::SwapClock).
///
/// # Errors
/// When the link or the gossip is gone; the next link starts anew.
pub async fn swap(gossip: &GossipHandle, link: &AgentLink) -> Result<Swapped, SwapError> {
    let digest = gossip.digest().await?.to_string();
    match ask(
        link,
        Swap {
            digest,
            members: None,
        },
    )
    .await?
    {
        SwapAnswer::Same => Ok(Swapped::Same),
        SwapAnswer::Later { after_ms } => {
            Ok(Swapped::Later(Duration::from_millis(after_ms.into())))
        }
        SwapAnswer::Differs { members } => {
            let news = gossip.merge(members).await?.news;
            let (digest, members) = (gossip.digest().await?.to_string(), gossip.state().await?);
            ask(
                link,
                Swap {
                    digest,
                    members: Some(members),
                },
            )
            .await?;
            Ok(Swapped::Merged { news })
        }
    }
}

async fn ask(link: &AgentLink, swap: Swap) -> Result<SwapAnswer, SwapError> {
    match link.call(&FromAgent::Swap(swap), STEP).await? {
        ControllerReply::Swap(answer) => Ok(answer),
        _ => Err(SwapError::Nonsense),
    }
}

/// A controller's side of all swaps: at most five full ones a second.
pub struct SwapDesk {
    gossip: GossipHandle,
    budget: Mutex<SwapBudget>,
}

impl SwapDesk {
    /// Answers from this gossip.
    #[must_use]
    pub fn new(gossip: GossipHandle) -> Self {
        Self {
            gossip,
            budget: Mutex::default(),
        }
    }

    /// Answers one step of an agent's swap. `joining`: no swap of its link was answered yet, so it knows almost nobody and
    /// does not wait behind routine.
    ///
    /// # Errors
    /// Only [`GossipError::Stopped`].
    pub async fn answer(&self, swap: Swap, joining: bool) -> Result<SwapAnswer, GossipError> {
        if let Some(members) = swap.members {
            // The second step, which the first one's answer has paid for.
            self.gossip.merge(members).await?;
            return Ok(SwapAnswer::Same);
        }
        if self.gossip.digest().await?.to_string() == swap.digest {
            return Ok(SwapAnswer::Same);
        }
        match self.admit(joining) {
            Ok(()) => Ok(SwapAnswer::Differs {
                members: self.gossip.state().await?,
            }),
            Err(after) => Ok(SwapAnswer::Later {
                after_ms: u32::try_from(after.as_millis()).unwrap_or(u32::MAX),
            }),
        }
    }

    fn admit(&self, joining: bool) -> Result<(), Duration> {
        let mut budget = self
            .budget
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let now = Instant::now();
        if joining {
            budget.admit_joining(now)
        } else {
            budget.admit(now)
        }
    }
}
