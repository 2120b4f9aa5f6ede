//! The sockets of a helper: all bound before one is answered, or a sentence that says which is taken.

use std::{io, net::Ipv4Addr, net::SocketAddr, sync::Arc};

use ipxe_net::{
    BootHttp, TftpServer,
    dhcp::{DhcpConfig, DhcpMode, DhcpPorts, DhcpServer, own_addresses},
};
use mesh_proto::message::boot::Duty;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;

/// Where a helper listens.
#[derive(Debug, Clone)]
pub struct Ports {
    /// The address of TFTP and boot HTTP.
    pub listen: Ipv4Addr,
    /// DHCP's; `None`: it is not served (a lab without the right to).
    pub dhcp: Option<DhcpPorts>,
    /// TFTP's.
    pub tftp: u16,
    /// Boot HTTP's.
    pub http: u16,
}

impl Default for Ports {
    /// Those that firmware asks, and the controller's own for boot HTTP.
    fn default() -> Self {
        Self {
            listen: Ipv4Addr::UNSPECIFIED,
            dhcp: Some(DhcpPorts::default()),
            tftp: 69,
            http: 4880,
        }
    }
}

/// Bound sockets that nobody serves yet.
#[derive(Debug)]
pub struct Bound {
    dhcp: Option<DhcpServer>,
    tftp: TftpServer,
    http: BootHttp,
    interfaces: Vec<String>,
}

impl Bound {
    /// Binds all ports. Has to be called inside a Tokio runtime.
    ///
    /// # Errors
    /// A sentence for the person who gave the role.
    pub fn bind(ports: &Ports, duty: &Duty) -> Result<Self, String> {
        let at = |port| SocketAddr::from((ports.listen, port));
        let interfaces = (!duty.interfaces.is_empty()).then(|| duty.interfaces.clone());
        let tftp =
            TftpServer::bind(at(ports.tftp)).map_err(|e| taken("TFTP", "udp", ports.tftp, &e))?;
        let http = BootHttp::bind(at(ports.http))
            .map_err(|e| taken("boot HTTP", "tcp", ports.http, &e))?;
        let http_port = http.local_addr().map_err(|e| e.to_string())?.port();
        let dhcp = ports.dhcp.map(|ports| {
            DhcpServer::bind(DhcpConfig {
                // Never the one that leases addresses: somebody else does that on this segment.
                mode: DhcpMode::Proxy,
                interfaces,
                http_port,
                ports,
                router_advertisements: false,
            })
        });
        let dhcp = dhcp
            .transpose()
            .map_err(|e| format!("cannot serve DHCP: {e}"))?;
        Ok(Self {
            dhcp,
            tftp,
            http,
            interfaces: duty.interfaces.clone(),
        })
    }

    /// The address of boot HTTP.
    ///
    /// # Errors
    /// As the socket says.
    pub fn http_addr(&self) -> io::Result<SocketAddr> {
        self.http.local_addr()
    }

    /// The address of TFTP.
    ///
    /// # Errors
    /// As the socket says.
    pub fn tftp_addr(&self) -> io::Result<SocketAddr> {
        self.tftp.local_addr()
    }

    /// What is served, and where.
    #[must_use]
    pub fn words(&self) -> String {
        let on = match self.interfaces.as_slice() {
            [] => {
                let own: Vec<String> = own_addresses().iter().map(ToString::to_string).collect();
                own.join(", ")
            }
            some => some.join(", "),
        };
        let dhcp = match self.dhcp {
            Some(_) => "DHCP-proxy, ",
            None => "",
        };
        format!("serves {dhcp}TFTP and boot HTTP on {on}")
    }

    /// Answers until `stop`.
    pub fn serve(self, desk: &Arc<Desk>, tasks: &mut JoinSet<()>, stop: &CancellationToken) {
        if let Some(dhcp) = self.dhcp {
            tasks.spawn(dhcp.run(Arc::clone(desk), stop.clone()));
        }
        tasks.spawn(self.tftp.run(Arc::clone(desk), stop.clone()));
        tasks.spawn(self.http.run(Arc::clone(desk), stop.clone()));
    }
}

fn taken(what: &str, kind: &str, port: u16, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cannot serve {what}: another program has port {port}/{kind}; find it with `ss -lp 'sport = :{port}'` and stop it"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("cannot serve {what}: port {port}/{kind} is for root; run the agent as root")
        }
        _ => format!("cannot serve {what} on port {port}/{kind}: {error}"),
    }
}
