//! A request of an agent that bytes follow.

use std::time::Duration;

use bytes::Bytes;
use mesh_proto::message::link::ControllerReply;
use tokio::time::Instant;

use crate::{
    body::{BODY_IDLE, BODY_WHOLE, BodyError, Pace, send_bytes},
    close::{CallError, CloseCode},
    stream::{Reader, StreamError},
    wire::Give,
};

/// How long the word of a controller that stopped taking bytes may be on its way.
const REFUSAL: Duration = Duration::from_secs(5);

/// A request whose bytes are being sent. Dropped before [`finish`](Self::finish), the controller sees it given up.
pub struct Upload {
    send: Give,
    reader: Reader,
    pace: Pace,
}

impl Upload {
    pub(super) fn new(send: Give, reader: Reader) -> Self {
        Self {
            send,
            reader,
            pace: Pace::new(BODY_IDLE),
        }
    }

    /// Sends bytes, as fast as the controller takes them.
    ///
    /// # Errors
    /// When the controller does not want them: with its refusal where it said one.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), CallError> {
        let Self { send, reader, pace } = self;
        let sent = match send {
            Give::Link(_) => send_bytes(send, bytes, *pace).await,
            // A stream says that it is not read from any more. Beside a link the answer does, which came early then.
            Give::Beside(_) => tokio::select! {
                biased;
                early = reader.next(Instant::now() + BODY_WHOLE) => return Err(instead(early)),
                sent = send_bytes(send, bytes, *pace) => sent,
            },
        };
        match sent {
            Err(BodyError::GivenUp | BodyError::Cut) => {
                Err(instead(self.reader.next(Instant::now() + REFUSAL).await))
            }
            sent => Ok(sent?),
        }
    }

    /// All bytes are sent: waits for the answer.
    ///
    /// # Errors
    /// When there was none within `within`, or it was a refusal.
    pub async fn finish(mut self, within: Duration) -> Result<ControllerReply, CallError> {
        self.send.finish().await;
        match self.reader.next(Instant::now() + within).await? {
            Some(ControllerReply::Refused(refusal)) => Err(refusal.into()),
            Some(reply) => Ok(reply),
            None => Err(CallError::Dropped),
        }
    }
}

/// What was said before all bytes were sent.
fn instead(said: Result<Option<ControllerReply>, StreamError>) -> CallError {
    match said {
        Ok(Some(ControllerReply::Refused(refusal))) => refusal.into(),
        Ok(_) => CallError::Dropped,
        Err(error) => error.into(),
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Quinn would end the stream as if all had been said; after `finish` this does nothing.
        self.send.reset(CloseCode::Done);
    }
}
