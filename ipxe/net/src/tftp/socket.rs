//! The socket: datagrams in batches with the address they were sent to, windows out in one call.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
};

use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{Interest, unix::AsyncFd},
    net::UdpSocket,
};
use tracing::debug;

/// Room for one datagram, in bytes: a request has at most 512. Longer ones are cut and then refused.
const DATAGRAM_MAX: usize = 2048;
/// Most bytes of one send: UDP's payload limit over IPv4.
pub(super) const SEND_MAX: usize = 65_507;
/// Bytes the kernel may hold for us: a burst of 3,000 requests at its ~1 KiB each. Granted in full to root only.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Bytes the kernel may hold on their way out: a dozen windows of the largest kind.
const SEND_BUFFER: usize = 1 << 20;

/// Buffers offered to a call when the last one did not fill what it had: one for the only client there is, and one that
/// stays empty and so says that there is no more. Preparing all of them takes longer than receiving one datagram.
const OFFERED_MIN: usize = 2;

/// One datagram of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram<'a> {
    /// Who sent it.
    pub(super) from: SocketAddr,
    /// The address of ours it was sent to, as far as the kernel tells.
    pub(super) at: Option<IpAddr>,
    pub(super) bytes: &'a [u8],
}

/// Where received datagrams lie.
#[derive(Debug)]
pub(super) struct Inbox {
    buffer: Vec<u8>,
    metas: [RecvMeta; BATCH_SIZE],
    /// Buffers to be offered to the next call.
    offered: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            buffer: vec![0; BATCH_SIZE * DATAGRAM_MAX],
            metas: [RecvMeta::default(); BATCH_SIZE],
            offered: OFFERED_MIN,
        }
    }
}

impl Inbox {
    /// Waits for datagrams; returns how many buffers are filled. Cancel-safe.
    pub(super) async fn receive(&mut self, from: &Outbox) -> io::Result<usize> {
        loop {
            let mut readable = from.socket.readable().await?;
            let mut got = 0;
            let outcome = readable.try_io(|socket| {
                let mut slices = self.buffer.chunks_mut(DATAGRAM_MAX).map(IoSliceMut::new);
                let mut slices: [_; BATCH_SIZE] = std::array::from_fn(|_| {
                    slices.next().expect("the buffer has BATCH_SIZE chunks")
                });
                let offered = &mut slices[..self.offered];
                got = from
                    .state
                    .recv(socket.get_ref().into(), offered, &mut self.metas)?;
                // A batch that is not full emptied the queue. Saying so spares the call that would find it empty; what
                // arrives from here on raises a new event (the registration is edge-triggered).
                if got == self.offered {
                    self.offered = BATCH_SIZE;
                    return Ok(());
                }
                self.offered = (2 * got).clamp(OFFERED_MIN, BATCH_SIZE);
                Err(io::ErrorKind::WouldBlock.into())
            });
            match outcome {
                Ok(Err(error)) => return Err(error),
                _ if got > 0 => return Ok(got),
                _ => {}
            }
        }
    }

    /// The datagrams in the first `count` buffers; one buffer can hold several of one sender (receive offload).
    pub(super) fn datagrams(&self, count: usize) -> impl Iterator<Item = Datagram<'_>> {
        let buffers = self.buffer.chunks(DATAGRAM_MAX);
        buffers
            .zip(&self.metas[..count])
            .flat_map(|(buffer, meta)| {
                let filled = &buffer[..meta.len.min(DATAGRAM_MAX)];
                filled.chunks(meta.stride.max(1)).map(|bytes| Datagram {
                    from: meta.addr,
                    at: meta.dst_ip,
                    bytes,
                })
            })
    }
}

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The kernel has it, or it is lost like any packet may be.
    Gone,
    /// The send buffer is full: wait until the socket is writable.
    Full,
    /// The kernel will not send such a packet; it counts as lost.
    Unsendable,
}

