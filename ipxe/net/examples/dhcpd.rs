//! A small DHCP and PXE server around [`DhcpServer`], with leases in memory: the peer of the network tests, and a way to
//! look at a ROM's packets by hand. Prints every note as a line.
//!
//!     dhcpd proxy|server HTTP_PORT [INTERFACE] [FIRST_ADDRESS/PREFIX] [rechain]
//!
//! `rechain` sends our iPXE to each station's own iPXE the first time.

use std::{
    collections::{HashMap, HashSet},
    env, io,
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    sync::{Arc, Mutex},
};

use ipxe::{Arch, Firmware, MacAddr, PxeClient};
use ipxe_net::{
    BootAuthority, BootFile, BootNote, BootOffer, Lease, LeaseAnswer, LeaseAsk, LeaseVerb,
    ScriptAsk,
    dhcp::{DhcpConfig, DhcpMode, DhcpPorts, DhcpServer},
};
use tokio_util::sync::CancellationToken;

/// Addresses handed out.
const POOL: u32 = 100;

struct InMemory {
    first: Ipv4Addr,
    prefix: u8,
    leases: Mutex<HashMap<MacAddr, Ipv4Addr>>,
    /// Stations whose own iPXE was sent ours; `None`: nobody's is.
    rechained: Option<Mutex<HashSet<MacAddr>>>,
}

impl BootAuthority for InMemory {
    fn offer(&self, client: &PxeClient) -> BootOffer {
        let name = match client.firmware {
            _ if client.ipxe && !self.rechains(client.mac) => return BootOffer::Script,
            Firmware::Bios => "undionly.kpxe",
            Firmware::UefiPxe(Arch::X64) | Firmware::UefiHttp(Arch::X64) => "ipxe.efi",
            Firmware::UefiPxe(_) | Firmware::UefiHttp(_) => "ipxe-arm64.efi",
            Firmware::RaspberryPi => "bootcode.bin",
        };
        BootOffer::Firmware(name.to_owned())
    }

    async fn lease(&self, ask: LeaseAsk) -> LeaseAnswer {
        let own = self.address(ask.mac);
        match (ask.verb, own) {
            (LeaseVerb::Discover(_) | LeaseVerb::Inform(_), Some(ip)) => self.grant(ip),
            (LeaseVerb::Select(ip) | LeaseVerb::Confirm(ip), Some(own)) if ip == own => {
                self.grant(ip)
            }
            (LeaseVerb::Select(ip) | LeaseVerb::Confirm(ip), _) if self.in_pool(ip) => {
                LeaseAnswer::Refuse
            }
            _ => LeaseAnswer::Silent,
        }
    }

    fn tftp_file(&self, _name: &str, _from: IpAddr) -> Option<BootFile> {
        None
    }

    async fn script(&self, _ask: ScriptAsk) -> String {
        String::new()
    }

    fn note(&self, note: BootNote) {
        println!("{note:?}");
    }
}

impl InMemory {
    fn address(&self, mac: MacAddr) -> Option<Ipv4Addr> {
        let mut leases = self.leases.lock().ok()?;
        if let Some(ip) = leases.get(&mac) {
            return Some(*ip);
        }
        let next = u32::try_from(leases.len()).ok().filter(|n| *n < POOL)?;
        let ip = Ipv4Addr::from(u32::from(self.first) + next);
        leases.insert(mac, ip);
        Some(ip)
    }

    fn rechains(&self, mac: MacAddr) -> bool {
        let seen = self.rechained.as_ref().and_then(|seen| seen.lock().ok());
        seen.is_some_and(|mut seen| seen.insert(mac))
    }

    fn in_pool(&self, ip: Ipv4Addr) -> bool {
        let first = u32::from(self.first);
        (first..first + POOL).contains(&u32::from(ip))
    }

    fn grant(&self, ip: Ipv4Addr) -> LeaseAnswer {
        LeaseAnswer::Grant(Lease {
            ip,
            prefix: self.prefix,
            routers: Vec::new(),
            dns: Vec::new(),
            domain: None,
            hostname: None,
            seconds: 600,
        })
    }
}

fn arguments() -> Option<(DhcpConfig, InMemory)> {
    let mut args = env::args().skip(1);
    let mode = match args.next()?.as_str() {
        "proxy" => DhcpMode::Proxy,
        "server" => DhcpMode::Server,
        _ => return None,
    };
    let config = DhcpConfig {
        mode,
        http_port: args.next()?.parse().ok()?,
        interfaces: args.next().map(|name| vec![name]),
        ports: DhcpPorts::default(),
        router_advertisements: true,
    };
    let pool = args.next().unwrap_or_else(|| "10.77.0.50/24".to_owned());
    let (first, prefix) = pool.split_once('/')?;
    let memory = InMemory {
        first: first.parse().ok()?,
        prefix: prefix.parse().ok()?,
        leases: Mutex::default(),
        rechained: args.next().map(|_| Mutex::default()),
    };
    Some((config, memory))
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() -> io::Result<ExitCode> {
    let Some((config, memory)) = arguments() else {
        eprintln!("dhcpd proxy|server HTTP_PORT [INTERFACE] [FIRST_ADDRESS/PREFIX]");
        return Ok(ExitCode::from(2));
    };
    let server = match DhcpServer::bind(config) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    println!("ready");
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(Arc::new(memory), stop.clone()));
    tokio::signal::ctrl_c().await?;
    stop.cancel();
    serving.await.map_err(io::Error::other)?;
    Ok(ExitCode::SUCCESS)
}
