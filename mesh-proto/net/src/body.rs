//! Bytes beside messages: what follows a request or an answer on its stream.
//!
//! Images travel so: a frame says what follows, then the stream carries plain bytes to its end. Nothing is held but what
//! QUIC has in flight; who is slow to take or to give slows the other side down, and who stands still is dropped.

use std::{fmt, time::Duration};

use bytes::Bytes;
use mesh_proto::message::link::{ControllerReply, FromAgent};
use tokio::{
    sync::{SemaphorePermit, mpsc},
    time::{Instant, timeout_at},
};

use crate::{
    close::{CallError, CloseCode, LinkEnd},
    wire::{Give, Recv, WireError},
};

/// Longest wait for the next bytes, or until some were taken: a radio that was gone for a moment comes back.
pub const BODY_IDLE: Duration = Duration::from_secs(15);
/// Longest time for all bytes of one request: 256 MiB at half a megabyte a second. Who is slower asks for less at once.
pub const BODY_WHOLE: Duration = Duration::from_secs(600);
/// Bytes handed on at a time.
const PIECE: usize = 256 << 10;

/// Why bytes stopped coming, or going.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Nothing moved for [`BODY_IDLE`], or it took longer than [`BODY_WHOLE`].
    #[error("the bytes stopped moving")]
    Stalled,
    /// The stream ended before everything had come.
    #[error("the bytes ended early")]
    Cut,
    /// The other side gave it up.
    #[error("the other side gave the transfer up")]
    GivenUp,
    /// The link is gone.
    #[error(transparent)]
    Link(#[from] LinkEnd),
}

impl From<WireError> for BodyError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Link(end) => Self::Link(end),
            WireError::Cut => Self::Cut,
            WireError::GivenUp => Self::GivenUp,
        }
    }
}

impl From<BodyError> for CallError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Stalled => Self::TimedOut,
            BodyError::Cut | BodyError::GivenUp => Self::Dropped,
            BodyError::Link(end) => Self::Link(end),
        }
    }
}

/// How long each next piece, and all of them, may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    idle: Duration,
    until: Instant,
}

impl Pace {
    /// From now on.
    pub(crate) fn new(idle: Duration) -> Self {
        let until = Instant::now() + BODY_WHOLE;
        Self { idle, until }
    }

    fn soon(&self) -> Instant {
        self.until.min(Instant::now() + self.idle)
    }
}

/// Bytes that come. Dropped before their end, the other side is told to stop.
pub struct Body {
    recv: Recv,
    /// Came in one piece with the frame before.
    rest: Bytes,
    pace: Pace,
    /// Of the frame before, until the request is done.
    _big: Option<SemaphorePermit<'static>>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({:?})", self.recv)
    }
}

impl Body {
    pub(crate) fn new(recv: Recv, rest: Bytes, big: Option<SemaphorePermit<'static>>) -> Self {
        Self {
            recv,
            rest,
            pace: Pace::new(BODY_IDLE),
            _big: big,
        }
    }

    /// Waits so long for the next bytes.
    pub(crate) fn idle(mut self, idle: Duration) -> Self {
        self.pace = Pace::new(idle);
        self
    }

    /// The next bytes, as many as there are at once; `None` at the end. Safe to drop and call again (cancel-safe).
    ///
    /// # Errors
    /// When they stop coming before the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        let read = timeout_at(self.pace.soon(), self.recv.chunk(PIECE)).await;
        Ok(read.map_err(|_| BodyError::Stalled)??)
    }

    /// Fills `into`.
    ///
    /// # Errors
    /// When the bytes end, or stop coming, before it is full.
    pub async fn fill(&mut self, into: &mut [u8]) -> Result<(), BodyError> {
        let had = self.rest.len().min(into.len());
        into[..had].copy_from_slice(&self.rest.split_to(had));
        // Piece by piece: each is a sign of life.
        for piece in into[had..].chunks_mut(PIECE) {
            let read = timeout_at(self.pace.soon(), self.recv.exactly(piece)).await;
            read.map_err(|_| BodyError::Stalled)??;
        }
        Ok(())
    }

    /// Makes sure that nothing more comes.
    ///
    /// # Errors
    /// [`BodyError::GivenUp`] when something does.
    pub async fn end(&mut self) -> Result<(), BodyError> {
        match self.next().await? {
            None => Ok(()),
            Some(_) => Err(BodyError::GivenUp),
        }
    }
}

/// What is answered to a request.
#[derive(Debug)]
pub enum Answer {
    /// A message, and nothing more.
    Reply(ControllerReply),
    /// [`ControllerReply::Follows`] and the bytes.
    Follows(Flow),
}

impl From<ControllerReply> for Answer {
    fn from(reply: ControllerReply) -> Self {
        Self::Reply(reply)
    }
}

/// Bytes that go. They are taken from the channel as fast as the other side takes them; when it goes away or stands
/// still, the channel's sender sees it closed.
#[derive(Debug)]
pub struct Flow {
    /// How many bytes, when it is known before.
    pub len: Option<u64>,
    /// The bytes; a channel that is closed early ends the stream early, which who asked for so many chunks sees.
    pub bytes: mpsc::Receiver<Bytes>,
}

/// Whether bytes come with a request, or with its answer.
pub(crate) fn has_body(ask: &FromAgent) -> bool {
    matches!(
        ask,
        FromAgent::Fetch(_)
            | FromAgent::BootFile { .. }
            | FromAgent::Put { .. }
            | FromAgent::Save { .. }
    )
}

/// Writes bytes piece by piece: each piece that is taken is a sign of life.
pub(crate) async fn send_bytes(
    send: &mut Give,
    mut bytes: Bytes,
    pace: Pace,
) -> Result<(), BodyError> {
    while !bytes.is_empty() {
        let piece = bytes.split_to(bytes.len().min(PIECE));
        let sent = timeout_at(pace.soon(), send.chunk(piece)).await;
        sent.map_err(|_| BodyError::Stalled)??;
    }
    Ok(())
}

/// Sends a flow to its end and waits until the other side has it. A stream that cannot be finished is reset, so that the
/// other side does not take what came for the whole.
pub(crate) async fn send_flow(
    send: &mut Give,
    mut flow: Flow,
    pace: Pace,
) -> Result<(), BodyError> {
    let sent = async {
        let mut left = flow.len;
        while let Some(bytes) = flow.bytes.recv().await {
            left = left.map(|left| left.saturating_sub(bytes.len() as u64));
            send_bytes(send, bytes, pace).await?;
        }
        if left.is_some_and(|left| left > 0) {
            return Err(BodyError::Cut);
        }
        let ended = async {
            send.finish().await;
            send.taken().await;
        };
        timeout_at(pace.soon(), ended)
            .await
            .map_err(|_| BodyError::Stalled)
    };
    let sent = timeout_at(pace.until, sent)
        .await
        .unwrap_or(Err(BodyError::Stalled));
    if sent.is_err() {
        send.reset(CloseCode::TooSlow);
    }
    sent
}
