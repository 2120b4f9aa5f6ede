//! The open streams of keys that wait for a person. That they wait is written down; that somebody listens is known here.

use std::collections::HashMap;

use mesh_net::EnrolOutcome;
use tokio::sync::oneshot;

use crate::state::trust::Digest;

/// A stream that is open.
struct Stream {
    ticket: u64,
    spki: Vec<u8>,
    tell: oneshot::Sender<EnrolOutcome>,
}

/// All of them, by key. mesh-net limits how many there are.
#[derive(Default)]
pub(super) struct Waiting {
    last: u64,
    streams: HashMap<Digest, Stream>,
}

impl Waiting {
    /// A stream waits for what becomes of this key. An older stream of the key is let go. Gives a ticket by which it can
    /// be [let go](Self::let_go), and where the word will come.
    pub(super) fn add(
        &mut self,
        key: Digest,
        spki: Vec<u8>,
    ) -> (u64, oneshot::Receiver<EnrolOutcome>) {
        let (tell, told) = oneshot::channel();
        self.last += 1;
        let ticket = self.last;
        self.streams.insert(key, Stream { ticket, spki, tell });
        (ticket, told)
    }

    /// The stream's agent went away. Says whether it was still the key's newest.
    pub(super) fn let_go(&mut self, key: &Digest, ticket: u64) -> bool {
        let newest = self.streams.get(key).is_some_and(|s| s.ticket == ticket);
        if newest {
            self.streams.remove(key);
        }
        newest
    }

    /// The key (DER of its SubjectPublicKeyInfo) and whom to tell; `None`: nobody listens any more.
    pub(super) fn take(
        &mut self,
        key: &Digest,
    ) -> Option<(Vec<u8>, oneshot::Sender<EnrolOutcome>)> {
        self.streams.remove(key).map(|s| (s.spki, s.tell))
    }
}
