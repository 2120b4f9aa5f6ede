//! What is counted of questions between sites, for `/metrics`.

use mesh_net::CallError;
use mesh_proto::message::peer::PeerReply;

use super::Inner;
use crate::metrics::{Counter, PeerCounter};

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
    pub(super) fn answered(&self, reply: &PeerReply) {
        let result = match matches!(reply, PeerReply::Refused(_)) {
            true => "refused",
            false => "answered",
        };
        self.metrics
            .count(Counter::Peer(PeerCounter::Answered), result);
    }

    /// So many bytes of files travelled.
    pub(super) fn file_bytes(&self, way: &'static str, bytes: usize) {
        self.metrics
            .add(Counter::Peer(PeerCounter::Bytes), way, bytes as u64);
    }
}
