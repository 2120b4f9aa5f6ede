//! Connections beside links: one request with bytes each, over TLS and TCP, which take half of the work that QUIC does.
//!
//! Who comes shows the certificate of a link that stands, and is served as on that link: the same admission, the same lanes.
//! Its end is the end of what runs beside it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use mesh_proto::identity::Role;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tokio_rustls::{TlsAcceptor, TlsStream, server::TlsStream as Accepted};

use super::{Desk, LinkHandle, Slot, link::transfer};
use crate::{
    authority::{MeshAuthority, Refused},
    body::has_body,
    cert::PeerCert,
    stream::Reader,
    tls::ALPN_BULK,
    wire::beside,
};

/// Connections that the kernel keeps until they are taken.
const BACKLOG: i32 = 256;
/// Rest after a connection could not be taken: file descriptors come back.
const REST: Duration = Duration::from_millis(250);

/// Listens for connections at an address of a server.
pub(super) fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // What the last process left behind does not keep the port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The next connection. Safe to drop and call again (cancel-safe).
pub(super) async fn next(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(came) => return came,
            Err(_) => sleep(REST).await,
        }
    }
}

impl<A: MeshAuthority> Desk<A> {
    pub(super) fn receive_bulk(
        self: &Arc<Self>,
        (stream, from): (TcpStream, SocketAddr),
        free: &Arc<Semaphore>,
        tasks: &mut JoinSet<()>,
    ) {
        let most = self.limits.handshakes_per_address;
        let place = self.crowd.enter(from.ip(), true, most);
        let free = Arc::clone(free).try_acquire_owned().ok();
        let (Some(place), Some(free)) = (place, free) else {
            return self.refuse(from, Refused::Handshakes);
        };
        let slot = Slot {
            _free: free,
            _place: place,
        };
        tasks.spawn(Arc::clone(self).bulk(stream, from, slot));
    }

    async fn bulk(self: Arc<Self>, stream: TcpStream, from: SocketAddr, slot: Slot) {
        let until = Instant::now() + self.limits.patience;
        let _slower = stream.set_nodelay(true);
        let acceptor = TlsAcceptor::from(self.bulk_tls());
        let stream = match timeout_at(until, acceptor.accept(stream)).await {
            Err(_) => return self.refuse(from, Refused::TooSlow),
            Ok(Err(_)) => return self.refuse(from, Refused::Tls),
            Ok(Ok(stream)) => stream,
        };
        match self.link_of(&stream) {
            Ok(link) => self.beside(stream, &link, slot).await,
            Err(why) => self.refuse(from, why),
        }
    }

    /// The link that a connection belongs to.
    fn link_of(&self, stream: &Accepted<TcpStream>) -> Result<LinkHandle, Refused> {
        let (_, tls) = stream.get_ref();
        if tls.alpn_protocol() != Some(ALPN_BULK) {
            return Err(Refused::Protocol);
        }
        let leaf = tls.peer_certificates().and_then(<[_]>::first);
        let peer = leaf.and_then(|leaf| PeerCert::parse(leaf, (self.clock)()).ok());
        let peer = peer.ok_or(Refused::NoCertificate)?;
        if peer.role != Role::Agent || peer.site != self.identity().site() {
            return Err(Refused::Role);
        }
        if self.authority.admit(&peer).is_err() {
            return Err(Refused::NotAdmitted);
        }
        self.links.of(&peer).ok_or(Refused::NotAdmitted)
    }

    /// One request, while its link stands.
    async fn beside(&self, stream: Accepted<TcpStream>, link: &LinkHandle, slot: Slot) {
        let Some(_turn) = link.turn() else {
            return self.refuse(link.remote(), Refused::Handshakes);
        };
        drop(slot);
        let (give, recv) = beside(TlsStream::from(stream), link.connection());
        let mut reader = Reader::beside(recv);
        let ask = match reader.expect(self.limits.patience).await {
            Ok(ask) if has_body(&ask) => ask,
            Ok(_) => return self.refuse(link.remote(), Refused::Protocol),
            Err(error) => return self.refuse(link.remote(), super::link::blame(&error).0),
        };
        tokio::select! {
            () = transfer(self, link, ask, reader.into_body(), give) => {}
            _ended = link.connection().closed() => {}
        }
    }
}
