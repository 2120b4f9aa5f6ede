//! Dialling a controller.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use mesh_proto::message::{
    Refusal, RefusalCode,
    link::{ControllerReply, FromAgent, Hello},
};
use quinn::{
    ClientConfig, Connecting, Connection, Endpoint, EndpointConfig,
    crypto::rustls::QuicClientConfig,
};
use tokio::time::{Instant, interval, sleep, timeout_at};

use super::{bulk::Bulk, link::Link};
use crate::{
    cert::controller_name,
    close::{CallError, CloseCode, LinkEnd},
    stream::{Reader, write},
    tls::{Clock, LinkIdentity, TlsError, link_config},
    transport::{LINK_STREAMS, WIDE, socket, transport},
};

/// Time from the first packet to the welcome. A live controller is reached in a fraction of it; but when a whole room
/// dials after a power cut, a small one needs this long for its queue, and who gave up earlier would only make it work
/// for nothing.
pub(crate) const DIAL: Duration = Duration::from_secs(10);
/// A handshake that is not over by then most probably lost packets, and QUIC doubles its patience with each. With one packet
/// in four lost, one link in fifty took more than 3.4 s, or more than the five after which a controller gives up; with a
/// second handshake beside it 1.3 s. Only one: a controller with a queue would make more of them for nothing.
const SECOND_TRY: Duration = Duration::from_secs(1);
/// How often it is looked whether the controller has confirmed the handshake.
const CONFIRMED_EVERY: Duration = Duration::from_millis(5);
/// Kernel buffer of an agent's socket: what a controller may have on its way to it. While the agent writes to its disk
/// they lie here; what does not fit is lost, sent again, and takes the sender for a congested network.
const SOCKET_BUFFER: usize = WIDE as usize;

/// Why there is no link.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// This host cannot even try: no route, a bad address.
    #[error("cannot dial {controller}: {text}")]
    Dial {
        /// Whom.
        controller: SocketAddr,
        /// What the system says.
        text: String,
    },
    /// Nobody answered, or not in time.
    #[error("the controller does not answer")]
    Silent,
    /// What the controller shows is not believed: another site, another CA, or a certificate long out of date.
    #[error("this is not the controller of this machine's site: {0}")]
    Impostor(String),
    /// The controller refused this machine's certificate, most probably because its CA is not the one that issued it (it
    /// was set up anew), and this machine has to enrol again.
    #[error(
        "the controller does not know this machine's certificate; it was probably issued by another site, or before the site was set up anew ({0})"
    )]
    OurCertificate(String),
    /// The controller closed the connection and said why.
    #[error("the controller closed the connection: {reason}")]
    Closed {
        /// For programs.
        code: CloseCode,
        /// For people.
        reason: String,
    },
    /// The hello was refused. [`RefusalCode::Expired`]: [`renew`](AgentEndpoint::renew) first.
    #[error("the controller refused: {0}")]
    Refused(Refusal),
    /// The identity cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The connection broke, or the answer made no sense.
    #[error("the link could not be opened: {0}")]
    Broken(String),
}

impl LinkError {
    /// Whether trying again changes nothing: the key has to be renewed, enrolled anew, or a person has to look.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::OurCertificate(_) | Self::Tls(_) => true,
            Self::Refused(refusal) => refusal.code != RefusalCode::Busy,
            Self::Closed { code, .. } => {
                matches!(code, CloseCode::Revoked | CloseCode::NoCertificate)
            }
            // Another host may just have the controller's address for a while.
            Self::Impostor(_) | Self::Dial { .. } | Self::Silent | Self::Broken(_) => false,
        }
    }
}

impl From<LinkEnd> for LinkError {
    fn from(end: LinkEnd) -> Self {
        match end {
            LinkEnd::ByPeer { code, reason } => Self::Closed { code, reason },
            LinkEnd::Silent => Self::Silent,
            LinkEnd::WeRefused(text) => Self::Impostor(text),
            LinkEnd::TheyRefused(text) => Self::OurCertificate(text),
            LinkEnd::ByUs | LinkEnd::Reset | LinkEnd::Broken(_) => Self::Broken(end.to_string()),
        }
    }
}

impl From<CallError> for LinkError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Link(end) => end.into(),
            CallError::TimedOut => Self::Silent,
            CallError::Refused(refusal) => Self::Refused(refusal),
            CallError::Dropped | CallError::Protocol(_) => Self::Broken(error.to_string()),
        }
    }
}

