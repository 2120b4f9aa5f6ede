//! A request of an agent that bytes follow.

use std::time::Duration;

use bytes::Bytes;
use mesh_proto::message::link::ControllerReply;
use quinn::SendStream;
use tokio::time::Instant;

use crate::{
    body::{BODY_IDLE, BodyError, Pace, send_bytes},
    close::CallError,
    stream::Reader,
};

/// How long the word of a controller that stopped taking bytes may be on its way.
const REFUSAL: Duration = Duration::from_secs(5);

/// A request whose bytes are being sent. Dropped before [`finish`](Self::finish), the controller sees it given up.
pub struct Upload {
    send: SendStream,
    reader: Reader,
    pace: Pace,
}

impl Upload {
    pub(super) fn new(send: SendStream, reader: Reader) -> Self {
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
        match send_bytes(&mut self.send, bytes, self.pace).await {
            Err(BodyError::GivenUp) => {
                let reply = self.reader.next(Instant::now() + REFUSAL).await;
                match reply {
                    Ok(Some(ControllerReply::Refused(refusal))) => Err(refusal.into()),
                    _ => Err(CallError::Dropped),
                }
            }
            sent => Ok(sent?),
        }
    }

    /// All bytes are sent: waits for the answer.
    ///
    /// # Errors
    /// When there was none within `within`, or it was a refusal.
    pub async fn finish(mut self, within: Duration) -> Result<ControllerReply, CallError> {
        let _stopped = self.send.finish();
        match self.reader.next(Instant::now() + within).await? {
            Some(ControllerReply::Refused(refusal)) => Err(refusal.into()),
            Some(reply) => Ok(reply),
            None => Err(CallError::Dropped),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Quinn would end the stream as if all had been said; after `finish` this does nothing.
        let _finished = self.send.reset(crate::CloseCode::Done.to_wire());
    }
}
