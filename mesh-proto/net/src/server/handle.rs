//! A link as the controller holds it.

use std::{
    collections::HashMap,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mesh_proto::message::{
    Refusal,
    link::{AgentReply, ToAgent},
};
use quinn::Connection;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout_at,
};

use super::{
    lanes::{Lane, Lanes, Road},
    lock,
    pulse::{Epoch, Pulse},
};
use crate::{
    cert::PeerCert,
    close::{CallError, CloseCode, LinkEnd},
    stream::{Reader, write},
    transport::LINK_STREAMS,
};

/// A link to one agent; clones are the same link. It may have ended long ago: calls then fail.
#[derive(Clone)]
pub struct LinkHandle(Arc<Inner>);

struct Inner {
    id: u64,
    peer: PeerCert,
    connection: Connection,
    lanes: Arc<Lanes>,
    /// Connections beside it that may stand at once.
    beside: Semaphore,
    epoch: Epoch,
    pulse: Pulse,
}

impl fmt::Debug for LinkHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "link {} of {} at {}",
            self.0.id,
            self.0.peer.node,
            self.remote()
        )
    }
}

impl LinkHandle {
    /// A number no other link of this process has; later links have higher ones.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// Whose it is.
    #[must_use]
    pub fn peer(&self) -> &PeerCert {
        &self.0.peer
    }

    /// Where the agent is now; it may move without a new hello (QUIC migration).
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        let at = self.0.connection.remote_address();
        SocketAddr::new(at.ip().to_canonical(), at.port())
    }

    /// When anything authentic last came from the agent, to within 250 ms and never too early. An agent that is well is
    /// heard every two seconds.
    #[must_use]
    pub fn last_heard(&self) -> Instant {
        self.0.pulse.sample(&self.0.epoch, &self.0.connection);
        self.0.pulse.heard(&self.0.epoch)
    }

    /// How the link ended, or `None` while it stands.
    #[must_use]
    pub fn end(&self) -> Option<LinkEnd> {
        self.0.connection.close_reason().map(LinkEnd::from)
    }

    /// Asks the agent. The replies are read from what is returned, all of them within `within` from now.
    ///
    /// # Errors
    /// When the request could not be sent.
    pub async fn call(&self, ask: &ToAgent, within: Duration) -> Result<Replies, CallError> {
        let until = tokio::time::Instant::now() + within;
        let opened = timeout_at(until, self.0.connection.open_bi()).await;
        let (mut send, recv) = opened
            .map_err(|_| CallError::TimedOut)?
            .map_err(LinkEnd::from)?;
        write(&mut send, ask, within).await?;
        let _stopped = send.finish();
        Ok(Replies {
            reader: Reader::link(recv),
            until,
            done: false,
        })
    }

    /// Asks the agent and waits for the last reply; progress is skipped.
    ///
    /// # Errors
    /// When no last reply came within `within`, or it was a refusal.
    pub async fn ask(&self, ask: &ToAgent, within: Duration) -> Result<AgentReply, CallError> {
        let mut replies = self.call(ask, within).await?;
        loop {
            match replies.next().await {
                Some(Ok(AgentReply::Progress { .. })) => {}
                Some(Ok(AgentReply::Refused(refusal))) => return Err(refusal.into()),
                Some(other) => return other,
                None => return Err(CallError::Dropped),
            }
        }
    }

    /// Waits for a place among the transfers.
    pub(super) async fn lane(&self, road: &Road) -> Result<Lane, Refusal> {
        self.0.lanes.enter(road).await
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    /// A place for a connection beside it, unless as many stand as it may have streams.
    pub(super) fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.beside.try_acquire().ok()
    }

    /// Ends the link at once: not one more message is taken from it. The reason is for people.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.0.connection.close(code.to_wire(), reason.as_bytes());
    }
}

/// An agent's replies to one request.
pub struct Replies {
    reader: Reader,
    until: tokio::time::Instant,
    done: bool,
}

impl Replies {
    /// The next reply; `None` after the last one. An agent that goes away in between, or is late, is an error, and the
    /// last item. Safe to drop and call again (cancel-safe).
    pub async fn next(&mut self) -> Option<Result<AgentReply, CallError>> {
        if self.done {
            return None;
        }
        let reply = match self.reader.next(self.until).await {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(CallError::Dropped),
            Err(error) => Err(error.into()),
        };
        self.done = !matches!(reply, Ok(AgentReply::Progress { .. }));
        Some(reply)
    }
}

/// The links that stand.
#[derive(Default)]
pub(super) struct Links {
    last: AtomicU64,
    table: Mutex<HashMap<u64, LinkHandle>>,
}

impl Links {
    pub(super) fn open(&self, peer: PeerCert, connection: Connection, epoch: Epoch) -> LinkHandle {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let pulse = Pulse::new(&epoch, &connection);
        LinkHandle(Arc::new(Inner {
            id,
            peer,
            lanes: Lanes::of(&connection),
            beside: Semaphore::new(LINK_STREAMS as usize),
            connection,
            epoch,
            pulse,
        }))
    }

    pub(super) fn insert(&self, link: &LinkHandle) {
        lock(&self.table).insert(link.id(), link.clone());
    }

    /// The newest link of this key that stands.
    pub(super) fn of(&self, peer: &PeerCert) -> Option<LinkHandle> {
        let table = lock(&self.table);
        let same = |link: &&LinkHandle| {
            link.peer().spki_sha256 == peer.spki_sha256 && link.end().is_none()
        };
        let newest = table.values().filter(same).max_by_key(|link| link.id());
        newest.cloned()
    }

    pub(super) fn remove(&self, link: &LinkHandle) {
        lock(&self.table).remove(&link.id());
    }

    pub(super) fn sample(&self, epoch: &Epoch) {
        for link in lock(&self.table).values() {
            link.0.pulse.sample(epoch, &link.0.connection);
        }
    }
}
