//! A DHCP server that is not ours: dnsmasq on a host of its own. It knows nothing of booting, unless it is told of one file.

use super::START_LIMIT;
use crate::lab::{Namespace, Segment, Service, Space, machine_mac, need};
use anyhow::Result;
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Machines with an id up to this have reserved addresses; the pool lies below them.
pub(super) const RESERVED: u8 = 40;

/// dnsmasq at host 2 of its wire ([`Space::FOREIGN`] at home), in its own namespace.
#[derive(Debug)]
pub struct ForeignDhcp {
    service: Service,
    host: Arc<Namespace>,
}

impl ForeignDhcp {
    /// Starts it and waits until it serves.
    pub fn start(space: &Space) -> Result<Self> {
        Self::start_with(space.home(), "")
    }

    /// The same on a wire behind a router, which it tells machines of.
    pub fn behind_router(far: &Segment) -> Result<Self> {
        let router = format!("dhcp-option=option:router,{}\n", far.address());
        Self::start_with(far, &router)
    }

    /// The same, but it names a boot file: what every machine shall boot, whatever it is. iPXE takes an URL.
    pub fn naming(space: &Space, boot_file: &str) -> Result<Self> {
        Self::start_with(space.home(), &format!("dhcp-boot={boot_file}\n"))
    }

    fn start_with(wire: &Segment, more: &str) -> Result<Self> {
        need::programs(&["dnsmasq"])?;
        let [a, b, c, _] = wire.address().octets();
        let [.., own] = Space::FOREIGN.octets();
        let host = wire.host("foreign", Ipv4Addr::new(a, b, c, own))?;
        let config = wire.folder().file("foreign-dhcp.conf");
        let leases = wire.folder().file("foreign-dhcp.leases");
        fs::write(
            &config,
            format!(
                "interface=eth0\n{}{more}",
                addresses(wire, &leases.display().to_string())
            ),
        )?;
        let mut command = host.command("dnsmasq");
        command.arg(format!("--conf-file={}", config.display()));
        let mut service = Service::start(
            "foreign-dhcp",
            command,
            &wire.folder().file("foreign-dhcp.log"),
        )?;
        service.wait_log("started, version", START_LIMIT)?;
        Ok(Self { service, host })
    }

    /// What it logged: each DHCPDISCOVER, DHCPOFFER, … with the MAC.
    pub fn log(&self) -> String {
        self.service.log()
    }

    /// The process, to stop or kill it.
    pub fn service(&mut self) -> &mut Service {
        &mut self.service
    }

    /// The host it runs on.
    pub fn host(&self) -> &Arc<Namespace> {
        &self.host
    }
}

/// The part of dnsmasq's configuration that hands out addresses. Answers go out as broadcasts: no ARP-cache injection, so that nothing
/// depends on the neighbour table, which all namespaces of a host share.
pub(super) fn addresses(wire: &Segment, leases: &str) -> String {
    let [a, b, c, _] = wire.address().octets();
    let reserve = |id: u8| format!("dhcp-host={},{}\n", machine_mac(id), wire.machine_ip(id));
    let reserved: String = (1..=RESERVED).map(reserve).collect();
    format!(
        "port=0\nno-daemon\nuser=root\nbind-interfaces\nlog-dhcp\ndhcp-broadcast\ndhcp-authoritative\n\
         dhcp-range={a}.{b}.{c}.50,{a}.{b}.{c}.100,255.255.255.0,10m\ndhcp-leasefile={leases}\n{reserved}"
    )
}
