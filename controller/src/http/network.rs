//! The API on the network: over TLS, or in the clear behind a proxy. The transport knows nobody: who calls shows a token.

mod certificate;
mod gate;
mod shown;

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Router, extract::Request, http::Extensions, middleware::from_fn_with_state};
use futures_util::FutureExt as _;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{
    debug,
    field::{DisplayValue, display},
    warn,
};

pub(crate) use self::certificate::is_name;
use self::gate::{Gate, Place};
pub(super) use self::gate::{Secure, Whom};
pub use self::{
    certificate::{Certificate, CertificateError, RENEWED_BEFORE_END_S, Source},
    gate::{Limits, Remote},
    shown::Presented,
};
use super::connection::speak;
use crate::{client::Stream, metrics::Metrics};

/// Connections at once: 200 people who watch, with what their pages ask beside that.
const MAX_CONNECTIONS: usize = 1_024;
/// Handshakes at once: each is some milliseconds of a Pi's processor. One address may have a few of them, so that nobody takes
/// them all by beginning and waiting.
const MAX_HANDSHAKES: usize = 256;
/// How long a handshake may take, its turn included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open requests may take to end when the controller stops.
const GRACE: Duration = Duration::from_secs(5);
/// The pause after `accept` failed, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a request came from, for the log; nothing of one over the local socket.
pub(super) fn from(request: &Request) -> Option<DisplayValue<IpAddr>> {
    let remote = request.extensions().get::<Remote>();
    remote.map(|Remote(ip)| display(*ip))
}

/// The port, bound.
#[derive(Debug)]
pub struct Port(TcpListener);

impl Port {
    /// Binds it. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// As the system says.
    pub fn bind(at: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(at)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener).map(Self)
    }

    /// Where it is.
    ///
    /// # Errors
    /// As the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves `router` until `stop`; then lets open requests end for a short while. Without a certificate it is in the clear, and
    /// a proxy on this host is believed for whom it asks.
    pub async fn serve(
        self,
        router: Router,
        certificate: Option<Certificate>,
        limits: Limits,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) {
        let gate = Gate::new(limits, metrics, certificate.is_none());
        let mut open = JoinSet::new();
        let tls = certificate.as_ref().map(|c| TlsAcceptor::from(c.tls()));
        if let Some(certificate) = certificate {
            open.spawn(certificate.keep(stop.clone()).boxed());
        }
        let door = Door {
            router: router.layer(from_fn_with_state(Arc::clone(&gate), gate::pass)),
            tls,
            handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            stop: stop.clone(),
        };
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.0, &places) => accepted,
                Some(_) = open.join_next() => continue,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, from, place)) => match gate.enter(from.ip()) {
                    Some(of_address) => {
                        let door = door.clone();
                        let places = (place, of_address);
                        open.spawn(
                            door.connection(stream, from, Arc::clone(&gate), places)
                                .boxed(),
                        );
                    }
                    None => gate.refuse("connections"),
                },
                Err(error) => {
                    warn!(%error, "the API's port cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let all = async { while open.join_next().await.is_some() {} };
        // What is still open after the grace period is dropped with `open`.
        let _ = tokio::time::timeout(GRACE, all).await;
    }
}

/// Waits for a free place first: the kernel's backlog then holds who comes.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, place))
}

/// What every connection needs.
#[derive(Clone)]
struct Door {
    router: Router,
    tls: Option<TlsAcceptor>,
    handshakes: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Door {
    async fn connection(
        self,
        stream: TcpStream,
        from: SocketAddr,
        gate: Arc<Gate>,
        _places: (OwnedSemaphorePermit, Place),
    ) {
        // Answers are written whole; to wait for more only makes them late.
        let _slower = stream.set_nodelay(true);
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(stream),
            Some(tls) => match self.handshake(tls, stream, from, &gate).await {
                Ok(stream) => stream,
                Err((reason, error)) => {
                    gate.refuse(reason);
                    debug!(%from, error, reason, "a connection to the API did not become one");
                    return;
                }
            },
        };
        let mut seen = Extensions::new();
        seen.insert(Remote(from.ip()));
        speak(stream, self.router, seen, self.stop).await;
    }

    async fn handshake(
        &self,
        tls: &TlsAcceptor,
        stream: TcpStream,
        from: SocketAddr,
        gate: &Arc<Gate>,
    ) -> Result<Box<dyn Stream>, (&'static str, String)> {
        let until = Instant::now() + HANDSHAKE_TIMEOUT;
        let slow = |_| ("slow-handshake", "not done in time".to_owned());
        let many = || ("handshakes", "too many of one address at once".to_owned());
        let _of_address = gate.begin_handshake(from.ip()).ok_or_else(many)?;
        let turn = timeout_at(until, self.handshakes.acquire()).await;
        let _turn = turn.map_err(slow)?;
        let accepted = timeout_at(until, tls.accept(stream)).await.map_err(slow)?;
        match accepted {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(("handshake", error.to_string())),
        }
    }
}
