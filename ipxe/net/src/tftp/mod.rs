//! The TFTP server: one UDP socket and one task for every transfer.
//!
//! All packets leave from the port that was asked (69), and from the address that was asked. RFC 1350 lets a server
//! choose a fresh port for each transfer, and most do; but a NAT in front of a container, or a stateful firewall without
//! a TFTP helper, then drops the answer (TRAPS 20). Clients take whatever port the first answer comes from, so the
//! well-known one is as good, and a transfer is known by its client's address and port.
//!
//! Memory is bounded: a transfer is a few hundred bytes and a shared file handle; the blocks of a window are read into
//! one buffer that all transfers share, at the moment the socket takes them. Only who takes small windows of a file on the
//! disk has 32 KiB of his own (`ahead`): there each wait for an answer counts.

mod ahead;
mod desk;
mod socket;
mod table;

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use ipxe::tftp::Limits;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::{
    desk::Desk,
    socket::{Inbox, Outbox},
};
use crate::BootAuthority;

/// Rest after a socket error that is not about one packet, so that a broken socket does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(200);
/// The alarm while no transfer waits for anything: any far point in time.
const IDLE: Duration = Duration::from_secs(3600);

/// A bound TFTP server, not yet answering.
#[derive(Debug)]
pub struct TftpServer {
    inbox: Inbox,
    outbox: Outbox,
    limits: Limits,
}

impl TftpServer {
    /// Binds the one socket. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// As `bind` fails: the port is taken, or needs a privilege.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            inbox: Inbox::default(),
            outbox: Outbox::bind(addr)?,
            limits: Limits::default(),
        })
    }

    /// Grants options up to these limits instead of the default ones.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// The address it is bound to.
    ///
    /// # Errors
    /// As the socket says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.outbox.local_addr()
    }

    /// Serves until `stop`; transfers that run then are dropped, their clients time out.
    ///
    /// To be spawned, not awaited by `block_on` of a multi-threaded runtime: that would pass each packet from the thread
    /// that hears the socket to another one (measured: a fifth of the rate in lockstep on a busy host).
    pub async fn run<A: BootAuthority>(self, authority: Arc<A>, stop: CancellationToken) {
        let Self {
            mut inbox,
            mut outbox,
            limits,
        } = self;
        let mut desk = Desk::new(authority, limits);
        let mut stopped = pin!(stop.cancelled());
        let mut alarm = pin!(sleep_until(Instant::now() + IDLE));
        loop {
            // A datagram first: its sender waits for it. To stop is looked at after the answer.
            tokio::select! {
                biased;
                received = inbox.receive(&outbox) => match received {
                    Ok(count) => {
                        let now = Instant::now().into_std();
                        for datagram in inbox.datagrams(count) {
                            desk.handle_datagram(now, &datagram, &mut outbox);
                        }
                    }
                    Err(error) => {
                        warn!(%error, "the TFTP socket cannot receive");
                        sleep(ERROR_PAUSE).await;
                    }
                },
                room = outbox.writable(), if desk.has_backlog() => {
                    if let Err(error) = room {
                        warn!(%error, "the TFTP socket cannot send");
                        sleep(ERROR_PAUSE).await;
                    }
                }
                () = &mut alarm => desk.handle_timeouts(Instant::now().into_std()),
                () = &mut stopped => return,
            }
            desk.flush(Instant::now().into_std(), &mut outbox);
            if stop.is_cancelled() {
                return;
            }
            // Moving a timer costs a lock; ACKs only ever push deadlines back, so most turns leave it alone.
            let due = desk.alarm().map(Instant::from_std);
            if alarm.is_elapsed() || due.is_some_and(|due| due < alarm.deadline()) {
                alarm
                    .as_mut()
                    .reset(due.unwrap_or_else(|| Instant::now() + IDLE));
            }
        }
    }
}