/// The socket and what the kernel can do for it.
#[derive(Debug)]
pub(super) struct Outbox {
    /// Only events of reading are heard: the kernel tells of room to write whenever a packet has left, which would wake us
    /// once more for each block (measured: two `epoll_wait` a block instead of one).
    socket: AsyncFd<Socket>,
    state: UdpSocketState,
}

impl Outbox {
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&addr.into())?;
        enlarge_buffers(&socket);
        let state = state_of(&socket)?;
        Ok(Self {
            socket: hear(socket)?,
            state,
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        let local = self.socket.get_ref().local_addr()?;
        local
            .as_socket()
            .ok_or_else(|| io::Error::other("a UDP socket without an IP address"))
    }

    /// Waits until the send buffer has room. Seldom needed, so it listens for this time only, by a handle of its own.
    pub(super) async fn writable(&self) -> io::Result<()> {
        let handle = self.socket.get_ref().try_clone()?;
        UdpSocket::from_std(handle.into())?.writable().await
    }

    /// How many packets of `segment` bytes one call can send.
    pub(super) fn packets_per_send(&self, segment: usize) -> usize {
        (SEND_MAX / segment)
            .min(self.state.max_gso_segments())
            .max(1)
    }

    /// Sends packets of `segment` bytes that lie back to back (the last may be shorter), from our address `at`.
    pub(super) fn send(
        &mut self,
        to: SocketAddr,
        at: Option<IpAddr>,
        contents: &[u8],
        segment: usize,
    ) -> Sent {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: (contents.len() > segment).then_some(segment),
            src_ip: at,
        };
        match self.state.try_send(self.socket.get_ref().into(), &transmit) {
            Ok(()) => Sent::Gone,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Sent::Full,
            Err(error) if transmit.segment_size.is_some() => {
                debug!(%error, %to, "sending a window in one call failed");
                self.send_singly(to, at, contents, segment)
            }
            Err(error) => {
                debug!(%error, %to, "cannot send");
                self.forgive();
                Sent::Unsendable
            }
        }
    }

    /// Without offload. What a full buffer refuses meanwhile counts as lost: the client will ask for it.
    fn send_singly(
        &mut self,
        to: SocketAddr,
        at: Option<IpAddr>,
        contents: &[u8],
        segment: usize,
    ) -> Sent {
        for packet in contents.chunks(segment) {
            if self.send(to, at, packet, segment) != Sent::Gone {
                return Sent::Unsendable;
            }
        }
        Sent::Gone
    }

    /// After an EINVAL quinn-udp takes the kernel for an old one and stops offload for good. But a stranger causes EINVAL
    /// at will, by asking from port 0 or at a broadcast address: then the packet was at fault, not the kernel.
    fn forgive(&mut self) {
        if let Ok(state) = state_of(self.socket.get_ref()) {
            self.state = state;
        }
    }
}

/// Hears of datagrams that came in, of nothing else.
#[expect(
    deprecated,
    reason = "its successor is unsafe, for descriptors that may close early; a Socket owns its own"
)]
fn hear(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    AsyncFd::with_interest(socket, Interest::READABLE)
}

/// quinn-udp's view of a socket, which it makes non-blocking; without what QUIC wants to know of each datagram and TFTP does
/// not, because the kernel would work it out for each ACK.
fn state_of(socket: &Socket) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(socket.into())?;
    if let Err(error) = setsockopt(socket, sockopt::ReceiveTimestampns, &false)
        .and_then(|()| setsockopt(socket, sockopt::IpRecvTos, &false))
    {
        debug!(%error, "the TFTP socket goes on telling times and classes of datagrams");
    }
    Ok(state)
}

/// Best effort: a small buffer only means that clients ask twice when all come at once.
fn enlarge_buffers(socket: &Socket) {
    let forced = setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER);
    if forced.is_err()
        && let Err(error) = socket.set_recv_buffer_size(RECEIVE_BUFFER)
    {
        debug!(%error, "the TFTP receive buffer keeps its size");
    }
    if let Err(error) = socket.set_send_buffer_size(SEND_BUFFER) {
        debug!(%error, "the TFTP send buffer keeps its size");
    }
}
