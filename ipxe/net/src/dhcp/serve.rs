//! The loop of one port: parse, see whose turn it is, ask, answer.

use std::{
    future::poll_fn,
    net::Ipv4Addr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use ipxe::{
    BootOffer, LeaseAsk, MacAddr, PxeClient,
    dhcp::{self, Arrival, DhcpMode, DhcpPort, Kind, Message, Reply, Turn},
};
use tokio::{task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{
    DhcpConfig, DhcpPorts, PER_MAC,
    interfaces::Interfaces,
    socket::{Came, PortSocket, Way},
};
use crate::{BootAuthority, BootNote, quota::Quota};

/// The longest request read (bytes); ROMs send 590 at most, an Ethernet frame carries less than this.
pub(super) const LONGEST: usize = 2048;
/// Questions open at once: for leases, and for offers that are somebody else's to make. The store commits hundreds at a
/// time; more than this and clients have given up.
const IN_FLIGHT: usize = 1024;
/// Wait after a socket error, so that a dead interface does not turn the loop into a spin.
pub(super) const AFTER_ERROR: Duration = Duration::from_millis(100);
/// How long open questions may take after the stop.
const GRACE: Duration = Duration::from_secs(2);

/// What one port needs to answer.
pub(super) struct Desk<A> {
    port: DhcpPort,
    mode: DhcpMode,
    ports: DhcpPorts,
    http_port: u16,
    /// Other servers are heard on the client port; what REQUESTs tell about them adds nothing then.
    hears_offers: bool,
    interfaces: Interfaces,
    quota: Quota<MacAddr>,
    authority: Arc<A>,
}

/// A request with all that its answer needs; outlives the receive loop's turn.
struct Case {
    message: Message,
    came: Came,
    way: Way,
    ours: Vec<Ipv4Addr>,
    port: DhcpPort,
    mode: DhcpMode,
    http_port: u16,
    ports: DhcpPorts,
}

/// Serves one port until `stop`.
pub(super) async fn serve<A: BootAuthority>(
    mut desk: Desk<A>,
    socket: Arc<PortSocket>,
    stop: CancellationToken,
) {
    let mut open = JoinSet::new();
    let mut buffer = [0; LONGEST];
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = open.join_next(), if !open.is_empty() => {}
            got = socket.recv(&mut buffer) => match got {
                Ok(came) => {
                    let bytes = &buffer[came.payload.clone()];
                    survived(desk.handle(bytes, came, &socket, &mut open)).await;
                }
                Err(error) => {
                    warn!(%error, "receiving DHCP");
                    time::sleep(AFTER_ERROR).await;
                }
            },
        }
    }
    let rest = async { while open.join_next().await.is_some() {} };
    let _cut_short = time::timeout(GRACE, rest).await;
}

impl<A: BootAuthority> Desk<A> {
    pub(super) fn new(
        port: DhcpPort,
        config: &DhcpConfig,
        hears_offers: bool,
        authority: Arc<A>,
    ) -> Self {
        Self {
            port,
            mode: config.mode,
            ports: config.ports,
            http_port: config.http_port,
            hears_offers,
            interfaces: Interfaces::new(config.interfaces.clone()),
            quota: Quota::new(PER_MAC),
            authority,
        }
    }

    async fn handle(
        &mut self,
        bytes: &[u8],
        came: Came,
        socket: &Arc<PortSocket>,
        open: &mut JoinSet<()>,
    ) {
        let Some(case) = self.open(bytes, came) else {
            return;
        };
        self.tell_what_passes(&case);
        match dhcp::turn(&case.message, &case.at()) {
            Turn::Ignore => {}
            Turn::Boot(kind) => self.boot(case, kind, socket, open).await,
            Turn::Lease(_) if open.len() >= IN_FLIGHT => {
                self.authority.note(BootNote::Dropped("dhcp-leases-full"));
            }
            Turn::Lease(ask) => {
                let offer = self.offer(&case);
                let authority = Arc::clone(&self.authority);
                // An offer comes from memory: it has left before a task would have been made for it.
                let mut lease = Box::pin(lease(authority, Arc::clone(socket), case, ask, offer));
                if !at_once(lease.as_mut()).await {
                    open.spawn(lease);
                }
            }
        }
    }

    /// Parses what came and finds our address for it; counts what is dropped.
    fn open(&mut self, bytes: &[u8], came: Came) -> Option<Case> {
        let now = Instant::now();
        self.interfaces.refresh(now);
        let address = self.interfaces.address(came.interface, came.local)?;
        let message = match Message::request(bytes) {
            Ok(message) => message,
            Err(error) => {
                debug!(from = %came.from, %error, "not a DHCP request");
                self.authority.note(BootNote::Dropped(error.label()));
                return None;
            }
        };
        if !self.quota.admit(message.mac, now) {
            self.authority.note(BootNote::Dropped("dhcp-too-often"));
            return None;
        }
        let way = Way {
            local: address,
            interface: came.interface,
            // A program of this host (`enforcer doctor`) only hears what the host's own IP hands back.
            wire: (!self.interfaces.all().contains(came.from.ip()))
                .then(|| self.interfaces.wire(came.interface))
                .flatten(),
        };
        Some(Case {
            message,
            came,
            way,
            ours: self.interfaces.all().to_vec(),
            port: self.port,
            mode: self.mode,
            http_port: self.http_port,
            ports: self.ports,
        })
    }

