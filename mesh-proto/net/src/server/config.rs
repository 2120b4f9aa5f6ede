//! What a server needs to start, and why it cannot.

use std::{io, net::SocketAddr, time::Duration};

use crate::{
    body::BODY_IDLE,
    tls::{Clock, PeerCas, SiteIdentity, TlsError, no_peers},
};

/// What may be changed about the server's quotas; the defaults are the ones documented.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Connections that have not yet proved who they are, at once. From half of it on, clients have to show that their
    /// address is their own first (QUIC's Retry).
    pub handshakes: usize,
    /// The same, from one address: a room behind one router gets a quarter of all places, not all of them.
    pub handshakes_per_address: usize,
    /// Time for the handshake, and again for the first message.
    pub patience: Duration,
    /// Enrolments of one machine from one address a minute; invitations shown by one address a minute.
    pub enrols_per_minute: u32,
    /// Enrolments from one address a minute, whatever machines they name: a full room behind one router, or one helper.
    pub enrols_per_address: u32,
    /// Enrolments that wait for a person.
    pub pending: usize,
    /// Longest wait for the next bytes of a transfer, or until some were taken.
    pub body_idle: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            handshakes: 256,
            handshakes_per_address: 64,
            patience: Duration::from_secs(5),
            enrols_per_minute: 5,
            enrols_per_address: 256,
            pending: 4096,
            body_idle: BODY_IDLE,
        }
    }
}

/// What a server needs to start.
pub struct ServerConfig {
    /// Where; DESIGN's port is 4848.
    pub listen: SocketAddr,
    /// Who it is.
    pub identity: SiteIdentity,
    /// The time certificates are judged by: the site's newest stamp when that is later than the system's clock.
    pub clock: Clock,
    /// Whose controllers are believed on links between sites.
    pub peers: PeerCas,
    /// Quotas.
    pub limits: ServerLimits,
    /// Whether bytes may also come and go over TCP, beside links.
    pub beside: bool,
    /// A secret that outlives this process: with it, agents whose links a killed one left behind are told by the next.
    pub reset_key: Option<[u8; 32]>,
}

impl ServerConfig {
    /// The usual configuration.
    #[must_use]
    pub fn new(listen: SocketAddr, identity: SiteIdentity, clock: Clock) -> Self {
        Self {
            listen,
            identity,
            clock,
            peers: no_peers(),
            limits: ServerLimits::default(),
            beside: true,
            reset_key: None,
        }
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port is taken, or needs a privilege.
    #[error("cannot bind {protocol} {addr}")]
    Bind {
        /// UDP for links, TCP for bytes beside them.
        protocol: &'static str,
        /// Where.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The identity cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
