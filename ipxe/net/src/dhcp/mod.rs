//! The DHCP sockets: port 67 for everybody, 4011 for PXE clients, an ear on 68 for other servers.
//!
//! As a server we have port 67 for ourselves. As a proxy we listen in on it with a raw socket and take it from nobody,
//! so that a DHCP server on this host starts, serves and renews as if we were not there. Where none is, the system
//! tells relays "port unreachable" besides our answer, which they ignore.
//!
//! [`DhcpServer::bind`] takes every port or says in a sentence why not; [`DhcpServer::run`] answers until it is
//! stopped. What is answered is computed by [`ipxe::dhcp`] and decided by the [`BootAuthority`].

mod bind;
mod frame;
mod interfaces;
mod listen;
mod probe;
mod ra;
mod raw;
mod serve;
mod socket;

use std::sync::Arc;

pub use bind::DhcpBindError;
use futures_util::FutureExt as _;
use interfaces::Interfaces;
pub use interfaces::{Served, own_addresses, served};
pub use ipxe::dhcp::DhcpMode;
use ipxe::dhcp::DhcpPort;
pub use probe::{FoundServer, probe};
use serve::Desk;
use socket::PortSocket;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::BootAuthority;

/// Requests of one station within a second. A ROM sends one every few seconds; a helper's or relay's stations count
/// each for themselves.
const PER_MAC: u32 = 20;

/// How DHCP is served. (Off is not to start it.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpConfig {
    /// Beside another server, or as the one that leases addresses.
    pub mode: DhcpMode,
    /// Interfaces to serve, by name; `None`: all that are up, have an IPv4 address and are no loopback.
    pub interfaces: Option<Vec<String>>,
    /// Port of boot HTTP, for the URLs in replies.
    pub http_port: u16,
    /// UDP ports; the default is the standard's.
    pub ports: DhcpPorts,
    /// Server mode: answer IPv6 router solicitations with "no router here". Old iPXE otherwise waits 16 s for one.
    pub router_advertisements: bool,
}

/// The UDP ports of DHCP; others than the default are for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DhcpPorts {
    /// Servers and relays: 67.
    pub dhcp: u16,
    /// PXE's boot service: 4011.
    pub pxe: u16,
    /// Clients: 68.
    pub client: u16,
}

impl Default for DhcpPorts {
    fn default() -> Self {
        Self {
            dhcp: 67,
            pxe: 4011,
            client: 68,
        }
    }
}

/// Bound sockets that nobody serves yet.
#[derive(Debug)]
pub struct DhcpServer {
    config: DhcpConfig,
    dhcp: Arc<PortSocket>,
    pxe: Arc<PortSocket>,
    /// Absent where raw sockets are forbidden.
    client: Option<PortSocket>,
}

impl DhcpServer {
    /// Binds every port. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// Names the port or interface and the cure.
    pub fn bind(config: DhcpConfig) -> Result<Self, DhcpBindError> {
        Interfaces::check(config.interfaces.as_deref())?;
        let ports = config.ports;
        let dhcp = match config.mode {
            DhcpMode::Proxy => bind::listening_in(ports.dhcp)?,
            DhcpMode::Server => bind::alone(ports.dhcp)?,
        };
        Ok(Self {
            dhcp: Arc::new(dhcp),
            pxe: Arc::new(bind::alone(ports.pxe)?),
            client: bind::listening_to_others(ports.client).ok(),
            config,
        })
    }

    /// The UDP ports that are served; they differ from the configured ones where those were 0.
    #[must_use]
    pub fn ports(&self) -> DhcpPorts {
        DhcpPorts {
            dhcp: self.dhcp.port(),
            pxe: self.pxe.port(),
            client: self.config.ports.client,
        }
    }

    /// Answers until `stop`; questions about leases still open then get a short grace.
    pub async fn run<A: BootAuthority>(self, authority: Arc<A>, stop: CancellationToken) {
        info!(mode = ?self.config.mode, "serving DHCP");
        let mut tasks = JoinSet::new();
        let hears_offers = self.client.is_some();
        for (port, socket) in [(DhcpPort::Dhcp, self.dhcp), (DhcpPort::Pxe, self.pxe)] {
            let desk = Desk::new(port, &self.config, hears_offers, Arc::clone(&authority));
            tasks.spawn(serve::serve(desk, socket, stop.clone()).boxed());
        }
        if let Some(socket) = self.client {
            let interfaces = Interfaces::new(self.config.interfaces.clone());
            tasks.spawn(
                listen::listen(socket, interfaces, Arc::clone(&authority), stop.clone()).boxed(),
            );
        }
        if self.config.mode == DhcpMode::Server && self.config.router_advertisements {
            tasks.spawn(ra::advertise(self.config.interfaces.clone(), stop.clone()).boxed());
        }
        while tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_misspelled_interface_is_named_beside_those_that_exist() {
        let config = DhcpConfig {
            mode: DhcpMode::Server,
            interfaces: Some(vec!["lo".to_owned(), "eth99".to_owned()]),
            http_port: 4880,
            ports: DhcpPorts::default(),
            router_advertisements: false,
        };
        let error = DhcpServer::bind(config).unwrap_err().to_string();
        assert!(error.contains("'eth99'") && error.contains("lo"), "{error}");
    }
}
