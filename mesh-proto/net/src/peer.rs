//! A link between two sites. Both ends are alike: either asks, whoever dialled.

pub(crate) mod dial;
mod frames;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use mesh_proto::message::peer::{PeerAsk, PeerReply};
use quinn::{Connection, RecvStream, SendStream};
use tokio::time::{Instant, timeout_at};

pub use self::frames::PeerFrame;
use crate::{
    body::{BODY_IDLE, Body, Flow, Pace, send_flow},
    close::{CallError, CloseCode, LinkEnd},
    stream::{Reader, write, write_last},
    transport::{LINK_STREAMS, WIDE},
    wire::Give,
};

/// Time for a question to arrive whole once its stream is open: it is small, and a peer that drips is cut off.
const QUESTION: Duration = Duration::from_secs(5);
/// Time for an answer to be taken.
const ANSWER: Duration = Duration::from_secs(30);

/// The link; clones are the same one. It may have ended long ago: questions then fail.
#[derive(Clone)]
pub struct PeerLink {
    site: Arc<str>,
    connection: Connection,
}

impl fmt::Debug for PeerLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link with {} at {}", self.site, self.remote())
    }
}

impl PeerLink {
    /// A connection whose other side has proved to be a controller of `site`.
    pub(crate) fn new(site: &str, connection: Connection) -> Self {
        connection.set_max_concurrent_bi_streams(LINK_STREAMS.into());
        connection.set_max_concurrent_uni_streams(frames::FRAME_STREAMS.into());
        // There are few such links, and files travel on them.
        connection.set_receive_window(WIDE.into());
        connection.set_send_window(WIDE.into());
        Self {
            site: site.into(),
            connection,
        }
    }

    /// The other site, as its certificate says.
    #[must_use]
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Where its controller is.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        let at = self.connection.remote_address();
        SocketAddr::new(at.ip().to_canonical(), at.port())
    }

    /// Whether both are the same connection.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.connection.stable_id() == other.connection.stable_id()
    }

    /// How it ended, or `None` while it stands.
    #[must_use]
    pub fn end(&self) -> Option<LinkEnd> {
        self.connection.close_reason().map(LinkEnd::from)
    }

    /// Ends it at once. The reason is for people.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.connection.close(code.to_wire(), reason.as_bytes());
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When there was none within `within`, or it was a refusal.
    pub async fn ask(&self, ask: &PeerAsk, within: Duration) -> Result<PeerReply, CallError> {
        let until = Instant::now() + within;
        let (reply, _) = timeout_at(until, self.exchange(ask, until, Reader::link))
            .await
            .map_err(|_| CallError::TimedOut)??;
        Ok(reply)
    }

    /// Asks for bytes: how many follow, and the bytes. Until the first answer `within`; then they may take their time, but
    /// not stop.
    ///
    /// # Errors
    /// As [`Self::ask`]; also when something else is answered.
    pub async fn fetch(&self, ask: &PeerAsk, within: Duration) -> Result<(u64, Body), CallError> {
        let until = Instant::now() + within;
        let (reply, reader) = timeout_at(until, self.exchange(ask, until, Reader::link))
            .await
            .map_err(|_| CallError::TimedOut)??;
        match reply {
            PeerReply::Follows { len } => Ok((len, reader.into_body())),
            _ => Err(CallError::Protocol("bytes were asked for".to_owned())),
        }
    }

    /// Asks for answers that follow one another, the first of them within `within`; each fits into an early frame.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn subscribe(
        &self,
        ask: &PeerAsk,
        within: Duration,
    ) -> Result<(PeerReply, PeerReplies), CallError> {
        let until = Instant::now() + within;
        let (reply, reader) = timeout_at(until, self.exchange(ask, until, Reader::early))
            .await
            .map_err(|_| CallError::TimedOut)??;
        Ok((reply, PeerReplies(reader)))
    }

    async fn exchange(
        &self,
        ask: &PeerAsk,
        until: Instant,
        reader: fn(RecvStream) -> Reader,
    ) -> Result<(PeerReply, Reader), CallError> {
        let (mut send, recv) = self.connection.open_bi().await.map_err(LinkEnd::from)?;
        write(&mut send, ask, ANSWER).await?;
        let _stopped = send.finish();
        let mut reader = reader(recv);
        match reader.next(until).await?.ok_or(CallError::Dropped)? {
            PeerReply::Refused(refusal) => Err(refusal.into()),
            reply => Ok((reply, reader)),
        }
    }

    /// The next question of the other side, not read yet. Safe to drop and call again (cancel-safe).
    ///
    /// # Errors
    /// How the link ended.
    pub async fn accept(&self) -> Result<PeerIncoming, LinkEnd> {
        let (send, recv) = self.connection.accept_bi().await?;
        Ok(PeerIncoming { send, recv })
    }
}

/// Answers that follow the first one. Dropped, the other side is told to stop.
#[derive(Debug)]
pub struct PeerReplies(Reader);

impl PeerReplies {
    /// The next one.
    ///
    /// # Errors
    /// When there was none within `within`, or it was a refusal.
    pub async fn next(&mut self, within: Duration) -> Result<PeerReply, CallError> {
        let until = Instant::now() + within;
        match self.0.next(until).await?.ok_or(CallError::Dropped)? {
            PeerReply::Refused(refusal) => Err(refusal.into()),
            reply => Ok(reply),
        }
    }
}

/// A question that has begun to arrive.
#[derive(Debug)]
pub struct PeerIncoming {
    send: SendStream,
    recv: RecvStream,
}

impl PeerIncoming {
    /// The question, and the way to answer it.
    ///
    /// # Errors
    /// When it does not come in time, is too long, or is none.
    pub async fn read(self) -> Result<(PeerAsk, PeerResponder), CallError> {
        // Questions are small; the places for big frames are for others.
        let ask = Reader::early(self.recv).expect(QUESTION).await?;
        Ok((ask, PeerResponder(self.send)))
    }
}

/// Answers one question. Dropped without an answer, the other side sees its question dropped.
#[derive(Debug)]
pub struct PeerResponder(SendStream);

impl PeerResponder {
    /// Answers.
    pub async fn reply(mut self, reply: &PeerReply) {
        // Who asked may be gone.
        let _gone = write_last(&mut self.0, reply, ANSWER).await;
    }

    /// Answers, and more answers follow. Who does not take this one within `within` is cut off: the stream is of no use any
    /// more.
    ///
    /// # Errors
    /// When it was not taken.
    pub async fn say(&mut self, reply: &PeerReply, within: Duration) -> Result<(), CallError> {
        let said = write(&mut self.0, reply, within).await;
        if said.is_err() {
            let _gone = self.0.reset(CloseCode::TooSlow.to_wire());
        }
        Ok(said?)
    }

    /// Returns when the other side wants no more answers.
    pub async fn given_up(&mut self) {
        let _any_reason = self.0.stopped().await;
    }

    /// Answers with bytes.
    pub async fn follow(mut self, len: u64, flow: Flow) {
        let head = PeerReply::Follows { len };
        if write(&mut self.0, &head, ANSWER).await.is_ok() {
            let _gone = send_flow(&mut Give::Link(self.0), flow, Pace::new(BODY_IDLE)).await;
        }
    }
}
