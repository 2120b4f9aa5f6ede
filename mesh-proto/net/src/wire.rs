//! The two halves of a stream that carries one request and its bytes: a stream of a link, or a TLS connection over TCP beside
//! it.
//!
//! A connection beside a link belongs to it: when the link ends, both halves end with the link's own word.

use std::{fmt, io, time::Duration};

use bytes::{Bytes, BytesMut};
use quinn::{Connection, ReadError, ReadExactError, RecvStream, SendStream, WriteError};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, split},
    net::TcpStream,
    sync::oneshot,
    time::timeout,
};
use tokio_rustls::TlsStream;

use crate::{
    close::{CloseCode, LinkEnd},
    stream::StreamError,
};

/// Bytes taken from TLS at a time, at most: four of its records.
const RECORDS: usize = 64 << 10;
/// How long who was refused may go on sending before its connection is cut: cut at once, the refusal would be lost with it.
const LINGER: Duration = Duration::from_secs(2);

type Stream = TlsStream<TcpStream>;

/// Why a half is of no more use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    /// The link is gone.
    #[error(transparent)]
    Link(#[from] LinkEnd),
    /// It ended before it was said that it ends.
    #[error("the bytes ended early")]
    Cut,
    /// The other side wants no more.
    #[error("the other side gave it up")]
    GivenUp,
}

impl From<ReadError> for WireError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(end) => Self::Link(end.into()),
            _ => Self::GivenUp,
        }
    }
}

impl From<WriteError> for WireError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(end) => Self::Link(end.into()),
            _ => Self::GivenUp,
        }
    }
}

impl From<io::Error> for WireError {
    /// TCP that ends without TLS's own end, however that came.
    fn from(_: io::Error) -> Self {
        Self::GivenUp
    }
}

/// What `work` says, unless the link ends first.
async fn while_stands<T>(
    link: &Connection,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, WireError> {
    tokio::select! {
        biased;
        done = work => Ok(done?),
        end = link.closed() => Err(WireError::Link(end.into())),
    }
}

/// The half that bytes come from. Dropped before its end, the other side is told to stop.
pub(crate) enum Recv {
    /// A stream of a link.
    Link(RecvStream),
    /// A connection beside it.
    Beside(BesideRecv),
}

impl fmt::Debug for Recv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(recv) => write!(f, "{:?}", recv.id()),
            Self::Beside(_) => write!(f, "beside a link"),
        }
    }
}

/// The reading half of a connection beside a link.
pub(crate) struct BesideRecv {
    /// Taken when it is dropped.
    half: Option<ReadHalf<Stream>>,
    link: Connection,
    back: Option<oneshot::Sender<ReadHalf<Stream>>>,
}

impl Drop for BesideRecv {
    fn drop(&mut self) {
        if let (Some(half), Some(back)) = (self.half.take(), self.back.take()) {
            let _nobody_waits = back.send(half);
        }
    }
}

impl BesideRecv {
    fn half(&mut self) -> io::Result<(&mut ReadHalf<Stream>, &Connection)> {
        let half = self.half.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok((half, &self.link))
    }
}

impl Recv {
    /// The next bytes, at most `most`; `None` at the end. Safe to drop and call again (cancel-safe).
    pub(crate) async fn chunk(&mut self, most: usize) -> Result<Option<Bytes>, WireError> {
        match self {
            Self::Link(recv) => Ok(recv.read_chunk(most, true).await?.map(|chunk| chunk.bytes)),
            Self::Beside(recv) => {
                let (half, link) = recv.half()?;
                let mut bytes = BytesMut::with_capacity(most.min(RECORDS));
                let read = while_stands(link, half.read_buf(&mut bytes)).await?;
                Ok((read > 0).then(|| bytes.freeze()))
            }
        }
    }

