//! The socket: a call that waits for one datagram and tells where it was sent to, and a call that sends a whole window.
//!
//! It blocks. In lockstep a transfer is as fast as a thread wakes up for one packet, and nothing wakes quicker than the call
//! that takes the packet (measured beside a reactor: three system calls a block instead of two).

use std::{
    cell::Cell,
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::AsRawFd,
    time::Duration,
};

use nix::{
    cmsg_space,
    errno::Errno,
    libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, recvmsg, sendmsg,
        setsockopt, sockopt,
    },
};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

/// Room for one datagram, in bytes: a request has at most 512. Longer ones are cut and then refused.
const DATAGRAM_MAX: usize = 2048;
/// Most bytes of one send: UDP's payload limit over IPv4.
pub(super) const SEND_MAX: usize = 65_507;
/// Most packets of one send: what every kernel with segmentation offload takes (Linux, `UDP_MAX_SEGMENTS`).
const SEGMENTS_MAX: usize = 64;
/// Bytes the kernel may hold for us: a burst of 3,000 requests at its ~1 KiB each. Granted in full to root only.
const RECEIVE_BUFFER: usize = 4 << 20;
/// Bytes the kernel may hold on their way out: a dozen windows of the largest kind.
const SEND_BUFFER: usize = 1 << 20;
/// Longest wait for room in the send buffer: at 100 Mbit/s it is empty by then. Meanwhile the kernel keeps what comes in.
const SEND_WAIT: Duration = Duration::from_millis(100);

/// One datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Datagram<'a> {
    /// Who sent it.
    pub(super) from: SocketAddr,
    /// The address of ours it was sent to, as far as the kernel tells.
    pub(super) at: Option<IpAddr>,
    pub(super) bytes: &'a [u8],
}

/// That a datagram lies in the inbox, and whose it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived {
    from: SocketAddr,
    at: Option<IpAddr>,
    len: usize,
}

/// Where the received datagram lies.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    control: Vec<u8>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            bytes: vec![0; DATAGRAM_MAX],
            control: cmsg_space!(in6_pktinfo),
        }
    }
}

impl Inbox {
    /// Waits for a datagram, as long as [`Outbox::wait_at_most`] said; nothing when none came.
    pub(super) fn wait(&mut self, from: &Outbox) -> io::Result<Option<Arrived>> {
        self.receive(from, MsgFlags::empty())
    }

    /// Takes a datagram that is there already.
    pub(super) fn poll(&mut self, from: &Outbox) -> io::Result<Option<Arrived>> {
        self.receive(from, MsgFlags::MSG_DONTWAIT)
    }

    fn receive(&mut self, from: &Outbox, flags: MsgFlags) -> io::Result<Option<Arrived>> {
        let mut parts = [IoSliceMut::new(&mut self.bytes)];
        let fd = from.socket.as_raw_fd();
        let message = match recvmsg(fd, &mut parts, Some(&mut self.control), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (len, at) = (message.bytes, address_asked(&message));
        let from = message.address.as_ref().and_then(socket_addr);
        Ok(from.map(|from| Arrived { from, at, len }))
    }

    /// The datagram that arrived last.
    pub(super) fn read(&self, arrived: Arrived) -> Datagram<'_> {
        let Arrived { from, at, len } = arrived;
        let bytes = &self.bytes[..len.min(DATAGRAM_MAX)];
        Datagram { from, at, bytes }
    }
}

fn address_asked(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<IpAddr> {
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::from(info.ipi_addr.s_addr.to_ne_bytes()))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    })
}

fn socket_addr(from: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = from.as_sockaddr_in();
    let v4 = v4.map(|from| SocketAddrV4::from(*from).into());
    v4.or_else(|| Some(SocketAddrV6::from(*from.as_sockaddr_in6()?).into()))
}

/// What became of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// The kernel has it, or it is lost like any packet may be.
    Gone,
    /// The send buffer stays full: try again later.
    Full,
    /// The kernel will not send such a packet; it counts as lost.
    Unsendable,
}