    /// REQUESTs are broadcast: they show who gets which address, and from whom, also when it is not from us.
    fn tell_what_passes(&self, case: &Case) {
        let Some(ip) = case.message.requested_address() else {
            return;
        };
        let mac = case.message.mac;
        self.authority.note(BootNote::AddressRequested { mac, ip });
        let foreign = case
            .message
            .server_id()
            .filter(|s| !case.ours.contains(s) && self.port == DhcpPort::Dhcp);
        if let Some(server) = foreign.filter(|_| !self.hears_offers) {
            let (boots, client) = (false, Some(mac));
            self.authority.note(BootNote::ForeignServer {
                server,
                boots,
                client,
            });
        }
    }

    /// Answers a boot client; where the offer is not ours to make, when it has come.
    async fn boot(&self, case: Case, kind: Kind, socket: &Arc<PortSocket>, open: &mut JoinSet<()>) {
        let Some(client) = case.message.boot_client() else {
            return;
        };
        let authority = &self.authority;
        match authority.offer_later(&client) {
            None => {
                let offer = authority.offer(&client);
                answer(&**authority, socket, &case, kind, client, &offer).await;
            }
            Some(_) if open.len() >= IN_FLIGHT => {
                authority.note(BootNote::Dropped("dhcp-offers-full"));
            }
            Some(offer) => {
                let (authority, socket) = (Arc::clone(authority), Arc::clone(socket));
                open.spawn(async move {
                    // A question that nobody answered gets silence.
                    if let Ok(offer) = offer.await {
                        answer(&*authority, &socket, &case, kind, client, &offer).await;
                    }
                });
            }
        }
    }

    /// What the authority offers beside a lease.
    fn offer(&self, case: &Case) -> BootOffer {
        let Some(client) = case.message.boot_client() else {
            return BootOffer::Silent;
        };
        let offer = self.authority.offer(&client);
        tell_asked(&*self.authority, case, client, &offer);
        offer
    }
}

/// Sends boot information alone.
async fn answer<A: BootAuthority>(
    authority: &A,
    socket: &PortSocket,
    case: &Case,
    kind: Kind,
    client: PxeClient,
    offer: &BootOffer,
) {
    tell_asked(authority, case, client, offer);
    let reply = dhcp::boot_reply(&case.message, &case.at(), kind, offer);
    send(authority, socket, case, reply).await;
}

/// Tells of a boot's first sign of life.
fn tell_asked<A: BootAuthority>(authority: &A, case: &Case, client: PxeClient, told: &BootOffer) {
    if case.message.kind == Kind::Discover || case.port == DhcpPort::Pxe {
        let offer = told.clone();
        authority.note(BootNote::Asked { client, offer });
    }
}

impl Case {
    fn at(&self) -> Arrival<'_> {
        Arrival {
            mode: self.mode,
            port: self.port,
            from: self.came.from,
            address: self.way.local,
            ours: &self.ours,
            http_port: self.http_port,
            client_port: self.ports.client,
            relay_port: self.ports.dhcp,
        }
    }
}

/// A request whose handling panics costs nobody else the port: it gets silence, as one whose task panics.
async fn survived(handling: impl Future<Output = ()>) {
    let mut handling = pin!(handling);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| handling.as_mut().poll(context)));
        polled.unwrap_or(Poll::Ready(()))
    })
    .await;
}

/// Whether a task has nothing to wait for: then it is done.
async fn at_once(mut task: Pin<&mut impl Future<Output = ()>>) -> bool {
    poll_fn(|context| Poll::Ready(task.as_mut().poll(context).is_ready())).await
}

async fn lease<A: BootAuthority>(
    authority: Arc<A>,
    socket: Arc<PortSocket>,
    case: Case,
    ask: LeaseAsk,
    offer: BootOffer,
) {
    let verb = ask.verb;
    let answer = authority.lease(ask).await;
    let reply = dhcp::lease_reply(&case.message, &case.at(), verb, &answer, &offer);
    send(&*authority, &socket, &case, reply).await;
}

async fn send<A: BootAuthority>(
    authority: &A,
    socket: &PortSocket,
    case: &Case,
    reply: Option<Reply>,
) {
    let Some(Reply { bytes, to }) = reply else {
        return;
    };
    let sent = socket.send(&bytes, to, case.way);
    if let Err(error) = sent.await {
        // Strangers choose where a reply goes; a warning for each would be their pen in our log.
        debug!(mac = %case.message.mac, %to, %error, "sending DHCP");
        authority.note(BootNote::Dropped("dhcp-send-failed"));
    }
}