    /// Fills `into`.
    pub(crate) async fn exactly(&mut self, into: &mut [u8]) -> Result<(), WireError> {
        match self {
            Self::Link(recv) => recv.read_exact(into).await.map_err(|error| match error {
                ReadExactError::FinishedEarly(_) => WireError::Cut,
                ReadExactError::ReadError(error) => error.into(),
            }),
            Self::Beside(recv) => {
                let (half, link) = recv.half()?;
                let mut at = 0;
                while at < into.len() {
                    match while_stands(link, half.read(&mut into[at..])).await? {
                        0 => return Err(WireError::Cut),
                        read => at += read,
                    }
                }
                Ok(())
            }
        }
    }

    /// Tells the other side that nothing more will be read.
    pub(crate) fn stop(&mut self) {
        if let Self::Link(recv) = self {
            let _gone = recv.stop(CloseCode::Done.to_wire());
        }
    }
}

/// The half that bytes go to.
pub(crate) enum Give {
    /// A stream of a link.
    Link(SendStream),
    /// A connection beside it.
    Beside(BesideGive),
}

/// The writing half of a connection beside a link.
pub(crate) struct BesideGive {
    half: WriteHalf<Stream>,
    link: Connection,
    /// The reading half, once nobody reads from it.
    read: Option<oneshot::Receiver<ReadHalf<Stream>>>,
}

impl Give {
    /// Sends bytes, as fast as they are taken. Not cancel-safe: some may have gone.
    pub(crate) async fn chunk(&mut self, bytes: Bytes) -> Result<(), WireError> {
        match self {
            Self::Link(send) => Ok(send.write_chunk(bytes).await?),
            Self::Beside(give) => {
                while_stands(&give.link, give.half.write_all(&bytes)).await?;
                while_stands(&give.link, give.half.flush()).await
            }
        }
    }

    /// Sends one message.
    pub(crate) async fn say<T: Serialize>(
        &mut self,
        body: &T,
        within: Duration,
    ) -> Result<(), StreamError> {
        let bytes = crate::stream::encoded(body)?;
        let sent = timeout(within, self.chunk(bytes)).await;
        Ok(sent.map_err(|_| StreamError::TimedOut)??)
    }

    /// Says that nothing more comes.
    pub(crate) async fn finish(&mut self) {
        match self {
            Self::Link(send) => {
                let _closed_before = send.finish();
            }
            Self::Beside(give) => {
                let _gone = while_stands(&give.link, give.half.shutdown()).await;
            }
        }
    }

    /// Waits until the other side has everything, or wants no more of it.
    pub(crate) async fn taken(&mut self) {
        match self {
            Self::Link(send) => {
                let _stopped = send.stopped().await;
            }
            Self::Beside(give) => give.linger().await,
        }
    }

    /// Says that what came is not the whole.
    pub(crate) fn reset(&mut self, code: CloseCode) {
        // A connection that is dropped without the end of TLS says the same.
        if let Self::Link(send) = self {
            let _gone = send.reset(code.to_wire());
        }
    }
}

impl BesideGive {
    /// Reads on, into nowhere, until the other side has heard that nothing more is read.
    async fn linger(&mut self) {
        let Some(read) = self.read.take() else { return };
        let drained = async {
            let Ok(mut half) = read.await else { return };
            let mut nowhere = vec![0; RECORDS];
            while half.read(&mut nowhere).await.is_ok_and(|read| read > 0) {}
        };
        let _long_enough = timeout(LINGER, drained).await;
    }
}

/// The halves of a connection beside `link`.
pub(crate) fn beside(stream: impl Into<Stream>, link: &Connection) -> (Give, Recv) {
    let (read, half) = split(stream.into());
    let (back, came_back) = oneshot::channel();
    let recv = BesideRecv {
        half: Some(read),
        link: link.clone(),
        back: Some(back),
    };
    let give = BesideGive {
        half,
        link: link.clone(),
        read: Some(came_back),
    };
    (Give::Beside(give), Recv::Beside(recv))
}
