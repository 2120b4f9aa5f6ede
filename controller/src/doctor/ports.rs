//! The ports that the controller needs: who has them, as `/proc` shows it. Nothing is opened.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
};

use super::{Findings, Grade};
use crate::config::{Config, DhcpRole};

/// UDP's and TCP's tables. TCP has its listeners in state 0A.
const UDP: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];
const TCP: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// A port that is needed.
struct Need {
    what: &'static str,
    udp: bool,
    port: u16,
    /// `None`: on every address.
    listen: Option<Ipv4Addr>,
}

pub(super) fn look(config: &Config, running: bool, found: &mut Findings) {
    let needs = needs(config);
    if running {
        let ports: Vec<String> = needs.iter().map(|need| need.port.to_string()).collect();
        return found.good(
            "ports",
            format!("the controller has them: {}", ports.join(", ")),
        );
    }
    let mut taken = false;
    for need in &needs {
        let tables = if need.udp { UDP } else { TCP };
        let sockets = tables
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok());
        let inode = sockets
            .flat_map(|table| bound(&table, need.udp))
            .find(|socket| socket.clashes(need))
            .map(|socket| socket.inode);
        let Some(inode) = inode else {
            continue;
        };
        taken = true;
        let who = owner(inode).unwrap_or_else(|| "a program that only root may see".to_owned());
        let kind = if need.udp { "UDP" } else { "TCP" };
        let text = format!(
            "{kind} port {} ({}) is taken by {who}",
            need.port, need.what
        );
        let cure = match need.port {
            67 => "stop it, or be a proxy beside it: `dhcp.mode = \"proxy\"`",
            4011 => "stop its PXE service (in dnsmasq: the pxe-service and pxe-prompt lines)",
            69 => "stop its TFTP, or set `tftp = false` and name its files there",
            _ => "stop it, or choose another port in the configuration",
        };
        found.add(Grade::Problem, "port-taken", text, cure);
    }
    if !taken {
        found.good("ports", "all that are needed are free");
    }
}

fn needs(config: &Config) -> Vec<Need> {
    let listen = (!config.listen.is_unspecified()).then_some(config.listen);
    let need = |wanted: bool, what, udp, port, listen| {
        wanted.then_some(Need {
            what,
            udp,
            port,
            listen,
        })
    };
    // A socket on an IPv6 address counts as one on every address: better one warning too many.
    let api = config.api.as_ref().map(|port| port.listen);
    let api_ip = api.and_then(|at| match at.ip() {
        IpAddr::V4(ip) if !ip.is_unspecified() => Some(ip),
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    });
    let api_port = api.map_or(0, |at| at.port());
    [
        need(api_port != 0, "the API", false, api_port, api_ip),
        need(config.dhcp == DhcpRole::Server, "DHCP", true, 67, None),
        need(config.dhcp != DhcpRole::Off, "PXE", true, 4011, None),
        need(config.tftp, "TFTP", true, 69, listen),
        need(true, "boot HTTP", false, config.http_port, listen),
        need(
            config.mesh && config.mesh_port != 0,
            "links",
            true,
            config.mesh_port,
            None,
        ),
        need(
            config.mesh && config.mesh_port != 0,
            "images",
            false,
            config.mesh_port,
            None,
        ),
        need(
            config.mesh && config.gossip_port != 0,
            "gossip",
            true,
            config.gossip_port,
            None,
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A socket that has a port.
#[derive(Debug, PartialEq)]
struct Socket {
    /// `None`: every address.
    address: Option<Ipv4Addr>,
    port: u16,
    inode: u64,
}

impl Socket {
    fn clashes(&self, need: &Need) -> bool {
        let apart = |a: Option<Ipv4Addr>, b: Option<Ipv4Addr>| matches!((a, b), (Some(a), Some(b)) if a != b);
        self.port == need.port && !apart(self.address, need.listen)
    }
}

/// The sockets of a table of `/proc/net` that hold a port: every UDP one, and TCP's listeners.
fn bound(table: &str, udp: bool) -> Vec<Socket> {
    let lines = table.lines().skip(1);
    let sockets = lines.filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = fields.get(1)?.split_once(':')?;
        if !udp && *fields.get(3)? != "0A" {
            return None;
        }
        // IPv4 addresses stand as a number of this host's byte order; of IPv6 only "every address" meets ours.
        let address = match address.len() {
            8 => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes()),
            _ if address.chars().all(|c| c == '0') => Ipv4Addr::UNSPECIFIED,
            _ => return None,
        };
        Some(Socket {
            address: (!address.is_unspecified()).then_some(address),
            port: u16::from_str_radix(port, 16).ok()?,
            inode: fields.get(9)?.parse().ok()?,
        })
    });
    sockets.collect()
}

/// The program that has a socket: `dnsmasq (pid 812)`.
fn owner(inode: u64) -> Option<String> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.into_iter().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| {
            fs::read_link(file.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str())
        })?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{} (pid {pid})", name.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  273: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 0
  274: 0100007F:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0
  275: 0100007F:1310 0100007F:9000 01 00000000:00000000 00:00000000 00000000     0        0 4713 2 0000000000000000 0
  276: broken
";

    #[test]
    fn a_table_of_the_kernel_is_read_and_only_real_clashes_count() {
        let udp = bound(TABLE, true);
        assert_eq!(udp.len(), 3);
        let loopback = Ipv4Addr::LOCALHOST;
        assert_eq!(
            (udp[0].address, udp[0].port, udp[0].inode),
            (None, 67, 4711)
        );
        assert_eq!((udp[1].address, udp[1].port), (Some(loopback), 69));
        let need = |port, listen| Need {
            what: "",
            udp: true,
            port,
            listen,
        };
        assert!(udp[1].clashes(&need(69, None)) && udp[1].clashes(&need(69, Some(loopback))));
        assert!(!udp[1].clashes(&need(69, Some(Ipv4Addr::new(10, 0, 0, 1)))));
        assert!(!udp[1].clashes(&need(67, None)));
        // A connection is no listener.
        assert_eq!(bound(TABLE, false), []);
    }

    #[test]
    fn the_owner_of_a_socket_is_named() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let table = fs::read_to_string("/proc/net/udp").unwrap();
        let found = bound(&table, true)
            .into_iter()
            .find(|s| s.port == port)
            .unwrap();
        let who = owner(found.inode).unwrap();
        assert!(
            who.contains(&format!("pid {}", std::process::id())),
            "{who}"
        );
    }
}
