//! The socket: datagrams in batches with the address they were sent to, windows out in one call.

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
};

use nix::sys::socket::{setsockopt, sockopt};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket};
use tracing::debug;

/// Room for one datagram, in bytes: a request has at most 512. Longer ones are cut and then refused.
const DATAGRAM_MAX: usize = 2048;
/// Most bytes of one send: UDP's payload limit over IPv4.
pub(super) const SEND_MAX: usize = 65_507;
/// Bytes the kernel may hold for us: a burst of 3,000 requests at its ~1 KiB each. Granted in full to root only.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Bytes the kernel may hold on their way out: a dozen windows of the largest kind.
const SEND_BUFFER: usize = 1 << 20;

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
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            buffer: vec![0; BATCH_SIZE * DATAGRAM_MAX],
            metas: [RecvMeta::default(); BATCH_SIZE],
        }
    }
}

impl Inbox {
    /// Waits for datagrams; returns how many buffers are filled. Cancel-safe.
    pub(super) async fn receive(&mut self, from: &Outbox) -> io::Result<usize> {
        loop {
            from.socket.readable().await?;
            let mut got = 0;
            let outcome = from.socket.try_io(Interest::READABLE, || {
                let mut slices = self.buffer.chunks_mut(DATAGRAM_MAX).map(IoSliceMut::new);
                let mut slices: [_; BATCH_SIZE] = std::array::from_fn(|_| {
                    slices.next().expect("the buffer has BATCH_SIZE chunks")
                });
                got = from
                    .state
                    .recv((&from.socket).into(), &mut slices, &mut self.metas)?;
                // A batch that is not full emptied the queue. Saying so spares the call that would find it empty; what
                // arrives from here on raises a new event (the registration is edge-triggered).
                match got {
                    BATCH_SIZE => Ok(()),
                    _ => Err(io::ErrorKind::WouldBlock.into()),
                }
            });
            match outcome {
                Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(e),
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
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Outbox {
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&addr.into())?;
        enlarge_buffers(&socket);
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?; // sets it non-blocking, too
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            state,
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Waits until the send buffer has room.
    pub(super) async fn writable(&self) {
        if self.socket.writable().await.is_err() {
            debug!("the TFTP socket is gone");
        }
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
        let outcome = self.socket.try_io(Interest::WRITABLE, || {
            self.state.try_send((&self.socket).into(), &transmit)
        });
        match outcome {
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
        if let Ok(state) = UdpSocketState::new((&self.socket).into()) {
            self.state = state;
        }
    }
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