/// The socket.
#[derive(Debug)]
pub(super) struct Outbox {
    socket: Socket,
    /// The wait that is set now: setting it costs a call.
    wait: Cell<Option<Duration>>,
}

impl Outbox {
    pub(super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&addr.into())?;
        socket.set_write_timeout(Some(SEND_WAIT))?;
        match addr {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        enlarge_buffers(&socket);
        Ok(Self {
            socket,
            wait: Cell::new(None),
        })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        let local = self.socket.local_addr()?;
        local
            .as_socket()
            .ok_or_else(|| io::Error::other("a UDP socket without an IP address"))
    }

    /// A second handle to the same socket.
    pub(super) fn handle(&self) -> io::Result<Socket> {
        self.socket.try_clone()
    }

    /// How long [`Inbox::receive`] waits for a datagram; `None` is for ever.
    pub(super) fn wait_at_most(&self, wait: Option<Duration>) -> io::Result<()> {
        if self.wait.get() != wait {
            self.socket.set_read_timeout(wait)?;
            self.wait.set(wait);
        }
        Ok(())
    }

    /// How many packets of `segment` bytes one call can send.
    pub(super) fn packets_per_send(&self, segment: usize) -> usize {
        (SEND_MAX / segment).clamp(1, SEGMENTS_MAX)
    }

    /// Sends packets of `segment` bytes that lie back to back (the last may be shorter), from our address `at`.
    pub(super) fn send(
        &self,
        to: SocketAddr,
        at: Option<IpAddr>,
        contents: &[u8],
        segment: usize,
    ) -> Sent {
        let is_window = contents.len() > segment;
        match self.try_send(to, at, contents, is_window.then_some(segment)) {
            Ok(()) => Sent::Gone,
            Err(Errno::EAGAIN) => Sent::Full,
            // A network card that cannot, or a stranger who asked from where nothing can be sent to.
            Err(error) if is_window => {
                debug!(%error, %to, "sending a window in one call failed");
                self.send_singly(to, at, contents, segment)
            }
            Err(error) => {
                debug!(%error, %to, "cannot send");
                Sent::Unsendable
            }
        }
    }

    /// Without offload. What a full buffer refuses meanwhile counts as lost: the client will ask for it.
    fn send_singly(
        &self,
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

    fn try_send(
        &self,
        to: SocketAddr,
        at: Option<IpAddr>,
        contents: &[u8],
        segment: Option<usize>,
    ) -> nix::Result<()> {
        let size = segment.map(u16::try_from).transpose();
        let size = size.map_err(|_| Errno::EMSGSIZE)?;
        let (info, info6) = sent_from(at);
        let parts = [
            size.as_ref().map(ControlMessage::UdpGsoSegments),
            info.as_ref().map(ControlMessage::Ipv4PacketInfo),
            info6.as_ref().map(ControlMessage::Ipv6PacketInfo),
        ];
        // At most two of them, and no memory asked for.
        let mut control = [ControlMessage::UdpGsoSegments(&0); 3];
        let used = parts.into_iter().flatten().zip(&mut control);
        let used = used.map(|(part, place)| *place = part).count();
        let (fd, to) = (self.socket.as_raw_fd(), SockaddrStorage::from(to));
        let data = [IoSlice::new(contents)];
        sendmsg(fd, &data, &control[..used], MsgFlags::empty(), Some(&to)).map(drop)
    }
}

/// What tells the kernel which of our addresses is to be the sender; it chooses the way out by itself.
fn sent_from(at: Option<IpAddr>) -> (Option<in_pktinfo>, Option<in6_pktinfo>) {
    match at {
        None => (None, None),
        Some(IpAddr::V4(at)) => {
            let address = |s_addr| in_addr { s_addr };
            let info = in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: address(u32::from_ne_bytes(at.octets())),
                ipi_addr: address(0),
            };
            (Some(info), None)
        }
        Some(IpAddr::V6(at)) => {
            let info = in6_pktinfo {
                ipi6_addr: in6_addr {
                    s6_addr: at.octets(),
                },
                ipi6_ifindex: 0,
            };
            (None, Some(info))
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
