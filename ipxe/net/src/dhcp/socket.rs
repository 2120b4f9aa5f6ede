//! One UDP port that knows by which interface a datagram came, and answers from the address that was meant.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{Ipv4Addr, SocketAddrV4},
    ops::Range,
    os::fd::AsRawFd,
};

use nix::{
    cmsg_space, libc,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
        sockopt,
    },
};
use socket2::Socket;
use tokio::{io::Interest, net::UdpSocket};

use super::{
    frame::{Frames, Wire},
    raw,
};

/// A socket with `IP_PKTINFO`.
#[derive(Debug)]
pub(super) struct PortSocket {
    /// tokio has no raw sockets; what it does with a UDP socket's descriptor is right for any datagram socket.
    io: UdpSocket,
    port: u16,
    how: How,
    /// Absent where packet sockets are forbidden.
    frames: Option<Frames>,
}

/// How datagrams are read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// The port is ours.
    Bound,
    /// A raw socket gets copies of what comes to the port; UDP headers are our work.
    Raw,
}

/// Where a datagram came from and came in.
#[derive(Debug, Clone)]
pub(super) struct Came {
    /// Where it is in the buffer.
    pub(super) payload: Range<usize>,
    /// Its sender.
    pub(super) from: SocketAddrV4,
    /// Index of the interface.
    pub(super) interface: u32,
    /// The address of ours that the system would answer from.
    pub(super) local: Ipv4Addr,
}

/// How a reply leaves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// Our address for it.
    pub(super) local: Ipv4Addr,
    /// Index of the interface that a broadcast leaves by.
    pub(super) interface: u32,
    /// The same as an Ethernet, when it is one.
    pub(super) wire: Option<Wire>,
}

impl PortSocket {
    /// Takes over a non-blocking socket that reads `port` in this way.
    pub(super) fn new(socket: Socket, port: u16, how: How) -> io::Result<Self> {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        let io = UdpSocket::from_std(socket.into())?;
        let port = match how {
            How::Bound => io.local_addr()?.port(),
            How::Raw => port,
        };
        let frames = Frames::open().ok();
        Ok(Self {
            io,
            port,
            how,
            frames,
        })
    }

    /// The port that is read.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Waits for a datagram; a longer one is cut to the buffer.
    pub(super) async fn recv(&self, buffer: &mut [u8]) -> io::Result<Came> {
        self.io
            .async_io(Interest::READABLE, || self.try_recv(buffer))
            .await
    }

    fn try_recv(&self, buffer: &mut [u8]) -> io::Result<Came> {
        let mut control = cmsg_space!(libc::in_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let got = recvmsg::<SockaddrIn>(
            self.io.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::empty(),
        )?;
        let from = got.address.ok_or(io::ErrorKind::InvalidData)?;
        let info = got.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::Ipv4PacketInfo(info) => Some(info),
            _ => None,
        });
        let info = info.ok_or(io::ErrorKind::InvalidData)?;
        let (len, from) = (got.bytes, SocketAddrV4::new(from.ip(), from.port()));
        let (from, payload) = match self.how {
            How::Bound => (from, 0..len),
            // A datagram that lies about its length is an empty one: dropped and counted like any other short one.
            How::Raw => raw::unwrap(&buffer[..len])
                .map_or((from, 0..0), |(from, _port, payload)| (from, payload)),
        };
        Ok(Came {
            payload,
            from,
            interface: info.ipi_ifindex.unsigned_abs(),
            local: Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr)),
        })
    }

    /// Sends a reply. A broadcast leaves by its interface; a unicast goes where the routes say, since a relay may be reached
    /// by another way than it came.
    pub(super) async fn send(&self, bytes: &[u8], to: SocketAddrV4, way: Way) -> io::Result<()> {
        let (broadcast, from) = (
            to.ip().is_broadcast(),
            SocketAddrV4::new(way.local, self.port),
        );
        if broadcast && self.as_frame(bytes, from, to, way.wire) {
            return Ok(());
        }
        let by = if broadcast { way.interface } else { 0 };
        let wrapped = match self.how {
            How::Bound => None,
            How::Raw => Some(raw::wrap(from, to, bytes)),
        };
        let bytes = wrapped.as_deref().unwrap_or(bytes);
        self.io
            .async_io(Interest::WRITABLE, || {
                self.try_send(bytes, to, way.local, by)
            })
            .await
    }

    /// Whether it left as a frame; what did not goes through the system's IP, which can wait, and fragment.
    fn as_frame(
        &self,
        bytes: &[u8],
        from: SocketAddrV4,
        to: SocketAddrV4,
        wire: Option<Wire>,
    ) -> bool {
        let frames = self.frames.as_ref().zip(wire);
        frames.is_some_and(|(frames, wire)| frames.send(bytes, from, to, wire).is_ok())
    }

    fn try_send(&self, bytes: &[u8], to: SocketAddrV4, local: Ipv4Addr, by: u32) -> io::Result<()> {
        let info = libc::in_pktinfo {
            ipi_ifindex: i32::try_from(by).unwrap_or(0),
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from(local).to_be(),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        sendmsg(
            self.io.as_raw_fd(),
            &[IoSlice::new(bytes)],
            &[ControlMessage::Ipv4PacketInfo(&info)],
            MsgFlags::empty(),
            Some(&SockaddrIn::from(to)),
        )?;
        Ok(())
    }
}