/// An agent's UDP socket for QUIC. Clones share it.
#[derive(Clone)]
pub struct AgentEndpoint {
    pub(super) endpoint: Endpoint,
    pub(super) clock: Clock,
}

impl AgentEndpoint {
    /// Binds a socket; port 0 is right, agents are never dialled. Has to be called inside a Tokio runtime. The clock
    /// judges certificates; a board that wakes up in 1970 passes [`clock_not_before`](crate::tls::clock_not_before) with
    /// the newest time it has proof of (its kernel's build, a stamp it keeps), or simply the system's.
    ///
    /// # Errors
    /// As `bind` fails.
    pub fn bind(addr: SocketAddr, clock: Clock) -> io::Result<Self> {
        let socket = socket(addr, SOCKET_BUFFER)?;
        let runtime = Arc::new(quinn::TokioRuntime);
        let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, runtime)?;
        Ok(Self { endpoint, clock })
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// As the socket says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Moves to a new socket; links that stand go on from there. For hosts whose address has changed while the socket
    /// was bound to the old one. (A socket bound to `0.0.0.0` or `::` moves by itself.)
    ///
    /// # Errors
    /// As `bind` fails; the old socket then stays.
    pub fn rebind(&self, addr: SocketAddr) -> io::Result<()> {
        self.endpoint.rebind(socket(addr, SOCKET_BUFFER)?)
    }

    /// Opens a link: dials, proves the key, says hello and waits for the welcome, all within 10 s.
    ///
    /// # Errors
    /// Why there is no link, in words for the machine's screen.
    pub async fn connect(
        &self,
        controller: SocketAddr,
        identity: &LinkIdentity,
        hello: &Hello,
    ) -> Result<Link, LinkError> {
        self.connect_within(DIAL, controller, identity, hello).await
    }

    pub(super) async fn connect_within(
        &self,
        patience: Duration,
        controller: SocketAddr,
        identity: &LinkIdentity,
        hello: &Hello,
    ) -> Result<Link, LinkError> {
        let until = Instant::now() + patience;
        let connection = self.dial_link(controller, identity, until).await?;
        let first = FromAgent::Hello(Box::new(hello.clone()));
        match ask_first(&connection, &first, until).await? {
            ControllerReply::Welcome(welcome) => {
                let bulk = Bulk::new(identity, &self.clock)?;
                Ok(Link::new(*welcome, connection, bulk))
            }
            other => Err(unexpected(&connection, other)),
        }
    }

    /// Asks for a certificate for `csr` (PEM) with a key whose own certificate has expired, or with any other: a
    /// connection of its own, without a hello. The answer is the certificate, PEM.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn renew(
        &self,
        controller: SocketAddr,
        identity: &LinkIdentity,
        csr: &str,
    ) -> Result<String, LinkError> {
        let until = Instant::now() + DIAL;
        let connection = self.dial_link(controller, identity, until).await?;
        match ask_first(
            &connection,
            &FromAgent::Renew {
                csr: csr.to_owned(),
            },
            until,
        )
        .await?
        {
            ControllerReply::Renewed { certificate } => {
                connection.close(CloseCode::Done.to_wire(), b"renewed");
                Ok(certificate)
            }
            other => Err(unexpected(&connection, other)),
        }
    }

    async fn dial_link(
        &self,
        controller: SocketAddr,
        identity: &LinkIdentity,
        until: Instant,
    ) -> Result<Connection, LinkError> {
        let tls = link_config(identity, &self.clock)?;
        let name = controller_name(&identity.own.site);
        let connection = self.dial(controller, &name, tls, until).await?;
        connection.set_max_concurrent_bi_streams(LINK_STREAMS.into());
        // It is our only one, and images may come and go over it.
        connection.set_receive_window(WIDE.into());
        connection.set_send_window(WIDE.into());
        Ok(connection)
    }

    pub(super) async fn dial(
        &self,
        controller: SocketAddr,
        name: &str,
        tls: QuicClientConfig,
        until: Instant,
    ) -> Result<Connection, LinkError> {
        let mut config = ClientConfig::new(Arc::new(tls));
        config.transport_config(transport());
        let handshake = || {
            let begun = (self.endpoint).connect_with(config.clone(), controller, name);
            let begun = begun.map_err(|e| LinkError::Dial {
                controller,
                text: e.to_string(),
            });
            async { stands(begun?).await }
        };
        let connected = timeout_at(until, first_of_two(handshake, sleep(SECOND_TRY))).await;
        connected.map_err(|_| LinkError::Silent)?
    }
}

