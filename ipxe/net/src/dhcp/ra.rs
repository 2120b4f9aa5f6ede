//! Answers IPv6 router solicitations with "no router here" (RFC 4861 §6.2.3, router lifetime 0).
//!
//! Boot is IPv4, but iPXE of 2019 waits 16 s for an advertisement before it goes on. A lifetime of zero changes no
//! host's routes, except for routes through ourselves: so a host that forwards IPv6 stays silent.

use std::{
    collections::HashMap,
    fs,
    io::{self, IoSlice, IoSliceMut},
    net::{Ipv6Addr, SocketAddrV6},
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use nix::{
    cmsg_space, libc,
    net::if_::if_indextoname,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
        sockopt,
    },
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket, time};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{interfaces::Interfaces, serve::AFTER_ERROR};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// Hop limit of every neighbour discovery packet (RFC 4861 §7.1).
const HOPS: u32 = 255;
/// An advertisement reaches everybody on the link; this often is enough, since iPXE solicits again after 250 ms.
const PAUSE: Duration = Duration::from_millis(100);
/// How often new interfaces are looked for.
const LOOK: Duration = Duration::from_secs(5);

/// Answers until `stop`. Without IPv6 on this host there is nothing to do.
pub(super) async fn advertise(only: Option<Vec<String>>, stop: CancellationToken) {
    let socket = match open() {
        Ok(socket) => socket,
        Err(error) => {
            warn!(%error, "router solicitations stay unanswered: old iPXE waits 16 s longer");
            return;
        }
    };
    let mut interfaces = Interfaces::new(only);
    let mut answered = HashMap::new();
    let mut look = time::interval(LOOK);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => join(&socket, &mut interfaces),
            asked = solicitation(&socket) => match asked {
                Ok(index) => answer(&socket, index, &interfaces, &mut answered),
                Err(error) => {
                    debug!(%error, "receiving router solicitations");
                    time::sleep(AFTER_ERROR).await;
                }
            },
        }
    }
}

fn open() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.set_multicast_hops_v6(HOPS)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_nonblocking(true)?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    // tokio has no raw sockets; what it does with a UDP socket's descriptor is right for any datagram socket.
    UdpSocket::from_std(socket.into())
}

/// Joins the routers' group wherever we serve; joining twice, or without IPv6, fails and does no harm.
fn join(socket: &UdpSocket, interfaces: &mut Interfaces) {
    interfaces.refresh(Instant::now());
    for index in interfaces.indexes() {
        let _already = socket.join_multicast_v6(&ALL_ROUTERS, index);
    }
}

/// Waits for a solicitation; says by which interface it came.
async fn solicitation(socket: &UdpSocket) -> io::Result<u32> {
    loop {
        let found = socket
            .async_io(Interest::READABLE, || try_recv(socket))
            .await?;
        if let Some(index) = found {
            return Ok(index);
        }
    }
}

/// The interface of the next packet, when it is a solicitation: a raw socket hears all ICMPv6.
fn try_recv(socket: &UdpSocket) -> io::Result<Option<u32>> {
    let mut packet = [0; 64];
    let mut control = cmsg_space!(libc::in6_pktinfo);
    let mut slices = [IoSliceMut::new(&mut packet)];
    let got = recvmsg::<SockaddrIn6>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let long_enough = got.bytes >= 8;
    let index = got.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_ifindex),
        _ => None,
    });
    let asks = long_enough && packet[..2] == [SOLICITATION, 0];
    Ok(index.filter(|_| asks))
}

fn answer(
    socket: &UdpSocket,
    index: u32,
    interfaces: &Interfaces,
    answered: &mut HashMap<u32, Instant>,
) {
    let now = Instant::now();
    let just_now = answered
        .get(&index)
        .is_some_and(|at| now.duration_since(*at) < PAUSE);
    if just_now || !interfaces.indexes().any(|i| i == index) || forwards(index) {
        return;
    }
    answered.insert(index, now);
    if let Err(error) = send(socket, index) {
        debug!(%error, index, "sending a router advertisement");
    }
}

/// Whether this host routes IPv6 there: then somebody else on it speaks for the router, and not with lifetime 0.
fn forwards(index: u32) -> bool {
    let Some(name) = if_indextoname(index)
        .ok()
        .and_then(|n| n.into_string().ok())
    else {
        return true;
    };
    let setting = format!("/proc/sys/net/ipv6/conf/{name}/forwarding");
    fs::read_to_string(setting).is_ok_and(|s| s.trim() != "0")
}

/// Hop limit, flags, lifetime and timers all zero: nothing specified, no router. The kernel fills in the checksum.
fn send(socket: &UdpSocket, index: u32) -> io::Result<()> {
    let mut packet = [0; 16];
    packet[0] = ADVERTISEMENT;
    let info = libc::in6_pktinfo {
        ipi6_addr: libc::in6_addr { s6_addr: [0; 16] },
        ipi6_ifindex: index,
    };
    sendmsg(
        socket.as_raw_fd(),
        &[IoSlice::new(&packet)],
        &[ControlMessage::Ipv6PacketInfo(&info)],
        MsgFlags::MSG_DONTWAIT,
        Some(&SockaddrIn6::from(SocketAddrV6::new(
            ALL_NODES, 0, 0, index,
        ))),
    )?;
    Ok(())
}
