//! A link as the agent holds it.

use std::{fmt, net::SocketAddr, time::Duration};

use mesh_proto::message::link::{AgentReply, ControllerReply, FromAgent, ToAgent, Welcome};
use quinn::{Connection, SendStream};
use tokio::time::{Instant, timeout_at};

use super::{bulk::Bulk, upload::Upload};
use crate::{
    body::Body,
    close::{CallError, CloseCode, LinkEnd},
    stream::{Reader, write, write_last},
    wire::{Give, Recv},
};

/// Time for a request of the controller to arrive whole, and for an answer to be taken.
const TRANSFER: Duration = Duration::from_secs(30);
/// Time for the last answer of a command to be acknowledged: a machine that is about to restart waits no longer.
const ACKNOWLEDGE: Duration = Duration::from_secs(3);

/// A link that stands: the welcome, a way to ask the controller, and what the controller asks.
#[derive(Debug)]
pub struct Link {
    /// What the controller said at the start.
    pub welcome: Welcome,
    /// To ask the controller; clones are the same link.
    pub link: AgentLink,
    reading: Option<(SendStream, Reader, Instant)>,
}

impl Link {
    pub(super) fn new(welcome: Welcome, connection: Connection, bulk: Bulk) -> Self {
        Self {
            welcome,
            link: AgentLink { connection, bulk },
            reading: None,
        }
    }

    /// The next request of the controller. Safe to drop and call again (cancel-safe), so it may stand in a `select!`.
    /// Requests that cannot be read are skipped; the controller sees them dropped.
    ///
    /// # Errors
    /// How the link ended.
    pub async fn next(&mut self) -> Result<Incoming, LinkEnd> {
        loop {
            if self.reading.is_none() {
                let (send, recv) = self.link.connection.accept_bi().await?;
                self.reading = Some((send, Reader::link(recv), Instant::now() + TRANSFER));
            }
            let Some((_, reader, until)) = &mut self.reading else {
                continue;
            };
            let read = reader.next(*until).await;
            let Some((send, _, _)) = self.reading.take() else {
                continue;
            };
            if let Ok(Some(ask)) = read {
                return Ok(Incoming {
                    ask,
                    responder: Responder(send),
                });
            }
        }
    }
}

/// The agent's way to ask its controller. Clones are the same link; it may have ended long ago: calls then fail.
#[derive(Clone)]
pub struct AgentLink {
    connection: Connection,
    bulk: Bulk,
}

impl fmt::Debug for AgentLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link to {}", self.controller())
    }
}

impl AgentLink {
    /// Where the controller is.
    #[must_use]
    pub fn controller(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// When there was none within `within`, or it was a refusal.
    pub async fn call(
        &self,
        ask: &FromAgent,
        within: Duration,
    ) -> Result<ControllerReply, CallError> {
        let until = Instant::now() + within;
        match timeout_at(until, self.exchange(ask, until)).await {
            Err(_) => Err(CallError::TimedOut),
            Ok(Ok(ControllerReply::Refused(refusal))) => Err(refusal.into()),
            Ok(answer) => answer,
        }
    }

    async fn exchange(
        &self,
        ask: &FromAgent,
        until: Instant,
    ) -> Result<ControllerReply, CallError> {
        let (mut send, recv) = self.connection.open_bi().await.map_err(LinkEnd::from)?;
        write(&mut send, ask, TRANSFER).await?;
        let _stopped = send.finish();
        Reader::link(recv)
            .next(until)
            .await?
            .ok_or(CallError::Dropped)
    }

    /// Asks for bytes: [`FromAgent::Fetch`]. What comes back is how many there will be, when the controller knows it, and
    /// the bytes. `within` is for the answer before the bytes; these have limits of their own
    /// ([`BODY_IDLE`](crate::BODY_IDLE), [`BODY_WHOLE`](crate::BODY_WHOLE)).
    ///
    /// # Errors
    /// When there was no answer, or it was a refusal.
    pub async fn fetch(
        &self,
        ask: &FromAgent,
        within: Duration,
    ) -> Result<(Option<u64>, Body), CallError> {
        let until = Instant::now() + within;
        let asked = async {
            let (mut send, recv) = self.lane().await?;
            send.say(ask, TRANSFER).await?;
            if let Give::Link(stream) = &mut send {
                let _stopped = stream.finish();
            }
            let mut reader = Reader::beside(recv);
            let reply = reader.next(until).await?.ok_or(CallError::Dropped)?;
            Ok::<_, CallError>((reply, reader))
        };
        let asked = timeout_at(until, asked).await;
        match asked.map_err(|_| CallError::TimedOut)?? {
            (ControllerReply::Follows { len }, reader) => Ok((len, reader.into_body())),
            (ControllerReply::Refused(refusal), _) => Err(refusal.into()),
            (other, _) => Err(CallError::Protocol(format!("instead of bytes: {other:?}"))),
        }
    }

    /// Begins a request with bytes: [`FromAgent::Put`] or [`FromAgent::Save`].
    ///
    /// # Errors
    /// When the request could not be sent within `within`.
    pub async fn upload(&self, ask: &FromAgent, within: Duration) -> Result<Upload, CallError> {
        let opened = async {
            let (mut send, recv) = self.lane().await?;
            send.say(ask, TRANSFER).await?;
            Ok(Upload::new(send, Reader::beside(recv)))
        };
        let opened = timeout_at(Instant::now() + within, opened).await;
        opened.unwrap_or(Err(CallError::TimedOut))
    }

    /// A way for bytes: beside the link where that goes, since TCP takes half of QUIC's work, else a stream of the link.
    async fn lane(&self) -> Result<(Give, Recv), CallError> {
        if let Some(lane) = self.bulk.open(&self.connection).await {
            return Ok(lane);
        }
        let (send, recv) = self.connection.open_bi().await.map_err(LinkEnd::from)?;
        Ok((Give::Link(send), Recv::Link(recv)))
    }

    /// Ends the link; say [`Bye`](FromAgent::Bye) first when it is meant to last.
    pub fn close(&self, reason: &str) {
        self.connection
            .close(CloseCode::Done.to_wire(), reason.as_bytes());
    }

    /// Waits until the link has ended, and says how.
    pub async fn ended(&self) -> LinkEnd {
        self.connection.closed().await.into()
    }
}

/// A request of the controller.
#[derive(Debug)]
pub struct Incoming {
    /// What it asks.
    pub ask: ToAgent,
    /// To answer it.
    pub responder: Responder,
}

/// Answers one request of the controller. Dropped without [`finish`](Self::finish), the controller sees the request
/// dropped.
#[derive(Debug)]
pub struct Responder(SendStream);

impl Responder {
    /// Says how far it is.
    ///
    /// # Errors
    /// When the controller is gone or does not read.
    pub async fn progress(&mut self, text: impl Into<String>) -> Result<(), CallError> {
        let progress = AgentReply::Progress { text: text.into() };
        Ok(write(&mut self.0, &progress, TRANSFER).await?)
    }

    /// The last reply. Returns when the controller's host has it, or after 3 s without a word from it: a machine may
    /// restart then.
    ///
    /// # Errors
    /// When the controller is gone or does not read.
    pub async fn finish(mut self, last: &AgentReply) -> Result<(), CallError> {
        Ok(write_last(&mut self.0, last, ACKNOWLEDGE).await?)
    }
}
