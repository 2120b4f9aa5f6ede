//! What is counted of questions between sites, for `/metrics`.

use std::net::SocketAddr;

use mesh_net::CallError;
use mesh_proto::message::peer::PeerReply;
use tracing::{debug, warn};

use super::{Inner, question::plain};
use crate::{
    metrics::{Counter, PeerCounter},
    state::peer::SiteName,
};

/// What a peer sent that is not taken: the word of its counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// An answer to another question.
    Answer,
    /// A grant whose parts cannot be, or that is not wanted.
    Grant,
    /// Other bytes than it granted.
    File,
    /// Rows of machines.
    Rows,
    /// Events.
    Events,
    /// An image's version, manifest or chunks.
    Image,
    /// One link more than a site may have.
    Link,
}

impl Rejected {
    fn word(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Grant => "grant",
            Self::File => "file",
            Self::Rows => "rows",
            Self::Events => "events",
            Self::Image => "image",
            Self::Link => "link",
        }
    }
}

impl Inner {
    /// A question of ours came to this; given back as it was.
    pub(super) fn asked<T>(&self, answer: Result<T, CallError>) -> Result<T, CallError> {
        let result = match &answer {
            Ok(_) => "answered",
            Err(CallError::TimedOut) => "late",
            Err(CallError::Refused(_)) => "refused",
            Err(CallError::Link(_)) => "no-link",
            Err(CallError::Dropped | CallError::Protocol(_)) => "senseless",
        };
        self.metrics
            .count(Counter::Peer(PeerCounter::Asked), result);
        answer
    }

    /// A peer's question is answered with this.
    pub(super) fn answered(&self, site: &SiteName, reply: &PeerReply) {
        let result = match reply {
            PeerReply::Refused(refusal) => {
                debug!(%site, "a question of a peer is refused: {}", plain(&refusal.text));
                "refused"
            }
            PeerReply::Nothing { why } => {
                debug!(%site, "a peer is told that there is nothing for it: {}", plain(why));
                "answered"
            }
            _ => "answered",
        };
        self.metrics
            .count(Counter::Peer(PeerCounter::Answered), result);
    }

    /// A question of a site that was revoked, or over a link that has ended: it gets no answer.
    pub(super) fn unanswered(&self, site: &SiteName) {
        debug!(%site, "a question of a site that counts no more is not answered");
        self.metrics
            .count(Counter::Peer(PeerCounter::Answered), "revoked");
    }

    /// What a peer sent is not taken. That is all that comes of it. Links come unasked, and could fill the
    /// log; the others were asked for.
    pub(super) fn rejected(&self, site: &SiteName, what: Rejected, why: &str) {
        let word = what.word();
        match what {
            Rejected::Link => debug!(%site, "a link of a peer is not taken: {}", plain(why)),
            _ => warn!(%site, what = word, "what a peer sent is not taken: {}", plain(why)),
        }
        self.metrics
            .count(Counter::Peer(PeerCounter::Rejected), word);
    }

    /// Somebody showed an invitation that is not good, or not any more.
    pub(super) fn invitation_rejected(&self, from: SocketAddr, why: &str) {
        warn!(%from, "an invitation is not taken: {why}");
        self.metrics
            .count(Counter::Peer(PeerCounter::Rejected), "invitation");
    }

    /// So many bytes of files travelled.
    pub(super) fn file_bytes(&self, way: &'static str, bytes: usize) {
        self.metrics
            .add(Counter::Peer(PeerCounter::Bytes), way, bytes as u64);
    }
}