/// A handshake that takes long is not waited for alone: when `long` is over a second one runs beside it, and the first that
/// stands is taken.
async fn first_of_two<T, E, H: Future<Output = Result<T, E>>>(
    handshake: impl Fn() -> H,
    long: impl Future<Output = ()>,
) -> Result<T, E> {
    let mut first = pin!(handshake());
    tokio::select! {
        ended = &mut first => return ended,
        () = long => {}
    }
    let mut second = pin!(handshake());
    // One that fails leaves it to the other.
    tokio::select! {
        ended = &mut first => match ended {
            Ok(stands) => Ok(stands),
            Err(_) => second.await,
        },
        ended = &mut second => match ended {
            Ok(stands) => Ok(stands),
            Err(_) => first.await,
        },
    }
}

/// Waits until the controller says that the handshake is over (HANDSHAKE_DONE, RFC 9001 §4.1.2). Before, it may still lack our
/// last packets, and nothing that is sent reaches it. QUIC's library counts these frames and tells nobody when one comes.
pub(crate) async fn stands(begun: Connecting) -> Result<Connection, LinkError> {
    let connection = begun.await.map_err(LinkEnd::from)?;
    let mut look = interval(CONFIRMED_EVERY);
    while connection.stats().frame_rx.handshake_done == 0 {
        if let Some(end) = connection.close_reason() {
            return Err(LinkEnd::from(end).into());
        }
        look.tick().await;
    }
    Ok(connection)
}

/// The first request of a connection and its answer.
async fn ask_first(
    connection: &Connection,
    ask: &FromAgent,
    until: Instant,
) -> Result<ControllerReply, LinkError> {
    let asked = async {
        let (mut send, recv) = connection.open_bi().await.map_err(LinkEnd::from)?;
        write(&mut send, ask, DIAL).await?;
        let _stopped = send.finish();
        let reply = Reader::early(recv).next(until).await?;
        reply.ok_or(CallError::Dropped)
    };
    let asked = timeout_at(until, asked)
        .await
        .unwrap_or(Err(CallError::TimedOut));
    // A refused certificate, or a close with a reason, says more than the stream that broke by it.
    asked.map_err(|error| match connection.close_reason() {
        Some(end) => LinkEnd::from(end).into(),
        None => error.into(),
    })
}

fn unexpected(connection: &Connection, reply: ControllerReply) -> LinkError {
    connection.close(CloseCode::Done.to_wire(), b"");
    match reply {
        ControllerReply::Refused(refusal) => LinkError::Refused(refusal),
        _ => LinkError::Broken("the controller answered something else".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use tokio::task::yield_now;

    use super::*;

    /// Races handshakes that take so many turns and end so; says how it ended, by which one, and how many were begun.
    async fn race(
        long: impl Future<Output = ()>,
        plans: [(u32, bool); 2],
    ) -> (Result<usize, usize>, usize) {
        let begun = Cell::new(0);
        let handshake = || {
            let number = begun.replace(begun.get() + 1);
            async move {
                let (turns, stands) = plans[number];
                for _ in 0..turns {
                    yield_now().await;
                }
                if stands { Ok(number) } else { Err(number) }
            }
        };
        (first_of_two(handshake, long).await, begun.get())
    }

    #[tokio::test]
    async fn a_quick_handshake_is_alone_however_it_ends() {
        assert_eq!(race(pending(), [(9, true), (0, true)]).await, (Ok(0), 1));
        assert_eq!(race(pending(), [(9, false), (0, true)]).await, (Err(0), 1));
    }

    #[tokio::test]
    async fn of_two_the_first_that_stands_is_taken_and_a_failure_waits_for_the_other() {
        for (first, second, taken) in [
            ((90, true), (1, true), Ok(1)),
            ((9, true), (90, true), Ok(0)),
            ((9, false), (90, true), Ok(1)),
            ((90, true), (1, false), Ok(0)),
            ((90, false), (1, false), Err(0)),
        ] {
            assert_eq!(race(yield_now(), [first, second]).await, (taken, 2));
        }
    }
}
