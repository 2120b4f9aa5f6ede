//! How QUIC is set: small windows, for a thousand links in a Raspberry Pi, and timers by which the death of either side
//! shows in about ten seconds.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use mesh_proto::wan;
use quinn::{AckFrequencyConfig, IdleTimeout, TransportConfig, VarInt};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use socket2::{Domain, Protocol, Socket, Type};

/// A side that has heard nothing for so long asks for a sign of life.
pub const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Silence after which a link is given up. QUIC restarts this timer once when a side speaks into the silence (RFC 9000
/// §10.1), which the keep-alive does: death shows between 8.25 s and 10.25 s after the last packet, within the 10.5 s of
/// the mesh; and a machine that was paused for 8 s finds its link alive.
pub const IDLE: Duration = Duration::from_millis(8250);

/// Unread bytes of one stream. What bounds memory is the connection's window. An agent that saves its disk has four streams,
/// and two of them wait until they are read: together these must not fill [`WIDE`], or nothing comes any more for the two
/// that are read. Two at work have 1.3 Gbit/s on their way over a round trip of 12 ms.
const STREAM_WINDOW: u32 = WIDE / 4;
/// Unread bytes of one connection on which no image travels.
pub(crate) const WINDOW: u32 = 256 << 10;
/// Unacknowledged bytes of such a connection: what a megabyte of facts may hold in memory twice.
pub(crate) const SEND_WINDOW: u64 = 256 << 10;
/// Unread bytes of a connection on which an image travels, and at an agent, which has one, the unacknowledged too.
pub(crate) const WIDE: u32 = 4 << 20;
/// Unacknowledged bytes of a connection on which a controller sends an image: 10 Gbit/s over a round trip of a millisecond.
/// Eight machines at once may cost it 64 MiB: with this the window, the chunk that is sent and the one that is read for each
/// lane are 48.
pub(crate) const SEND_WIDE: u64 = 2 << 20;
/// Streams somebody may open who has proved nothing yet: the one that proves it.
const EARLY_STREAMS: u32 = 1;
/// Requests one side may have open on a link. More is a mistake or an attack, and waits.
pub(crate) const LINK_STREAMS: u32 = 16;
/// Packets that may come without being acknowledged at once: as many as leave in one call to the kernel. With one in two, as
/// QUIC has it, a sender of images spends a quarter of its time on acknowledgements.
const ACK_EVERY: u32 = 10;
/// What a round trip is taken for until one was measured. QUIC's 333 ms are for the Internet; with this a first packet
/// that met a controller that was just starting is repeated after 0.3, 0.9, 2.1 and 4.5 s.
const FIRST_RTT: Duration = Duration::from_millis(100);
/// A handshake is a few kilobytes; ours carry three certificates at most.
const CRYPTO_BUFFER: usize = 16 << 10;

/// How links with agents are set.
pub(crate) fn transport() -> Arc<TransportConfig> {
    with_timers(Some(KEEP_ALIVE), IDLE)
}

/// How links between sites are set, at the side that dials: a site has one with each of its peers, most of them say nothing most
/// of the time, and no machine waits for the news that one has ended.
pub(crate) fn peer_transport() -> Arc<TransportConfig> {
    with_timers(Some(wan::LINK_KEEP_ALIVE), wan::LINK_IDLE)
}

/// The same at the side that is dialled, which only answers: both timers would run from the same packet, and each sign of life
/// would be asked for twice.
pub(crate) fn dialled_transport() -> Arc<TransportConfig> {
    with_timers(None, wan::LINK_IDLE)
}

fn with_timers(keep_alive: Option<Duration>, idle: Duration) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(ACK_EVERY.into());
    let idle =
        IdleTimeout::try_from(idle).expect("seconds fit into a QUIC variable-length integer");
    transport
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(keep_alive)
        .initial_rtt(FIRST_RTT)
        .ack_frequency_config(Some(acks))
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(SEND_WINDOW)
        .max_concurrent_bidi_streams(EARLY_STREAMS.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .crypto_buffer_size(CRYPTO_BUFFER)
        .allow_spin(false);
    Arc::new(transport)
}

/// A UDP socket with a receive buffer of `buffer` bytes, or as much as the kernel gives: to an administrator all of it, to
/// others what `net.core.rmem_max` allows, which is 208 KiB on most hosts and too little for an image.
pub(crate) fn socket(addr: SocketAddr, buffer: usize) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        // One socket for both: agents have whichever the segment gave them.
        socket.set_only_v6(false)?;
    }
    if set_socket_recv_buffer_size_force(&socket, buffer).is_err() {
        let _less = socket.set_recv_buffer_size(buffer);
    }
    socket.bind(&addr.into())?;
    Ok(socket.into())
}
