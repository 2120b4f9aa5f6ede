//! The TFTP server: one UDP socket and one thread for every transfer.
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
mod vigil;

use std::{
    io,
    net::{Shutdown, SocketAddr},
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use ipxe::tftp::Limits;
use socket2::Socket;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::{
    desk::Desk,
    socket::{Arrived, Inbox, Outbox},
    vigil::{AWAKE, Vigil},
};
use crate::BootAuthority;

/// Rest after a socket error that is not about one packet, so that a broken socket does not spin.
const ERROR_PAUSE: Duration = Duration::from_millis(200);
/// How often the clock is looked at while a client is waited for and all are silent: so much later a repetition may come.
const TICK: Duration = Duration::from_millis(100);

/// A bound TFTP server, not yet answering.
#[derive(Debug)]
pub struct TftpServer {
    outbox: Outbox,
    closer: Closer,
    limits: Limits,
}

impl TftpServer {
    /// Binds the one socket.
    ///
    /// # Errors
    /// As `bind` fails: the port is taken, or needs a privilege.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        let outbox = Outbox::bind(addr)?;
        let closer = Closer {
            socket: outbox.handle()?,
            closed: Arc::default(),
        };
        Ok(Self {
            outbox,
            closer,
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

    /// Serves until `stop`, on a thread that does nothing else; transfers that run then are dropped, their clients time out.
    /// Dropping the future stops it too.
    pub async fn run<A: BootAuthority>(self, authority: Arc<A>, stop: CancellationToken) {
        let Self {
            outbox,
            closer,
            limits,
        } = self;
        let desk = Desk::new(authority, limits);
        let closed = Arc::clone(&closer.closed);
        let mut serving = spawn_blocking(move || serve(desk, &outbox, &closed));
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = stop.cancelled() => {
                drop(closer);
                serving.await
            }
        };
        if let Err(error) = ended
            && error.is_panic()
        {
            resume_unwind(error.into_panic());
        }
    }
}

/// Wakes the serving thread and ends it.
#[derive(Debug)]
struct Closer {
    socket: Socket,
    closed: Arc<AtomicBool>,
}

impl Drop for Closer {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        // Linux calls a UDP socket without a peer not connected, and wakes who waits for it all the same.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

fn serve<A: BootAuthority>(mut desk: Desk<A>, outbox: &Outbox, closed: &AtomicBool) {
    let (mut inbox, mut vigil) = (Inbox::default(), Vigil::default());
    loop {
        let is_waiting = desk.has_backlog() || desk.alarm().is_some();
        let received = receive(&mut inbox, outbox, is_waiting, &mut vigil);
        if closed.load(Ordering::Acquire) {
            return;
        }
        let now = Instant::now();
        match received {
            Ok(Some(arrived)) => desk.handle_datagram(now, &inbox.read(arrived), outbox),
            Ok(None) => {}
            Err(error) => {
                warn!(%error, "the TFTP socket cannot receive");
                thread::sleep(ERROR_PAUSE);
            }
        }
        if desk.alarm().is_some_and(|due| due <= now) {
            desk.handle_timeouts(now);
        }
        desk.flush(now, outbox);
    }
}

/// The next datagram; nothing when it is time to look at the clock.
fn receive(
    inbox: &mut Inbox,
    outbox: &Outbox,
    is_waiting: bool,
    vigil: &mut Vigil,
) -> io::Result<Option<Arrived>> {
    if is_waiting {
        if vigil.is_due() {
            let began = Instant::now();
            while began.elapsed() < AWAKE {
                if let Some(arrived) = inbox.poll(outbox)? {
                    vigil.paid();
                    return Ok(Some(arrived));
                }
                thread::yield_now(); // perhaps it is the client who waits for this core
            }
        }
        vigil.missed();
    }
    outbox.wait_at_most(is_waiting.then_some(TICK))?;
    inbox.wait(outbox)
}
