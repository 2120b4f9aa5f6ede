//! Messages over one QUIC stream, with a limit for each frame and a time for each wait.

use std::time::Duration;

use bytes::Bytes;
use mesh_proto::{
    frame::{FrameError, Frames, MAX_EARLY_FRAME_BYTES, MAX_FRAME_BYTES, frame},
    message::{self, MessageError},
};
use quinn::{RecvStream, SendStream, WriteError};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    body::Body,
    close::CallError,
    wire::{Recv, WireError},
};

/// Frames longer than [`MAX_EARLY_FRAME_BYTES`] that may be in memory at once, for all links of this process: with a
/// thousand links a megabyte for each would be too much for a Raspberry Pi.
const BIG_FRAMES: usize = 16;
/// Bytes taken from QUIC at a time.
const CHUNK: usize = 16 << 10;

static BIG: Semaphore = Semaphore::const_new(BIG_FRAMES);

/// Why nothing could be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("nothing came in time")]
    TimedOut,
    #[error("the stream ended early")]
    Ended,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a message of ours cannot be written: {0}")]
    Encode(#[from] serde_json::Error),
    #[error(transparent)]
    Wire(#[from] WireError),
}

impl From<WriteError> for StreamError {
    fn from(error: WriteError) -> Self {
        Self::Wire(error.into())
    }
}

impl StreamError {
    /// Whether the other side sent something it should not have, as opposed to being slow or gone.
    pub(crate) fn is_protocol(&self) -> bool {
        matches!(self, Self::Frame(_) | Self::Message(_) | Self::Ended)
    }
}

impl From<StreamError> for CallError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::TimedOut => Self::TimedOut,
            StreamError::Wire(WireError::Link(end)) => Self::Link(end),
            StreamError::Ended | StreamError::Wire(_) => Self::Dropped,
            StreamError::Frame(_) | StreamError::Message(_) | StreamError::Encode(_) => {
                Self::Protocol(error.to_string())
            }
        }
    }
}

/// The reading half.
#[derive(Debug)]
pub(crate) struct Reader {
    recv: Recv,
    frames: Frames,
    limit: usize,
    /// Held from the first byte of a big frame until the request it belongs to is done.
    big: Option<SemaphorePermit<'static>>,
}

impl Reader {
    /// Reads frames of somebody who has proved nothing.
    pub(crate) fn early(recv: RecvStream) -> Self {
        Self::of(Recv::Link(recv), MAX_EARLY_FRAME_BYTES)
    }

    /// Reads frames on a link.
    pub(crate) fn link(recv: RecvStream) -> Self {
        Self::beside(Recv::Link(recv))
    }

    /// Reads frames on a link, or beside it.
    pub(crate) fn beside(recv: Recv) -> Self {
        Self::of(recv, MAX_FRAME_BYTES)
    }

    fn of(recv: Recv, limit: usize) -> Self {
        Self {
            recv,
            frames: Frames::new(MAX_EARLY_FRAME_BYTES),
            limit,
            big: None,
        }
    }

    /// The next message, or `None` when the stream ended between two.
    pub(crate) async fn next<T: DeserializeOwned>(
        &mut self,
        until: Instant,
    ) -> Result<Option<T>, StreamError> {
        let read = timeout_at(until, self.next_frame()).await;
        let Some(bytes) = read.map_err(|_| StreamError::TimedOut)?? else {
            return Ok(None);
        };
        Ok(Some(message::decode(&bytes)?))
    }

    /// The next message; that there is none is an error.
    pub(crate) async fn expect<T: DeserializeOwned>(
        &mut self,
        within: Duration,
    ) -> Result<T, StreamError> {
        self.next(Instant::now() + within)
            .await?
            .ok_or(StreamError::Ended)
    }

    async fn next_frame(&mut self) -> Result<Option<Bytes>, StreamError> {
        loop {
            match self.frames.next_frame() {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(FrameError::TooLong { bytes, .. }) if bytes <= self.limit => {
                    self.big = Some(BIG.acquire().await.map_err(|_| StreamError::TimedOut)?);
                    self.frames.set_limit(self.limit);
                }
                Err(FrameError::TooLong { bytes, .. }) => {
                    let limit = self.limit;
                    return Err(FrameError::TooLong { bytes, limit }.into());
                }
                Err(error @ FrameError::Cut) => return Err(error.into()),
            }
            let Some(bytes) = self.recv.chunk(CHUNK).await? else {
                self.frames.finish()?;
                return Ok(None);
            };
            self.frames.push(&bytes);
        }
    }

    /// What comes after the last frame.
    pub(crate) fn into_body(self) -> Body {
        Body::new(self.recv, self.frames.into_rest(), self.big)
    }

    /// Tells the other side that nothing more will be read.
    pub(crate) fn stop(&mut self) {
        self.recv.stop();
    }
}

/// A message as it travels.
pub(crate) fn encoded<T: Serialize>(body: &T) -> Result<Bytes, StreamError> {
    Ok(frame(&message::encode(body)?)?)
}

/// Writes one message.
pub(crate) async fn write<T: Serialize>(
    send: &mut SendStream,
    body: &T,
    within: Duration,
) -> Result<(), StreamError> {
    let sent = timeout(within, send.write_chunk(encoded(body)?)).await;
    Ok(sent.map_err(|_| StreamError::TimedOut)??)
}

/// Writes the last message of this side, and waits until the other side has it: for words that precede a close, which
/// would otherwise overtake them.
pub(crate) async fn write_last<T: Serialize>(
    send: &mut SendStream,
    body: &T,
    within: Duration,
) -> Result<(), StreamError> {
    write(send, body, within).await?;
    let _closed_before = send.finish();
    let _acknowledged = timeout(within, send.stopped()).await;
    Ok(())
}
