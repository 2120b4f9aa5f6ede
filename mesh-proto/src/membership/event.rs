//! What membership tells its owner.

use std::time::Instant;

use crate::{broadcast::FactsNote, identity::Identity};

/// Something changed. Suspicion is not told: it comes and goes, and is shown by
/// [`Membership::members`](super::Membership::members).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A member is there: new, or back.
    Up(Identity),
    /// A member is gone: it said so, a controller did, or it stayed suspected for too long.
    Down(Identity),
    /// A member that is there has a newer identity: it moved, renewed itself, or greeted a controller again.
    Renewed {
        /// Which of its identities ended.
        before: Identity,
        /// Which began.
        after: Identity,
    },
    /// A node has other facts than it had.
    Facts(FactsNote),
    /// Somebody knows us: we take part.
    Joined,
    /// Nobody is left. The seeds are asked until somebody answers.
    Alone,
    /// We were declared down, and are back under this identity.
    RenewedOurselves(Identity),
    /// We were declared down and cannot renew: a controller must issue a new generation.
    Expelled,
    /// Events were lost because nobody read them. [`Membership::members`](super::Membership::members) has the truth.
    Lagged,
}

/// What is thought of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// Answers.
    Alive,
    /// Did not answer somebody, and has not spoken up since.
    Suspect,
    /// Gone, nobody said why.
    Down,
    /// Went on purpose, as a controller says.
    Left,
    /// Its key was revoked, as a controller says.
    Revoked,
}

impl MemberState {
    /// Whether the member takes part.
    #[must_use]
    pub fn is_active(self) -> bool {
        match self {
            Self::Alive | Self::Suspect => true,
            Self::Down | Self::Left | Self::Revoked => false,
        }
    }
}

/// One row of the list of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its newest identity.
    pub identity: Identity,
    /// What is thought of it.
    pub state: MemberState,
    /// Since when it is there, or gone. A suspicion changes nothing here.
    pub since: Instant,
    /// The newest word on its facts.
    pub facts: Option<FactsNote>,
}

/// Why a datagram was not taken. Nothing changed, but for [`Refused::Tail`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// Longer than any packet of ours.
    #[error("longer than a packet may be")]
    TooLong,
    /// Not a packet.
    #[error("not a packet of the membership protocol")]
    Malformed,
    /// It says that we sent it: two hosts have one node id, or somebody plays games.
    #[error("it claims to come from ourselves")]
    FromOurselves,
    /// We remember [`MAX_MEMBERS`](super::MAX_MEMBERS) already, and the sender is none of them.
    #[error("from a stranger, and the list of members is full")]
    Full,
    /// The membership part was taken, what followed was no note about facts.
    #[error("the notes behind the updates are malformed")]
    Tail,
}

/// What was counted since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MembershipCounters {
    /// Datagrams that were refused.
    pub refused: u64,
    /// Updates about strangers that were dropped because the list is full.
    pub strangers: u64,
    /// Packets that were dropped because the socket was slower.
    pub transmits_lost: u64,
    /// Events that were dropped because their reader was slower.
    pub events_lost: u64,
    /// Needless "you are down" messages that were not sent.
    pub undead_withheld: u64,
    /// Times we renewed our own identity.
    pub renewals: u64,
    /// Times we noticed that we had been stopped.
    pub pauses: u64,
    /// Steps of the protocol that failed: mistakes in our code.
    pub faults: u64,
}
