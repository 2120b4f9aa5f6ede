//! The boot HTTP server: scripts, firmware, kernels, the files of an activation, callbacks. Plain HTTP/1.1, as ROMs
//! speak it, with HEAD and ranges; every file is streamed.

mod acked;
mod answer;
mod authority;
mod body;
mod places;
mod received;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use acked::Acks;
use answer::{Evidence, Visit};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipxe::MacAddr;
use places::Places;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Mutex,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

pub use authority::{CallbackReply, HttpAuthority, NonceAsk, NonceReceived, NonceReply};
pub use received::ReceivedFiles;

use crate::{BootNote, quota::Quota};

/// Time for a request's head, which also ends idle connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest request head, bytes; iPXE's is about 300.
const MAX_HEAD: usize = 16 * 1024;
/// Script and nonce requests per second of one (address, machine) pair.
const PER_ASKER: u32 = 50;
/// The pause after `accept` failed, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long open transfers may go on when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// A connection that took no byte for so long is closed.
const USER_TIMEOUT: Duration = Duration::from_secs(60);

/// Who asks, for the quota.
type Asker = (std::net::IpAddr, Option<MacAddr>, String);

/// The bound server.
#[derive(Debug)]
pub struct BootHttp {
    listener: TcpListener,
}

/// What all connections share.
pub(crate) struct Shared<A> {
    authority: Arc<A>,
    acks: Acks,
    quota: Mutex<Quota<Asker>>,
}

impl BootHttp {
    /// Binds the port.
    ///
    /// # Errors
    /// As `bind` fails.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(1024)?;
        Ok(Self {
            listener: TcpListener::from_std(socket.into())?,
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// As the system call fails.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is stopped, then gives open transfers a moment.
    pub async fn run<A: HttpAuthority>(self, authority: Arc<A>, stop: CancellationToken) {
        let quota = Mutex::new(Quota::new(PER_ASKER));
        let shared = Arc::new(Shared {
            authority,
            acks: Acks::default(),
            quota,
        });
        let places = Places::new();
        let mut connections = JoinSet::new();
        loop {
            let next = tokio::select! {
                () = stop.cancelled() => break,
                next = self.next(&places) => next,
            };
            while connections.try_join_next().is_some() {}
            match next {
                Ok((stream, peer, Some(place))) => {
                    let (shared, stop) = (shared.clone(), stop.clone());
                    connections.spawn(async move {
                        connection(shared, stream, peer, stop).await;
                        drop(place);
                    });
                }
                Ok((_, _, None)) => shared.authority.note(BootNote::Dropped("http-address")),
                Err(_) => {
                    // Out of file descriptors: others must end first.
                    shared.authority.note(BootNote::Dropped("http-accept"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        let _ = tokio::time::timeout(GRACE, async {
            while connections.join_next().await.is_some() {}
        })
        .await;
    }
}

impl BootHttp {
    /// The next connection, with its place; without one when its address has its share.
    async fn next(
        &self,
        places: &Places,
    ) -> io::Result<(TcpStream, SocketAddr, Option<places::Place>)> {
        let free = places.free().await;
        let (stream, peer) = self.listener.accept().await?;
        let place = free.and_then(|free| places.take(peer.ip(), free));
        Ok((stream, peer, place))
    }
}

/// Serves one connection; afterwards waits for the acknowledgement of a file that is evidence.
async fn connection<A: HttpAuthority>(
    shared: Arc<Shared<A>>,
    stream: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    // Files are sent in large pieces; what is small must not wait for Nagle.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(USER_TIMEOUT));
    let evidence = Evidence::default();
    let service = service_fn(|request| {
        let visit = Visit {
            shared: shared.clone(),
            evidence: evidence.clone(),
            local,
            peer,
        };
        Box::pin(visit.answer(request))
    });
    let mut serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let served = tokio::select! {
        served = std::future::poll_fn(|cx| serving.poll_without_shutdown(cx)) => served,
        () = stop.cancelled() => {
            std::pin::Pin::new(&mut serving).graceful_shutdown();
            std::future::poll_fn(|cx| serving.poll_without_shutdown(cx)).await
        }
    };
    // The socket stays open until here: only an open one can be asked what was acknowledged.
    let parts = serving.into_parts();
    if let (Ok(()), Some(file)) = (served, evidence.take())
        && shared.acks.all_received((local, peer)).await
    {
        shared.authority.nonce_received(file).await;
    }
    drop(parts);
}
